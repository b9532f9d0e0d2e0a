"""The restore drill: a copy of a database under writes is started in a new place, and everything users hold still works.

The keys are not part of the copy. With other keys the start is refused, and the error names the setting.
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


async def back_up(url: str, folder: Path) -> Path:
    """Copy the database with the documented commands."""
    if url.startswith("sqlite"):
        done = await run_command(url, "backup", str(folder / "copy.db"))
        assert done[0] == 0, done
        return folder / "copy.db"
    await run_program(url, "pg_dump", "--format=custom", f"--file={folder / 'copy.dump'}")
    return folder / "copy.dump"


async def restore(copy: Path, folder: Path, server: NewPostgres) -> str:
    """Restore the copy into a new database and return its URL."""
    if copy.suffix == ".db":
        return databases.copy_template(copy, folder / "restored.db")
    url = await server.empty()
    await run_program(url, "pg_restore", "--exit-on-error", "--no-owner", f"--dbname={make_url(url).database}", str(copy))
    return url


async def run_program(url: str, name: str, *arguments: str) -> None:
    """Run one of PostgreSQL's programs against this database."""
    address, pipe = make_url(url), asyncio.subprocess.PIPE
    line = [str(postgres.programs()[0] / name), f"--host={address.query['host']}", f"--username={address.username}", *arguments]
    line += [str(address.database)] if name == "pg_dump" else []
    process = await asyncio.create_subprocess_exec(*line, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()


async def run_command(url: str, *arguments: str, **environ: str) -> tuple[int, str]:
    """Run our command line; returns its exit code and output."""
    given = {**SECRETS, "LICENTIA_DATABASE_URL": url, **environ}
    done = await asyncio.to_thread(CliRunner().invoke, commands, list(arguments), env=given)
    return done.exit_code, done.output


async def count_customers(world: World) -> int:
    async with world.db.query() as tx:
        return int(await tx.scalar(select(func.count()).select_from(Customer)) or 0)


@asynccontextmanager
async def concurrent_writes(given: Given) -> AsyncIterator[None]:
    """Create customers while the block runs."""
    stopping = asyncio.Event()

    async def write() -> None:
        while not stopping.is_set():
            await given.post("/v1/customers", {"name": "Ola"})

    task: Awaitable[None] = asyncio.create_task(write())
    try:
        yield
    finally:
        stopping.set()
        await task


@asynccontextmanager
async def open_database(url: str) -> AsyncIterator[Database]:
    database = Database.open(url)
    try:
        yield database
    finally:
        await database.close()


async def assert_usable(given: Given, holdings: Holdings, receipt: str) -> None:
    """Assert that a license key, a seat, an authenticator, a receipt, the ledger and all sealed values still work."""
    assert (await given.client.get("/readyz")).json()["status"] == "ready"
    body = {"license_key": holdings.license["key"], "product": holdings.license["product"], "device": {"fingerprint": "laptop"}}
    assert (await given.post("/v1/licenses/validate", body, {}))["valid"] is True
    assert (await given.activation(holdings.license))["token"] == holdings.seat["token"]
    given.clock.forward(seconds=30)
    assert (await given.logged_in(holdings.person)).token
    assert (await given.post("/v1/receipts/verify", {"receipt": receipt}, {}))["code"] == "ok"
    assert (await given.post("/v1/ledger/verify"))["valid"] is True
    await sealing_keys.check_sealed(given.world, METADATA)
    assert {each.unreadable for each in (await rewrap_all(with_keys(given.world, t2=NEW, t1=OLD))).values()} == {0}


async def test_a_copy_works_in_a_new_place(given: Given, app: FastAPI, tmp_path: Path, new_postgres: NewPostgres) -> None:
    holdings, agreement = await create_every_kind(given), await making.create_in_force(given)
    await making.accept(given, holdings.person, agreement)
    (receipt,) = given.expect(await given.client.get("/v1/me/receipts", headers=holdings.person.auth))["data"]
    before = await count_customers(given.world)
    async with concurrent_writes(given):
        copy = await back_up(given.world.db.url, tmp_path)
    assert await count_customers(given.world) > before
    assert stat.S_IMODE(copy.stat().st_mode) & 0o077 == 0 or copy.suffix == ".dump"
    keys = replace(given.world.keys, signing=SignerCache())
    async with open_database(await restore(copy, tmp_path, new_postgres)) as database:
        given.world = app.state.world = replace(given.world, db=database, keys=keys)
        assert before <= await count_customers(given.world)
        await assert_usable(given, holdings, receipt["jws"])


@pytest.mark.parametrize("name", ["LICENTIA_ENCRYPTION_KEYS", "LICENTIA_LOOKUP_KEY"])
async def test_a_copy_does_not_start_with_other_keys(given: Given, tmp_path: Path, new_postgres: NewPostgres, name: str) -> None:
    await create_every_kind(given)
    url = await restore(await back_up(given.world.db.url, tmp_path), tmp_path, new_postgres)
    other = b64encode(NEW).decode()
    code, output = await run_command(url, "serve", **{name: f"t1:{other}" if name.endswith("KEYS") else other})
    assert (code, output.splitlines()[-1].partition(":")[0]) == (78, name)


async def test_a_copy_never_replaces_a_file(given: Given, kind: str, tmp_path: Path) -> None:
    """Neither an older copy nor the database itself. For PostgreSQL the command names pg_dump."""
    (tmp_path / "there.db").write_bytes(b"kept")
    code, _ = await run_command(given.world.db.url, "backup", str(tmp_path / "there.db"))
    assert (code, (tmp_path / "there.db").read_bytes()) == (1, b"kept")
    code, output = await run_command(given.world.db.url, "backup", str(tmp_path / "new.db"))
    assert (code == 0) == (kind == "sqlite")
    assert "pg_dump" in output or kind == "sqlite"
    assert (await run_command(given.world.db.url, "backup", str(tmp_path / "no" / "such" / "place.db")))[0] == 1
