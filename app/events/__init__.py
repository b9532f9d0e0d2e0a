"""Floor 2: what happened, written in the same transaction as what it tells of. Audit log and outbox in one."""
