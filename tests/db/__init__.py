"""Tests of app/db: FastReads returns the same rows as SQLAlchemy, and survives lost connections."""
