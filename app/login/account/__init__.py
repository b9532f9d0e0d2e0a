"""Accounts: registration, mailbox verification and password reset."""
