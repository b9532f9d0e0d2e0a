"""Secrets do not appear in logs, events, stored rows, responses or reprs, even after errors."""
