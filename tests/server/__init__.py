"""Tests of the uvicorn server."""
