"""Events to deliver, and a round of delivery that waits for its receiver."""

import asyncio
from uuid import UUID

from app.events.service import Actor, record
from tests.assertions import DEADLINE
from tests.webhooks.conftest import Hooks
from tests.webhooks.delivery.receiver import Received, Receiver, status


async def record_event(hooks: Hooks, type_: str, subject: int = 1) -> str:
    """Record an event of a license; return its id."""
    async with hooks.world.db.write() as tx:
        return str(await record(tx, hooks.world, type_, Actor.system(), ("license", UUID(int=subject)), note="ø"))


async def start_delivery(hooks: Hooks, receiver: Receiver, answer: bytes) -> tuple[asyncio.Task[int], asyncio.Event]:
    """Start a round; return its task, and the event that lets the receiver answer."""
    arrived, go = asyncio.Event(), asyncio.Event()

    async def slowly(came: Received) -> bytes:
        if came.path != "/hook":
            return status(200)
        arrived.set()
        await go.wait()
        return answer

    receiver.answer = slowly
    task = asyncio.create_task(hooks.deliver())
    await asyncio.wait_for(arrived.wait(), DEADLINE)
    return task, go
