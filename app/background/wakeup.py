"""Wake a background worker of the same process early. Purely an optimisation: workers also poll."""

import asyncio

IDLE, ACTIVE = 5.0, 1.0
"""Seconds between polls: usually, and in development or for a while after a wake-up in this process."""
COMMIT_DELAY = 0.05
"""`notify` is called inside the writer's transaction. After this many seconds the transaction has usually committed."""
ACTIVE_POLLS = 10


class Wakeup:
    """Set by code that wrote a row a worker looks for. Several notifications before the worker wakes count as one."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def notify(self) -> None:
        self._event.set()

    async def wait(self, timeout: float) -> bool:  # noqa: ASYNC109  False is an ordinary result here
        """Wait for a notification for at most `timeout` seconds; return whether one came."""
        try:
            await asyncio.wait_for(self._event.wait(), timeout)
        except TimeoutError:
            return False
        self._event.clear()
        return True


class PollInterval:
    """The time until a worker's next poll: until its wake-up, and shorter than usual for some polls after one."""

    def __init__(self, wakeup: Wakeup, *, active: bool) -> None:
        self.wakeup = wakeup
        self.active = active
        self.active_polls = 0

    @property
    def seconds(self) -> float:
        return ACTIVE if self.active or self.active_polls else IDLE

    async def wait(self) -> None:
        """Sleep until the next poll is due."""
        notified = await self.wakeup.wait(self.seconds)
        self.active_polls = ACTIVE_POLLS if notified else max(0, self.active_polls - 1)
        if notified:
            await asyncio.sleep(COMMIT_DELAY)
