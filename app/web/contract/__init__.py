"""What client developers read: the OpenAPI document and the meaning of each problem code."""
