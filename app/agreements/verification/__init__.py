"""Checks of the ledger, of receipts and of evidence bundles."""
