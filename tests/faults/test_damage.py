"""With a damaged SQLite file every request gets 503, and the log has the cause."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from fastapi import FastAPI

from app.db.database import Database
from tests import databases
from tests.assertions import problem
from tests.given import Given

PAGE = 4096


def replace_file(content: bytes) -> bytes:
    return b"not a database. " * (len(content) // 16)


def overwrite_pages(content: bytes) -> bytes:
    """Keep the first page, which lists the tables, and overwrite all others."""
    return content[:PAGE] + b"\xff" * (len(content) - PAGE)


def copy_damaged(template: Path, damage: Callable[[bytes], bytes], target: Path) -> str:
    target.write_bytes(damage(template.read_bytes()))
    return databases.sqlite_url(target)


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
@pytest.mark.parametrize("damage", [replace_file, overwrite_pages])
async def test_a_damaged_file_is_unavailable_and_logged(
    given: Given, app: FastAPI, sqlite_template: Path, tmp_path: Path, damage: Callable[[bytes], bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    url = copy_damaged(sqlite_template, damage, tmp_path / "damaged.db")
    app.state.world = broken = replace(given.world, db=Database.open(url, 4))
    body = {"license_key": "A-KEY", "product": "studio"}
    responses = [
        await given.client.post("/v1/licenses/validate", json=body),
        await given.client.get("/v1/customers", headers=given.root),
        await given.client.post("/v1/login", json={"identifier": "ola@example.com", "password": "a staple of some sort"}),
    ]
    ready, alive = await given.client.get("/readyz"), await given.client.get("/healthz")
    await broken.db.close()
    for response in responses:
        assert problem(response, 503, "unavailable")["title"]
    assert (ready.status_code, alive.status_code) == (503, 200)
    assert capsys.readouterr().out.count("database_damaged") == len(responses)
