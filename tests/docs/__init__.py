"""Checks of the documents: links, prose, commands, generated reference pages."""
