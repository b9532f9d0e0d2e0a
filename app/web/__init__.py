"""Floor 2: the HTTP kit. Problems to RFC 9457, shapes, callers, idempotency, lists, health. No product word."""
