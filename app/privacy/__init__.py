"""Export and erasure of one end user's personal data, over all packages."""
