"""Device authorization grant: login on a machine without a browser by a short code (RFC 8628)."""
