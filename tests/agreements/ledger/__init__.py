"""Tests of the ledger of agreements."""
