"""Tests of coverage, lists, exports and imports of agreements."""
