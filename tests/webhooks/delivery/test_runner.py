"""The background worker of webhooks: it wakes up for new events, and errors do not stop it."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from app.background import wakeup
from app.db.database import Database
from app.events.service import Actor
from app.main import build_app
from app.webhooks import deliveries, service
from app.webhooks.delivery import runner
from tests import databases
from tests.assertions import DEADLINE, wait_until
from tests.webhooks.conftest import Hooks, make_egress
from tests.webhooks.delivery.receiver import Received, Receiver, status


@pytest.fixture
def hourly_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a wake-up makes the worker look for rows, and the transaction has a second to commit after it."""
    for name, seconds in {"IDLE": 3600.0, "ACTIVE": 3600.0, "COMMIT_DELAY": 1.0}.items():
        monkeypatch.setattr(wakeup, name, seconds)


@pytest.mark.usefixtures("hourly_polls")
async def test_the_application_delivers_while_it_runs(hooks: Hooks, receiver: Receiver) -> None:
    """The wake-up sends the event: the next poll would come an hour later."""
    await hooks.create("license.*")
    app = build_app(replace(hooks.world, db=Database.open(hooks.world.db.url)))
    async with app.router.lifespan_context(app):
        await asyncio.sleep(0.3)
        await hooks.given.license()
        await wait_until(lambda: bool(receiver.received))
    assert receiver.types == ["license.issued"]


async def test_a_request_that_is_being_sent_is_finished_at_the_end(hooks: Hooks, receiver: Receiver) -> None:
    arrived = asyncio.Event()

    async def slowly(_came: Received) -> bytes:
        arrived.set()
        await asyncio.sleep(0.3)
        return status(200)

    receiver.answer = slowly
    hook = await hooks.create("license.*")
    await hooks.given.license()
    async with runner.run(hooks.world, make_egress(hooks.world)):
        await asyncio.wait_for(arrived.wait(), DEADLINE)
    assert [each["state"] for each in await hooks.list_deliveries(hook)] == ["delivered"]


async def test_an_unreachable_database_does_not_stop_the_worker(hooks: Hooks, receiver: Receiver, tmp_path: Path) -> None:
    """It logs the error and polls again."""
    gone = replace(hooks.world, db=Database.open(databases.sqlite_url(tmp_path / "nowhere" / "gone.db")))
    async with runner.run(gone, make_egress(gone)):
        await asyncio.sleep(0.2)
        (tmp_path / "nowhere").mkdir()
        await databases.migrate(gone.db.url)
        hook, _ = await service.create_endpoint(gone, Actor.system(), {"url": receiver.url, "types": ["*"], "description": None})
        await deliveries.send_test(gone, Actor.system(), hook.id)
        await wait_until(lambda: bool(receiver.received))
    await gone.db.close()
