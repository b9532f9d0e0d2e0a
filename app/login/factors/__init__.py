"""Passwords, TOTP, passkeys and recovery codes."""
