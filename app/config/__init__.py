"""Settings: reading the environment, checking every value, and reporting all faults at once."""
