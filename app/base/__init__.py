"""The lowest layer: time, randomness, problems, durations and languages. Knows no database and no HTTP."""
