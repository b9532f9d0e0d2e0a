"""Tests of erasure and export."""
