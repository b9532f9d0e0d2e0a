"""The suite. Rules are tested by value, use cases over HTTP, on SQLite and on a real PostgreSQL."""
