"""Floor 6: what a person may ask of everything that is kept about them: a copy of it, and its end. Knows every room below."""
