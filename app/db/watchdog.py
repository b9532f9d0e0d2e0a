"""Closes a PostgreSQL connection when a response is overdue, so that callers do not wait for a frozen server."""

import asyncio
from typing import Any, Self

from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import PoolProxiedConnection, PoolResetState

NAME = "watch"
GRACE = 1.0
"""Seconds after the statement limit, by which the server itself should have cancelled the statement."""


class Watchdog:
    """A timer for one connection. `until`: when the current response is overdue, in the time of the event loop; None: no statement runs.

    `expired`: the connection was closed because a response did not come within `seconds` (0: no limit).
    """

    def __init__(self, driver: Any, seconds: float) -> None:
        self.driver = driver
        self.seconds = seconds
        self.expired = False
        self.until: float | None = None
        self.timer: asyncio.TimerHandle | None = None

    @classmethod
    def watch_engine(cls, engine: Engine, limit: float) -> None:
        """Watch every connection of the engine: statements, commits, and the rollback on return to the pool."""

        def connected(connection: Any, record: Any) -> None:
            record.info[NAME] = cls(connection.driver_connection, limit + GRACE if limit else 0)

        event.listen(engine, "connect", connected)
        event.listen(engine, "checkout", _check_open)
        event.listen(engine, "before_cursor_execute", lambda connection, *_: cls.of_connection(connection.connection).start())
        event.listen(engine, "after_cursor_execute", lambda connection, *_: cls.of_connection(connection.connection).stop())
        event.listen(engine, "commit", lambda connection: cls.of_connection(connection.connection).start())
        event.listen(engine, "reset", _start_before_reset)
        event.listen(engine, "checkin", _stop_after_return)
        event.listen(engine, "handle_error", _translate_error)

    @classmethod
    def of_connection(cls, connection: PoolProxiedConnection) -> Self:
        watchdog: Self = connection.info[NAME]
        return watchdog

    def start(self) -> None:
        """Start to wait for a response. A running timer is reused, because creating a timer is the expensive part."""
        if self.seconds:
            loop = asyncio.get_running_loop()
            self.until = loop.time() + self.seconds
            if self.timer is None:
                self.timer = loop.call_at(self.until, self._check_timer, loop)

    def stop(self) -> None:
        self.until = None

    def _check_timer(self, loop: asyncio.AbstractEventLoop) -> None:
        self.timer = None
        if self.until is None or self.expired:
            return
        if loop.time() < self.until:
            self.timer = loop.call_at(self.until, self._check_timer, loop)
        else:
            self._terminate()

    def _terminate(self) -> None:
        """Close the connection; its callers get an error immediately."""
        self.expired = True
        self.driver.terminate()


def _check_open(connection: Any, _record: object, _proxy: object) -> None:
    """Refuse a connection that the server has closed; the pool then takes another one."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError("closed by the server")


def _start_before_reset(_connection: object, record: Any, state: PoolResetState) -> None:
    if state.asyncio_safe and record is not None and NAME in record.info:
        record.info[NAME].start()


def _stop_after_return(_connection: object, record: Any) -> None:
    if (watch := record.info.get(NAME)) is not None:  # an invalidated connection has none
        watch.stop()


def _translate_error(context: ExceptionContext) -> Exception | None:
    """Report an expired connection as a timeout, so that the statement is not retried."""
    connection = context.connection
    if connection is None or connection.closed or connection.invalidated:
        return None
    return PoolTimeout("the database did not answer in time") if Watchdog.of_connection(connection.connection).expired else None
