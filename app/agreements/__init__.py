"""Agreements: documents and their published texts, presentations to end users, decisions, and signed receipts of them."""
