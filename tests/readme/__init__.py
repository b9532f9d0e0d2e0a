"""Tests of README.md."""
