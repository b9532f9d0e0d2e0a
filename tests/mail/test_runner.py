"""The background worker of mail: it wakes up for new letters, and errors do not stop it."""

import asyncio
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
from tests.assertions import DEADLINE, wait_until
from tests.conftest import NewPostgres
from tests.postbox import Postbox
from tests.random_keys import SECRETS
from tests.servers import Running


async def enqueue_notice(world: World) -> None:
    async with world.db.write() as tx:
        await enqueue_letter(tx, world, Recipient("ola@example.com"), Template.PASSWORD_CHANGED, {"when": world.clock.now()})


@pytest.fixture
def hourly_polls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a wake-up makes the worker look for rows, and the transaction has a second to commit after it."""
    for name, seconds in {"IDLE": 3600.0, "ACTIVE": 3600.0, "COMMIT_DELAY": 1.0}.items():
        monkeypatch.setattr(wakeup, name, seconds)


@pytest.mark.usefixtures("hourly_polls")
async def test_the_application_sends_letters_while_it_runs(mailing: World, postbox: Postbox) -> None:
    """The wake-up sends the letter: the next poll would come an hour later."""
    app = build_app(replace(mailing, db=Database.open(mailing.db.url)))
    async with app.router.lifespan_context(app):
        await asyncio.sleep(0.2)
        await enqueue_notice(app.state.world)
        await wait_until(lambda: bool(postbox.received))


async def test_a_letter_that_is_being_sent_is_finished_at_the_end(mailing: World, postbox: Postbox) -> None:
    postbox.gate = asyncio.Event()
    async with runner.run(mailing):
        await enqueue_notice(mailing)
        await asyncio.wait_for(postbox.arrived.wait(), DEADLINE)
        asyncio.get_running_loop().call_later(0.3, postbox.gate.set)
    assert len(postbox.received) == 1
    async with mailing.db.query() as tx:
        assert (await tx.scalar(select(Message.sent_at))) is not None


async def test_a_slow_server_does_not_slow_a_request(mailing: World, postbox: Postbox, client: httpx.AsyncClient, app: object) -> None:
    postbox.gate = asyncio.Event()
    async with runner.run(mailing):
        await enqueue_notice(mailing)
        await asyncio.wait_for(postbox.arrived.wait(), DEADLINE)
        async with asyncio.timeout(DEADLINE):
            assert (await client.get("/readyz")).status_code == 200
            await enqueue_notice(mailing)
        postbox.gate.set()
        await wait_until(lambda: len(postbox.received) == 2)


async def test_an_unreachable_database_does_not_stop_the_worker(mailing: World, postbox: Postbox, tmp_path: Path) -> None:
    """It logs the error and polls again."""
    gone = replace(mailing, db=Database.open(databases.sqlite_url(tmp_path / "nowhere" / "gone.db")))
    async with runner.run(gone):
        await asyncio.sleep(0.3)
        (tmp_path / "nowhere").mkdir()
        await databases.migrate(gone.db.url)
        await enqueue_notice(gone)
        await wait_until(lambda: len(postbox.received) == 1)
    await gone.db.close()


@pytest.fixture
async def shared(kind: str, sqlite_template: Path, new_postgres: NewPostgres, tmp_path: Path) -> str:
    """Return the URL of a migrated database that another process can open."""
    return databases.copy_template(sqlite_template, tmp_path / "shared.db") if kind == "sqlite" else await new_postgres.migrated()


async def test_kill_minus_9_while_a_letter_is_sent_loses_nothing(mailing: World, postbox: Postbox, shared: str, tmp_path: Path) -> None:
    """The claim of the dead process prevents a second letter until it expires."""
    world = replace(mailing, db=Database.open(shared))
    postbox.gate = asyncio.Event()
    await enqueue_notice(world)
    smtp = f"smtp://127.0.0.1:{postbox.port}?tls=off"
    environ = {**SECRETS, "LICENTIA_DATABASE_URL": shared, "LICENTIA_SMTP_URL": smtp, "LICENTIA_MAIL_FROM": "a@example.com"}

    def kill() -> None:
        with Running(tmp_path, **environ) as doomed:
            asyncio.run_coroutine_threadsafe(postbox.arrived.wait(), loop).result(DEADLINE)
            doomed.kill()

    loop = asyncio.get_running_loop()
    await asyncio.to_thread(kill)
    async with world.db.query() as tx:
        row = (await tx.execute(select(Message.attempts, Message.claimed_until, Message.sent_at))).one()
    assert (row.attempts, row.sent_at) == (1, None)
    assert row.claimed_until is not None
    await world.db.close()


@pytest.mark.parametrize("kind", ["postgresql", pytest.param("sqlite", marks=pytest.mark.slow)], indirect=True)
async def test_two_replicas_share_the_letters(mailing: World, postbox: Postbox, shared: str, tmp_path: Path) -> None:
    """Two processes with one database send each letter once."""
    world = replace(mailing, db=Database.open(shared))
    smtp = f"smtp://127.0.0.1:{postbox.port}?tls=off"
    environ = {**SECRETS, "LICENTIA_DATABASE_URL": shared, "LICENTIA_SMTP_URL": smtp, "LICENTIA_MAIL_FROM": "a@example.com"}
    running = [Running(tmp_path, **environ) for _ in range(2)]
    try:
        await asyncio.gather(*(asyncio.to_thread(each.__enter__) for each in running))
        for _ in range(3):
            await asyncio.gather(*(enqueue_notice(world) for _ in range(10)))
            await asyncio.sleep(0.3)
        await wait_until(lambda: len(postbox.received) == 30)
    finally:
        await asyncio.gather(*(asyncio.to_thread(each.stop) for each in running))
    await world.db.close()
    assert len({came.message["Message-ID"] for came in postbox.received}) == len(postbox.received) == 30
