"""The Ed25519 keys that sign tokens, grants and receipts: private halves sealed in the database, public halves published as a JWK set."""
