"""Floor 3: letters to people: written in the caller's transaction, sent later from the outbox. Knows no account and no login."""
