"""Encryption at rest, signatures and password hashing."""
