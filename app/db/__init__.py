"""Both databases behind one interface. Only `dialect.py` knows which one is used."""
