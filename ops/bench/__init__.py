"""Measures requests per second of the hot paths and compares them with a minimal application in the same run. Compare only ratios."""
