"""Sessions of end users, their access tokens and refresh tokens."""
