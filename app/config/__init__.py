"""Settings: the environment variables, their checks, and the resources of the machine."""
