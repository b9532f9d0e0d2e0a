"""Requests per second of the hot paths, beside a floor measured in the same run. It judges no figure: only ratios travel."""
