"""Agreements: what is published stays, what is decided is signed once, and who owes what follows from the time."""
