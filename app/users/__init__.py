"""Floor 3: end users: who they are to the service, and whether their account is open. Knows no password and no license."""
