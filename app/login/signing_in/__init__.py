"""Login in one or several steps."""
