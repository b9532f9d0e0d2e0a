"""Tests with a real browser and a real server. They require Chromium, so only `make test-browser` runs them."""
