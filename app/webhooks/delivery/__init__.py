"""Delivery of webhooks: the outbox, the HTTP requests, and the outcomes."""
