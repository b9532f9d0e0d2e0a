"""Licenses, their keys, activation codes, seats and usage. One pure function (`rules.evaluate`) decides whether a license may be used."""
