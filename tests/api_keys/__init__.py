"""Tests of the api_keys package."""
