"""Floor 2: the Ed25519 keys that sign tokens, grants and receipts; sealed at rest, public halves for everybody."""
