"""Letters: their words, their headers, and the outbox they leave from, through a real SMTP server."""
