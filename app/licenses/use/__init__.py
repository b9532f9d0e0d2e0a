"""Use a license: validation, usage and offline files."""
