"""Tests of the signing keys."""
