"""Tests of device seats."""
