"""The chain of agreement events for each end user: signed receipts, and seals over all of them."""
