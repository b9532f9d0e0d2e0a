"""Floor 0½: the two databases as one. Only `dialect.py` knows which one it is."""
