"""Using a license: validation, usage and offline files."""
