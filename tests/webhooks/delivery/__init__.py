"""Tests of the delivery of webhooks."""
