"""The list of events for operators."""
