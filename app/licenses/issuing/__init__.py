"""Issue, read and change licenses, for operators."""
