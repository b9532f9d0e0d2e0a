"""The test suite. Rules are tested as functions, use cases over HTTP, on SQLite and on a real PostgreSQL."""
