"""The drill: a copy of a database that is being written is brought up in a fresh place, and everything people hold is still good.

The keys are no part of the copy. With others, a start is refused by name: nothing would open, and no license key would be known.
"""

import asyncio
import stat
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi import FastAPI
from sqlalchemy import func, select
from sqlalchemy.engine import make_url
from typer.testing import CliRunner

from app.catalog.models import Customer
from app.cli.commands import app as commands
from app.db.database import Database
from app.models import METADATA
from app.security.signing import SignerCache
from app.signing_keys import sealing_keys
from app.world import World
from tests import databases, postgres
from tests.agreements import making
from tests.conftest import NewPostgres
from tests.given import Given
from tests.random_keys import SECRETS
from tests.signing_keys.rings import NEW, OLD, Holdings, create_every_kind, rewrap_all, with_keys


async def backed_up(url: str, folder: Path) -> Path:
    """By the commands of the README."""
    if url.startswith("sqlite"):
        done = await command(url, "backup", str(folder / "copy.db"))
        assert done[0] == 0, done
        return folder / "copy.db"
    await program(url, "pg_dump", "--format=custom", f"--file={folder / 'copy.dump'}")
    return folder / "copy.dump"


async def restored(copy: Path, folder: Path, server: NewPostgres) -> str:
    """The address of a database that was empty."""
    if copy.suffix == ".db":
        return databases.copy_template(copy, folder / "restored.db")
    url = await server.empty()
    await program(url, "pg_restore", "--exit-on-error", "--no-owner", f"--dbname={make_url(url).database}", str(copy))
    return url


async def program(url: str, name: str, *arguments: str) -> None:
    """One of PostgreSQL's own, at this database."""
    address, pipe = make_url(url), asyncio.subprocess.PIPE
    line = [str(postgres.programs()[0] / name), f"--host={address.query['host']}", f"--username={address.username}", *arguments]
    line += [str(address.database)] if name == "pg_dump" else []
    process = await asyncio.create_subprocess_exec(*line, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
    told, _ = await process.communicate()
    assert process.returncode == 0, told.decode()


async def command(url: str, *arguments: str, **environ: str) -> tuple[int, str]:
    """(exit code, what it says) of our own command line."""
    given = {**SECRETS, "LICENTIA_DATABASE_URL": url, **environ}
    done = await asyncio.to_thread(CliRunner().invoke, commands, list(arguments), env=given)
    return done.exit_code, done.output


async def customers(world: World) -> int:
    async with world.db.query() as tx:
        return int(await tx.scalar(select(func.count()).select_from(Customer)) or 0)


@asynccontextmanager
async def being_written(given: Given) -> AsyncIterator[None]:
    """Somebody makes customers for as long as the block runs."""
    leaving = asyncio.Event()

    async def write() -> None:
        while not leaving.is_set():
            await given.post("/v1/customers", {"name": "Ola"})

    task: Awaitable[None] = asyncio.create_task(write())
    try:
        yield
    finally:
        leaving.set()
        await task


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    database = Database.open(url)
    try:
        yield database
    finally:
        await database.close()


async def still_good(given: Given, held: Holdings, receipt: str) -> None:
    """A key, a seat, an authenticator, a receipt, the record, and every value that is sealed."""
    assert (await given.client.get("/readyz")).json()["status"] == "ready"
    body = {"license_key": held.license["key"], "product": held.license["product"], "device": {"fingerprint": "laptop"}}
    assert (await given.post("/v1/licenses/validate", body, {}))["valid"] is True
    assert (await given.activation(held.license))["token"] == held.seat["token"]
    given.clock.forward(seconds=30)
    assert (await given.logged_in(held.person)).token
    assert (await given.post("/v1/receipts/verify", {"receipt": receipt}, {}))["code"] == "ok"
    assert (await given.post("/v1/ledger/verify"))["valid"] is True
    await sealing_keys.check_sealed(given.world, METADATA)
    assert {it.unreadable for it in (await rewrap_all(with_keys(given.world, t2=NEW, t1=OLD))).values()} == {0}


async def test_a_copy_is_brought_up_in_a_fresh_place(given: Given, app: FastAPI, tmp_path: Path, new_postgres: NewPostgres) -> None:
    held, found = await create_every_kind(given), await making.create_in_force(given)
    await making.accept(given, held.person, found)
    (receipt,) = given.expect(await given.client.get("/v1/me/receipts", headers=held.person.auth))["data"]
    before = await customers(given.world)
    async with being_written(given):
        copy = await backed_up(given.world.db.url, tmp_path)
    assert await customers(given.world) > before
    assert stat.S_IMODE(copy.stat().st_mode) & 0o077 == 0 or copy.suffix == ".dump"
    keys = replace(given.world.keys, signing=SignerCache())
    async with opened(await restored(copy, tmp_path, new_postgres)) as database:
        given.world = app.state.world = replace(given.world, db=database, keys=keys)
        assert before <= await customers(given.world)
        await still_good(given, held, receipt["jws"])


@pytest.mark.parametrize("name", ["LICENTIA_ENCRYPTION_KEYS", "LICENTIA_LOOKUP_KEY"])
async def test_a_copy_without_its_keys_is_not_started(given: Given, tmp_path: Path, new_postgres: NewPostgres, name: str) -> None:
    await create_every_kind(given)
    url = await restored(await backed_up(given.world.db.url, tmp_path), tmp_path, new_postgres)
    other = b64encode(NEW).decode()
    code, told = await command(url, "serve", **{name: f"t1:{other}" if name.endswith("KEYS") else other})
    assert (code, told.splitlines()[-1].partition(":")[0]) == (78, name)


async def test_a_copy_never_takes_the_place_of_a_file(given: Given, kind: str, tmp_path: Path) -> None:
    """Neither of an older copy nor of the database itself; and PostgreSQL has programs of its own."""
    (tmp_path / "there.db").write_bytes(b"kept")
    code, _ = await command(given.world.db.url, "backup", str(tmp_path / "there.db"))
    assert (code, (tmp_path / "there.db").read_bytes()) == (1, b"kept")
    code, told = await command(given.world.db.url, "backup", str(tmp_path / "new.db"))
    assert (code == 0) == (kind == "sqlite")
    assert "pg_dump" in told or kind == "sqlite"
    assert (await command(given.world.db.url, "backup", str(tmp_path / "no" / "such" / "place.db")))[0] == 1
