"""Login of a device by a short code (RFC 8628)."""
