"""The watch over each connection to PostgreSQL: who does not answer in time is cut off, so that nobody hangs on a frozen server."""

import asyncio
from typing import Any, Self

from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.exc import TimeoutError as TooLate
from sqlalchemy.pool import PoolProxiedConnection, PoolResetState

NAME = "watch"
GRACE = 1.0
"""Seconds beyond the statement's limit: the server itself should have spoken by then."""


class Watchdog:
    """One timer for one connection. `until`: when whoever waits on it has waited enough. `expired`: it was cut, because its answer did not
    come within `seconds` (0: it may take for ever)."""

    def __init__(self, driver: Any, seconds: float) -> None:
        self.driver = driver
        self.seconds = seconds
        self.expired = False
        self.until: float | None = None
        self.timer: asyncio.TimerHandle | None = None

    @classmethod
    def over(cls, engine: Engine, limit: float) -> None:
        """Watch every connection of the engine: each statement, each commit, and the rollback with which it comes back to the pool."""

        def connected(connection: Any, record: Any) -> None:
            record.info[NAME] = cls(connection.driver_connection, limit + GRACE if limit else 0)

        event.listen(engine, "connect", connected)
        event.listen(engine, "checkout", _living)
        event.listen(engine, "before_cursor_execute", lambda connection, *_: cls.of(connection.connection).start())
        event.listen(engine, "after_cursor_execute", lambda connection, *_: cls.of(connection.connection).stop())
        event.listen(engine, "commit", lambda connection: cls.of(connection.connection).start())
        event.listen(engine, "reset", _resetting)
        event.listen(engine, "checkin", _returned)
        event.listen(engine, "handle_error", _told)

    @classmethod
    def of(cls, connection: PoolProxiedConnection) -> Self:
        found: Self = connection.info[NAME]
        return found

    def start(self) -> None:
        """From now on. The timer is set anew only when it has run down: to set one costs more than all the rest of this."""
        if self.seconds:
            loop = asyncio.get_running_loop()
            self.until = loop.time() + self.seconds
            if self.timer is None:
                self.timer = loop.call_at(self.until, self._look, loop)

    def stop(self) -> None:
        self.until = None

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self.timer = None
        if self.until is None or self.expired:
            return
        if loop.time() < self.until:
            self.timer = loop.call_at(self.until, self._look, loop)
        else:
            self._cut()

    def _cut(self) -> None:
        """Whoever waits on the connection hears at once that it is lost."""
        self.expired = True
        self.driver.terminate()


def _living(connection: Any, _record: object, _proxy: object) -> None:
    """What the server has closed meanwhile is known without asking it; the pool takes another, or opens one."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError("closed by the server")


def _resetting(_connection: object, record: Any, state: PoolResetState) -> None:
    if state.asyncio_safe and record is not None and NAME in record.info:
        record.info[NAME].start()


def _returned(_connection: object, record: Any) -> None:
    if (watch := record.info.get(NAME)) is not None:  # gone once the connection was invalidated
        watch.stop()


def _told(context: ExceptionContext) -> Exception | None:
    """A cut is told as what it is: too late, and not to be tried again at once."""
    connection = context.connection
    if connection is None or connection.closed or connection.invalidated:
        return None
    return TooLate("the database did not answer in time") if Watchdog.of(connection.connection).expired else None
