"""Issuing licenses and changing them: for operators."""
