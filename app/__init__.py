"""Licentia: end-user authentication and licensing in one call, from one container."""

__version__ = "0.1.0"
