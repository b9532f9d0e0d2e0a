"""Seats: activation, leases, release, and activation codes."""
