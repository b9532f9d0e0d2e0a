"""End users: their profiles and the status of their accounts. Passwords belong to `login`, licenses to `licenses`."""
