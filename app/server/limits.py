"""The cap on client connections, and its metrics."""

from dataclasses import dataclass

import structlog
from prometheus_client import Counter, Gauge

from app.config.resources import raise_descriptor_limit

RESERVED_DESCRIPTORS = 64
"""For everything but client connections: database, files, mail, webhooks."""
MAX_CONNECTIONS = 2**20
"""Where the system sets no limit."""
WARNING_INTERVAL = 60.0

CLIENTS = Gauge("licentia_client_connections", "Open client connections")
TURNED_AWAY = Counter("licentia_connections_turned_away_total", "Connections closed at once because the process had too many")
log = structlog.get_logger("licentia.connections")


def count_max_connections() -> int:
    """How many clients may be connected: as many as this process may open file descriptors, less a reserve."""
    descriptors = raise_descriptor_limit()
    return MAX_CONNECTIONS if descriptors is None else max(RESERVED_DESCRIPTORS, descriptors - RESERVED_DESCRIPTORS)


@dataclass
class ConnectionLimits:
    """Limits and counts that all connections of a server share. `timeout`: seconds for a head, and for a client that does not read."""

    timeout: float
    max_connections: int
    open: int = 0
    next_warning: float = 0.0

    def admit(self, now: float) -> bool:
        """Count a new connection. Return False, and log it once in a minute, if there are too many."""
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
