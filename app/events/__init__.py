"""Events: what happened, written in the transaction that changes the data. The audit log and the source of webhooks."""
