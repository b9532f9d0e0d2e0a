"""The uvicorn server: start, drain and the HTTP protocol limits."""
