"""Operator keys with scopes, for the vendor's back office and scripts; never a credential of an end user."""
