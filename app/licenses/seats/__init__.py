"""Device seats: activation, release and activation codes."""
