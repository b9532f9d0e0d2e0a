"""Verification of the ledger, and evidence bundles with their verification."""
