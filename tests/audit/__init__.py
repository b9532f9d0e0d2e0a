"""Tests of the audit list."""
