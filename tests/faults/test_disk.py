"""Without free space SQLite still reads and refuses writes with 503; with space again, writes continue.

Here SQLite has a limit of pages; `ops/chaos` fills a real disk.
"""

import sqlite3
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from app.db.database import Database
from app.world import World
from tests import databases
from tests.assertions import problem
from tests.clock import TurnedClock
from tests.given import Given

SPARE, ALL = 3, 2**31 - 2
"""Numbers of 4 KiB pages: added to the current ones, and the maximum of SQLite."""


@pytest.fixture
async def small(app: FastAPI, world: World, sqlite_template: Path, tmp_path: Path) -> AsyncIterator[World]:
    """A world on its own database file."""
    previous = app.state.world
    small_world = replace(world, db=Database.open(databases.copy_template(sqlite_template, tmp_path / "small.db"), 4))
    app.state.world = small_world
    yield small_world
    app.state.world = previous
    await small_world.db.close()


async def limit_pages(world: World, pages: int | None) -> None:
    """Limit the database to its current pages and SPARE, or to `pages`. The limit is valid for the one connection that writes."""
    async with world.db.writer.connect() as tx:
        page_count = (await tx.exec_driver_sql("PRAGMA page_count")).scalar_one()
        await tx.exec_driver_sql(f"PRAGMA max_page_count={page_count + SPARE if pages is None else pages}")


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
async def test_a_full_disk_refuses_writes_and_loses_nothing(given: Given, small: World, clock: TurnedClock, tmp_path: Path) -> None:
    given = await Given.with_root_key(given.client, small, clock)
    license_ = await given.seats("unlimited")
    await limit_pages(small, None)
    granted: list[httpx.Response] = []
    refused: list[httpx.Response] = []
    for n in range(120):
        body = {"license_key": license_["key"], "device": {"fingerprint": f"d-{n}"}}
        response = await given.client.post("/v1/activations", json=body, headers={"Idempotency-Key": f"k-{n}"} if n % 2 else {})
        (granted if response.is_success else refused).append(response)
    assert len(granted) > 0
    assert len(refused) > 2
    for response in refused:
        assert problem(response, 503, "unavailable")["title"]
        assert int(response.headers["retry-after"]) >= 1
    assert (await given.post("/v1/licenses/validate", {"license_key": license_["key"], "product": license_["product"]}, {}))["code"]
    assert (await given.client.get("/readyz")).status_code == 200
    await limit_pages(small, ALL)
    assert (await given.activation(license_, "later"))["seats"]["used"] == len(granted) + 1
    await small.db.close()
    connection = sqlite3.connect(tmp_path / "small.db")
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
