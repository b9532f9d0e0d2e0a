"""A bell between a writer and a runner of one process: it only spares a wait, nothing depends on its being heard."""

import asyncio


class Bell:
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
