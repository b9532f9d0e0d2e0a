"""Tests of login factors."""
