"""Tests of using licenses."""
