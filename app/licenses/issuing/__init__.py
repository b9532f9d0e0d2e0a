"""Issue licenses, read and change them: for operators."""
