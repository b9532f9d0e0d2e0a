"""Tests of the ledger of agreement events."""
