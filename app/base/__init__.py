"""Floor 0: time, chance, secrets, settings and refusals. Knows no database, no HTTP and no product word."""
