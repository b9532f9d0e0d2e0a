"""Tests of sessions and tokens."""
