"""Tests of publishing agreements."""
