"""HTTP: routing, callers, problems, idempotency, paging, counters of attempts, health checks. Knows no use case."""
