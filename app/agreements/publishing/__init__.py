"""Documents, versions and texts: drafting, comparing and publishing."""
