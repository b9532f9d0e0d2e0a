"""A sealing key is replaced while the service runs, and nothing that it sealed is lost (authentication R23)."""

import asyncio
import os
import sys
from base64 import b64encode
from collections.abc import Sequence
from uuid import UUID

import pytest
from fastapi import FastAPI
from sqlalchemy import delete, update

from app.mail.models import Message
from app.models import METADATA
from app.signing_keys import sealing_keys
from app.signing_keys.service import KeysMismatch, load_signer
from app.world import World
from tests.given import Given
from tests.house.source import ROOT
from tests.random_keys import SECRETS
from tests.signing_keys.rings import (
    COLUMNS,
    NEW,
    OLD,
    Holdings,
    addresses,
    customer,
    every_kind,
    letters,
    place,
    rewrapped,
    sealed_by,
    sealed_with,
    serve,
)


async def honoured(given: Given, it: Holdings) -> None:
    """Everything that hangs on a sealed row is as good as it was."""
    given.clock.forward(seconds=30)
    assert (await given.logged_in(it.person)).token
    seat = await given.activation(it.license)
    assert (seat["activation"]["id"], seat["token"]) == (it.seat["activation"]["id"], it.seat["token"])
    assert (await customer(given, "kept")).headers["idempotency-replayed"] == "true"


async def test_r23_a_ring_turns_over_and_every_row_goes_with_it(given: Given, app: FastAPI) -> None:
    """The whole way of the README: second everywhere, first everywhere, sealed anew, gone; served by both orders at once."""
    held = await every_kind(given)
    assert set(await sealed_by(given.world)) == {"t1"}
    assert {name for rows in (await sealing_keys.count_by_key(given.world, COLUMNS)).values() for name in rows} == {
        it.name for it in COLUMNS
    }
    serve(app, given, t1=OLD, t2=NEW)
    await honoured(given, held)
    serve(app, given, t2=NEW, t1=OLD)
    await honoured(given, held)
    await customer(given, "by-the-new-key")
    serve(app, given, t1=OLD, t2=NEW)  # a replica that was not told yet reads what the others write, and goes on writing
    assert (await customer(given, "by-the-new-key")).headers["idempotency-replayed"] == "true"
    await honoured(given, held)
    world = serve(app, given, t2=NEW, t1=OLD)
    before = await sealed_by(world)
    told = await rewrapped(world)
    assert sum(it.resealed for it in told.values()) == before["t1"]
    assert await sealed_by(world) == {"t2": sum(before.values())}
    serve(app, given, t1=OLD, t2=NEW)
    await honoured(given, held)
    await customer(given, "late")
    assert sum(it.resealed for it in (await rewrapped(sealed_with(world, t2=NEW, t1=OLD))).values()) == 1
    alone = serve(app, given, t2=NEW)
    await sealing_keys.check_sealed(alone, METADATA)
    await honoured(given, held)


async def test_two_at_once_seal_every_row_once(given: Given) -> None:
    await letters(given.world, 450)
    worlds = [sealed_with(given.world, t2=NEW, t1=OLD) for _ in range(2)]
    told = await asyncio.gather(*(rewrapped(world) for world in worlds))
    assert sum(each["messages.recipient_sealed"].resealed for each in told) == 450
    assert await sealed_by(worlds[0]) == {"t2": 450}


async def test_rows_that_change_meanwhile_keep_what_was_written_last(given: Given) -> None:
    """By replicas that still write by the old key, or take rows away."""
    ids = await letters(given.world, 600)
    changed, gone = ids[50::10], ids[55::10]

    async def serving() -> None:
        for row in changed:
            anew = given.world.keys.sealer.seal(b"anew", place(row))
            async with given.world.db.write() as tx:
                await tx.execute(update(Message).where(Message.id == row).values(recipient_sealed=anew))
        async with given.world.db.write() as tx:
            await tx.execute(delete(Message).where(Message.id.in_(gone)))

    world = sealed_with(given.world, t2=NEW, t1=OLD)
    await asyncio.gather(rewrapped(world), serving())
    assert all(it.remaining == 0 for it in (await rewrapped(world)).values())
    left = await addresses(world)
    assert [row for row, _ in left] == [row for row in ids if row not in gone]
    alone = sealed_with(given.world, t2=NEW).keys.sealer
    assert {row: alone.open(sealed, place(row)) for row, sealed in left} == expected(left, changed)


def expected(left: Sequence[tuple[UUID, str]], changed: Sequence[UUID]) -> dict[UUID, bytes]:
    return {row: b"anew" if row in changed else row.hex.encode() for row, _ in left}


async def test_killed_in_the_middle_it_goes_on_where_it_was(given: Given) -> None:
    """-9 to the command itself; at no moment is there a row that opens with neither key."""
    await load_signer(given.world)
    ids = await letters(given.world, 2000)
    environ = {**SECRETS, "LICENTIA_ENCRYPTION_KEYS": f"t2:{b64encode(NEW).decode()},{SECRETS['LICENTIA_ENCRYPTION_KEYS']}"}
    environ |= {"LICENTIA_DATABASE_URL": given.world.db.url, "PATH": os.defpath}
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "app", "keys", "rewrap", cwd=ROOT, env=environ)
    while (await sealed_by(given.world)).get("t2", 0) < 200:
        assert process.returncode is None
        await asyncio.sleep(0.02)
    process.kill()
    await process.wait()
    both = sealed_with(given.world, t2=NEW, t1=OLD)
    assert {row: both.keys.sealer.open(sealed, place(row)) for row, sealed in await addresses(both)} == {it: it.hex.encode() for it in ids}
    done = (await sealed_by(both))["t2"]
    assert 200 <= done < 2000
    assert (await rewrapped(both))["messages.recipient_sealed"].resealed == 2001 - done - 1
    assert await sealed_by(both) == {"t2": 2001}


async def test_what_does_not_open_is_counted_and_in_nobodys_way(given: Given) -> None:
    """A row of a lost key between good ones, on every page of the way; told by column and number."""
    first, *_, last = await letters(given.world, 5)
    lost = sealed_with(given.world, t0=NEW).keys.sealer
    async with given.world.db.write() as tx:
        for row in (first, last):
            await tx.execute(update(Message).where(Message.id == row).values(recipient_sealed=lost.seal(b"lost", place(row))))
    told = (await rewrapped(sealed_with(given.world, t2=NEW, t1=OLD)))["messages.recipient_sealed"]
    assert (told.resealed, told.unreadable, told.remaining) == (3, 2, 2)
    with pytest.raises(KeysMismatch, match=r"t0 \(in messages\.recipient_sealed\)"):
        await sealing_keys.check_sealed(sealed_with(given.world, t2=NEW, t1=OLD), METADATA)


async def test_keys_are_told_apart_by_case(given: Given) -> None:
    await letters(sealed_with(given.world, k1=OLD), 3)
    world = sealed_with(given.world, K1=NEW, k1=OLD, t1=OLD)
    assert (await rewrapped(world))["messages.recipient_sealed"].resealed == 3


async def test_r23_a_start_without_a_key_that_rows_name_is_refused(given: Given, world: World) -> None:
    await given.with_totp()
    await sealing_keys.check_sealed(world, METADATA)
    with pytest.raises(KeysMismatch, match=r"t1 \(in .*factors\.secret_sealed"):
        await sealing_keys.check_sealed(sealed_with(world, t2=NEW), METADATA)
