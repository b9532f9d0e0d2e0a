"""The hash chain of agreement events, its receipts and its seals."""
