"""The cap on client connections, and its metrics."""

from dataclasses import dataclass

import structlog
from prometheus_client import Counter, Gauge

from app.config.resources import raise_descriptor_limit

RESERVED_DESCRIPTORS = 64
"""File descriptors reserved for the database, files, mail and webhooks."""
MAX_CONNECTIONS = 2**20
"""The limit if the system sets none."""
WARNING_INTERVAL = 60.0

CLIENTS = Gauge("licentia_client_connections", "Open client connections")
TURNED_AWAY = Counter("licentia_connections_turned_away_total", "Connections closed at once because the process had too many")
log = structlog.get_logger("licentia.connections")


def count_max_connections() -> int:
    """Return how many clients may be connected: the limit of file descriptors, minus a reserve."""
    descriptors = raise_descriptor_limit()
    return MAX_CONNECTIONS if descriptors is None else max(RESERVED_DESCRIPTORS, descriptors - RESERVED_DESCRIPTORS)


@dataclass
class ConnectionLimits:
    """Limits and counts that all connections of a server share. `timeout`: seconds to receive a head, or for a client to read."""

    timeout: float
    max_connections: int
    open: int = 0
    next_warning: float = 0.0

    def admit(self, now: float) -> bool:
        """Count a new connection. Return False, and log it once in a minute, if the maximum is exceeded."""
        self.open += 1
        CLIENTS.inc()
        if self.open > self.max_connections:
            TURNED_AWAY.inc()
            if now >= self.next_warning:
                self.next_warning = now + WARNING_INTERVAL
                log.warning("connections_full", most=self.max_connections)
        return self.open <= self.max_connections

    def release(self) -> None:
        self.open -= 1
        CLIENTS.dec()
