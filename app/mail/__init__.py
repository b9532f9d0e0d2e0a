"""E-mail to end users: written into an outbox in the caller's transaction and sent later. Knows no account and no login."""
