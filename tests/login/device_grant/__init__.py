"""Tests of the device grant."""
