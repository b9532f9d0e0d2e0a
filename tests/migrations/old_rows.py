"""Rows as earlier releases stored them, for later releases to read. `python -m tests.migrations.old_rows` freezes this release's.

The program itself writes them, together with the credentials that its users would still have. Files are never rewritten: a new one is
added when a release changes what is stored.
"""

import asyncio
import json
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import UUID

import httpx
import sqlalchemy as sa
from sqlalchemy import Connection

from app.config.settings import Settings
from app.db import revision, types
from app.main import build_app
from app.models import METADATA
from app.world import World
from tests import databases
from tests.agreements import making
from tests.clock import TurnedClock
from tests.given import PASSWORD, Given
from tests.migrations import trees

FROZEN_SECRETS = {
    "LICENTIA_ENCRYPTION_KEYS": "t1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    "LICENTIA_LOOKUP_KEY": "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=",
}
"""The keys with which all frozen rows were written."""
FOLDER = Path(__file__).parent
TYPES: dict[type, Any] = {UUID: sa.Uuid(), datetime: types.UtcDateTime(), bytes: sa.LargeBinary(), dict: types.Json, list: types.Json}
Frozen = dict[str, Any]


def load_frozen() -> dict[str, Frozen]:
    """Return for each revision `held`, the credentials of its users, and `tables`, its rows, parents first."""
    return {path.stem.removeprefix("rows_"): json.loads(path.read_text("utf-8"), object_hook=_read) for path in FOLDER.glob("rows_*.json")}


async def insert(url: str, tables: dict[str, list[dict[str, Any]]]) -> None:
    """Insert the rows without using today's models."""

    def work(connection: Connection) -> None:
        for name, rows in tables.items():
            for row in rows:
                columns = [sa.column(column, TYPES.get(type(value))) for column, value in row.items()]
                connection.execute(sa.insert(sa.table(name, *columns)).values(row))

    await trees.query(url, work, commit=True)


async def freeze(given: Given) -> Frozen:
    """Use the main features, then return all stored rows and the credentials of the users."""
    agreed = await making.create_in_force(given)
    requires = {"requires": ["activation", "second_factor", "eula"]}
    given.expect(await given.client.patch(f"/v1/products/{agreed['product']}", json=requires, headers=given.root))
    license_ = await given.license(await given.policy({"code": agreed["product"]}, seat_by="device", max_seats=3, lease="P30D"))
    code, seat, person = await given.code(license_), await given.activation(license_), await given.strong()
    accepted = await making.accept(given, person, agreed)
    possessions = {
        "at": given.clock.now(),
        "operator": given.root,
        "product": agreed["product"],
        "license_key": license_["key"],
        "activation_code": code,
        "seat": {"id": seat["activation"]["id"], "token": seat["token"]},
        "person": {"email": person.email, "password": PASSWORD, "totp": person.secret, "token": person.token},
        "receipt": {"id": accepted["event"], "jws": accepted["receipt"]["jws"]},
    }
    return {"held": possessions, "tables": await _tables(given.world)}


async def _tables(world: World) -> dict[str, list[dict[str, Any]]]:
    async with world.db.read() as tx:
        tables = {table.name: (await tx.execute(sa.select(table))).mappings().all() for table in METADATA.sorted_tables}
    return {
        name: [{key: value for key, value in row.items() if value is not None} for row in rows] for name, rows in tables.items() if rows
    }


def _write(value: Any) -> dict[str, str]:
    if isinstance(value, bytes):
        return {"$bytes": value.hex()}
    return {"$time": value.isoformat()} if isinstance(value, datetime) else {"$uuid": str(UUID(str(value)))}


def _read(members: dict[str, Any]) -> Any:
    match members:
        case {"$bytes": str(text)}:
            return bytes.fromhex(text)
        case {"$time": str(text)}:
            return datetime.fromisoformat(text)
        case {"$uuid": str(text)}:
            return UUID(text)
    return members


async def main() -> None:
    with TemporaryDirectory() as folder:
        url = databases.sqlite_url(Path(folder) / "made.db")
        await databases.migrate(url)
        clock = TurnedClock()
        world = World.of(Settings.load({**FROZEN_SECRETS, "LICENTIA_DATABASE_URL": url}), clock=clock)
        transport = httpx.ASGITransport(build_app(world))
        async with httpx.AsyncClient(transport=transport, base_url="http://licentia.test") as client:
            content = await freeze(await Given.with_root_key(client, world, clock))
        await world.db.close()
    text = json.dumps(content, indent=1, ensure_ascii=False, default=_write)
    await asyncio.to_thread((FOLDER / f"rows_{revision.program_revision()}.json").write_text, text + "\n", "utf-8")


if __name__ == "__main__":
    asyncio.run(main())
