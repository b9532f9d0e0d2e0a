"""Who tells the endpoints: beside the application, awake when something happened, and not to be stopped by what goes wrong."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from app.background import wakeup
from app.db.database import Database
from app.events.service import Actor
from app.main import build_app
from app.webhooks import deliveries, service
from app.webhooks.delivery import runner
from tests import databases
from tests.webhooks.conftest import Hooks, egress_of
from tests.webhooks.delivery.receiver import Received, Receiver, status

PATIENCE = 10.0


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not true():  # noqa: ASYNC110  what is awaited happens in a server that rings no bell of ours
            await asyncio.sleep(0.01)


async def test_the_application_tells_while_it_lives(hooks: Hooks, receiver: Receiver) -> None:
    """It wakes for what just happened: the receiver has it long before the next look."""
    await hooks.made("license.*")
    app = build_app(replace(hooks.world, db=Database.open(hooks.world.db.url)))
    async with app.router.lifespan_context(app):
        await asyncio.sleep(0.3)
        started = asyncio.get_running_loop().time()
        await hooks.given.license()
        await until(lambda: bool(receiver.received))
        assert asyncio.get_running_loop().time() - started < wakeup.ACTIVE
    assert receiver.types == ["license.issued"]


async def test_what_is_being_told_is_finished_before_the_end(hooks: Hooks, receiver: Receiver) -> None:
    arrived = asyncio.Event()

    async def slowly(_came: Received) -> bytes:
        arrived.set()
        await asyncio.sleep(0.3)
        return status(200)

    receiver.answer = slowly
    hook = await hooks.made("license.*")
    await hooks.given.license()
    async with runner.run(hooks.world, egress_of(hooks.world)):
        await asyncio.wait_for(arrived.wait(), PATIENCE)
    assert [each["state"] for each in await hooks.listed(hook)] == ["delivered"]


async def test_a_database_that_is_away_does_not_stop_it(hooks: Hooks, receiver: Receiver, tmp_path: Path) -> None:
    """It complains and looks again."""
    gone = replace(hooks.world, db=Database.open(databases.sqlite_url(tmp_path / "nowhere" / "gone.db")))
    async with runner.run(gone, egress_of(gone)):
        await asyncio.sleep(0.2)
        (tmp_path / "nowhere").mkdir()
        await databases.migrate(gone.db.url)
        hook, _ = await service.create(gone, Actor.system(), {"url": receiver.url, "types": ["*"], "description": None})
        await deliveries.send_test(gone, Actor.system(), hook.id)
        await until(lambda: bool(receiver.received))
    await gone.db.close()
