"""Measuring and breaking the service on purpose: `bench` and `chaos`."""
