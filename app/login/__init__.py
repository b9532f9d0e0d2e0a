"""Floor 4: passwords, second factors, unfinished logins, sessions and access tokens."""
