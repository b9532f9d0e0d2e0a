"""A bell between a writer and a runner of one process, and how often a runner looks: both only spare a wait, nothing depends on them."""

import asyncio

CALM, BRISK = 5.0, 1.0
"""Seconds between looks: usually, and in development or for a while after the bell was rung in this process."""
COMMITS = 0.05
"""The bell is rung inside of the writer's transaction; after so many seconds it has usually committed."""
WATCHFUL = 10


class Wakeup:
    """Rung by whoever wrote something that a runner looks for. Ringing twice before it is heard is ringing once."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        self._rung.set()

    async def heard(self, within: float) -> bool:
        """Wait for it, `within` seconds at most; whether it was rung."""
        try:
            await asyncio.wait_for(self._rung.wait(), within)
        except TimeoutError:
            return False
        self._rung.clear()
        return True


class Pace:
    """When a runner looks again: as soon as its bell is rung, and more often for a while after that."""

    def __init__(self, bell: Wakeup, *, brisk: bool) -> None:
        self.bell = bell
        self.brisk = brisk
        self.watchful = 0

    @property
    def seconds(self) -> float:
        return BRISK if self.brisk or self.watchful else CALM

    async def wait(self) -> None:
        rung = await self.bell.heard(self.seconds)
        self.watchful = WATCHFUL if rung else max(0, self.watchful - 1)
        if rung:
            await asyncio.sleep(COMMITS)
