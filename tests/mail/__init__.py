"""Tests of letters, their headers, and the outbox, through a real SMTP server."""
