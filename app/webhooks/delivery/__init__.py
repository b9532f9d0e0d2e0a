"""Delivery of webhook messages: outbox, HTTP egress and outcomes."""
