"""Who carries the letters: beside the application, awake when something is posted, and not to be stopped by what goes wrong."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from app.background import wakeup
from app.db.database import Database
from app.mail import runner
from app.mail.models import Message, Template
from app.mail.service import Recipient, enqueue_letter
from app.main import build_app
from app.world import World
from tests import databases
from tests.conftest import NewPostgres
from tests.postbox import Postbox
from tests.random_keys import SECRETS
from tests.servers import Running

PATIENCE = 10.0


async def noticed(world: World) -> None:
    async with world.db.write() as tx:
        await enqueue_letter(tx, world, Recipient("ola@example.com"), Template.PASSWORD_CHANGED, {"when": world.clock.now()})


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not true():  # noqa: ASYNC110  what is awaited happens in a server that rings no bell of ours
            await asyncio.sleep(0.01)


async def test_the_application_carries_letters_while_it_lives(mailing: World, postbox: Postbox) -> None:
    """It wakes for what was just posted: the letter is there long before the next look."""
    app = build_app(replace(mailing, db=Database.open(mailing.db.url)))
    async with app.router.lifespan_context(app):
        await asyncio.sleep(0.2)
        started = asyncio.get_running_loop().time()
        await noticed(app.state.world)
        await until(lambda: bool(postbox.received))
        assert asyncio.get_running_loop().time() - started < wakeup.ACTIVE


async def test_what_is_being_sent_is_finished_before_the_end(mailing: World, postbox: Postbox) -> None:
    postbox.gate = asyncio.Event()
    async with runner.run(mailing):
        await noticed(mailing)
        await asyncio.wait_for(postbox.arrived.wait(), PATIENCE)
        asyncio.get_running_loop().call_later(0.3, postbox.gate.set)
    assert len(postbox.received) == 1
    async with mailing.db.query() as tx:
        assert (await tx.scalar(select(Message.sent_at))) is not None


async def test_a_slow_server_does_not_slow_a_request(mailing: World, postbox: Postbox, client: httpx.AsyncClient, app: object) -> None:
    postbox.gate = asyncio.Event()
    async with runner.run(mailing):
        await noticed(mailing)
        await asyncio.wait_for(postbox.arrived.wait(), PATIENCE)
        async with asyncio.timeout(1):
            assert (await client.get("/readyz")).status_code == 200
            await noticed(mailing)
        postbox.gate.set()
        await until(lambda: len(postbox.received) == 2)


async def test_a_database_that_is_away_does_not_stop_it(mailing: World, postbox: Postbox, tmp_path: Path) -> None:
    """It complains and looks again."""
    gone = replace(mailing, db=Database.open(databases.sqlite_url(tmp_path / "nowhere" / "gone.db")))
    async with runner.run(gone):
        await asyncio.sleep(0.3)
        (tmp_path / "nowhere").mkdir()
        await databases.migrate(gone.db.url)
        await noticed(gone)
        await until(lambda: len(postbox.received) == 1)
    await gone.db.close()


@pytest.fixture
async def shared(kind: str, sqlite_template: Path, new_postgres: NewPostgres, tmp_path: Path) -> str:
    """The address of a migrated database that another process may open."""
    return databases.copy_template(sqlite_template, tmp_path / "shared.db") if kind == "sqlite" else await new_postgres.migrated()


async def test_kill_minus_9_while_a_letter_is_sent_loses_nothing(mailing: World, postbox: Postbox, shared: str, tmp_path: Path) -> None:
    """The claim of the dead keeps the letter from being sent twice until it has run out."""
    world = replace(mailing, db=Database.open(shared))
    postbox.gate = asyncio.Event()
    await noticed(world)
    smtp = f"smtp://127.0.0.1:{postbox.port}?tls=off"
    environ = {**SECRETS, "LICENTIA_DATABASE_URL": shared, "LICENTIA_SMTP_URL": smtp, "LICENTIA_MAIL_FROM": "a@example.com"}

    def kill() -> None:
        with Running(tmp_path, **environ) as doomed:
            asyncio.run_coroutine_threadsafe(postbox.arrived.wait(), loop).result(PATIENCE)
            doomed.kill()

    loop = asyncio.get_running_loop()
    await asyncio.to_thread(kill)
    async with world.db.query() as tx:
        row = (await tx.execute(select(Message.attempts, Message.claimed_until, Message.sent_at))).one()
    assert (row.attempts, row.sent_at) == (1, None)
    assert row.claimed_until is not None
    await world.db.close()


async def test_two_replicas_share_the_letters(mailing: World, postbox: Postbox, shared: str, tmp_path: Path) -> None:
    """Processes of their own over one database: each letter leaves once, whoever takes it."""
    world = replace(mailing, db=Database.open(shared))
    smtp = f"smtp://127.0.0.1:{postbox.port}?tls=off"
    environ = {**SECRETS, "LICENTIA_DATABASE_URL": shared, "LICENTIA_SMTP_URL": smtp, "LICENTIA_MAIL_FROM": "a@example.com"}
    running = [Running(tmp_path, **environ) for _ in range(2)]
    try:
        await asyncio.gather(*(asyncio.to_thread(each.__enter__) for each in running))
        for _ in range(3):
            await asyncio.gather(*(noticed(world) for _ in range(10)))
            await asyncio.sleep(0.3)
        await until(lambda: len(postbox.received) == 30)
    finally:
        await asyncio.gather(*(asyncio.to_thread(each.stop) for each in running))
    await world.db.close()
    assert len({came.message["Message-ID"] for came in postbox.received}) == len(postbox.received) == 30
