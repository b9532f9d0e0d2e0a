"""End-user login: passwords, second factors, pending logins, sessions and access tokens."""
