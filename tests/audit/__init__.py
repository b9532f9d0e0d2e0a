"""Tests of the list of events."""
