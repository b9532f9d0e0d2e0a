"""Tests of verification of agreements."""
