"""Coverage, event lists, exports and imports for operators."""
