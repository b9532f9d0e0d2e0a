"""Export of everything stored about an end user, as one JSON document that is written page by page (agreements P8).

It contains no secrets: no hashes, sealed values, keys or tokens. Each page is a separate query, so a slow reader blocks nothing.
"""

import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from uuid import UUID

from app.agreements import data_lifecycle as agreements
from app.base.durations import instant_text
from app.db.export_pages import ExportSection, read_export_page
from app.db.types import AnyRow
from app.events import data_lifecycle as events
from app.events.service import Actor, record
from app.licenses import data_lifecycle as licenses
from app.login import data_lifecycle as login
from app.mail import data_lifecycle as mail
from app.users.data_lifecycle import PROFILE
from app.users.problems import UserNotFound
from app.world import World

SCHEMA_VERSION = 1
SECTIONS: tuple[ExportSection, ...] = (*login.SECTIONS, *licenses.SECTIONS, *agreements.SECTIONS, *mail.SECTIONS, *events.SECTIONS)


async def export_user(world: World, actor: Actor, user_id: UUID) -> AsyncIterator[str]:
    """Return the document in pieces. The export itself is recorded in the user's history (agreements P4). Raises UserNotFound."""
    async with world.db.write() as tx:
        profile = (await tx.execute(PROFILE, {"whose": user_id})).one_or_none()
        if profile is None:
            raise UserNotFound
        await record(tx, world, "user.exported", actor, ("user", user_id), user_id)
    return _write_document(world, profile)


async def _write_document(world: World, profile: AnyRow) -> AsyncIterator[str]:
    head = {"schema_version": SCHEMA_VERSION, "exported_at": world.clock.now(), "profile": dict(profile._mapping)}
    yield _to_json(head)[:-1]
    for section in SECTIONS:
        yield f', "{section.name}": ['
        separator = ""
        async for row in _read_rows(world, section, profile.id):
            yield separator + _to_json(dict(row._mapping))
            separator = ", "
        yield "]"
    yield "}\n"


async def _read_rows(world: World, section: ExportSection, user_id: UUID) -> AsyncIterator[AnyRow]:
    after: UUID | None = None
    while True:
        async with world.db.query() as tx:
            rows, after = await read_export_page(tx, section, user_id, after)
        for row in rows:
            yield row
        if after is None:
            return


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=_to_text)


def _to_text(value: Any) -> str:
    """Convert a time or an id. Raises TypeError for anything else, above all bytes: only secrets are stored as bytes."""
    if isinstance(value, datetime):
        return instant_text(value)
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not exported")
