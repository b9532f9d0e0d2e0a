"""A real browser in front of a real server. Not part of `make test`, for it wants Chromium: `make test-browser`."""
