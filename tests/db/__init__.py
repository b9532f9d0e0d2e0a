"""Tests of the database package: fast reads return the same rows as SQLAlchemy, and survive broken connections."""
