"""From bytes to a use case and back: the outermost middleware, JSON bodies, retries with an Idempotency-Key, the hot calls."""
