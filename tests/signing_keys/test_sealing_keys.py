"""An encryption key is replaced while the service runs, without loss of data (authentication R23)."""

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
    count_by_key,
    create_customer,
    create_every_kind,
    insert_letters,
    place,
    read_addresses,
    rewrap_all,
    serve,
    with_keys,
)


async def assert_unchanged(given: Given, holdings: Holdings) -> None:
    """Everything that depends on a sealed row still works."""
    given.clock.forward(seconds=30)
    assert (await given.logged_in(holdings.person)).token
    seat = await given.activation(holdings.license)
    assert (seat["activation"]["id"], seat["token"]) == (holdings.seat["activation"]["id"], holdings.seat["token"])
    assert (await create_customer(given, "kept")).headers["idempotency-replayed"] == "true"


async def test_r23_an_encryption_key_is_replaced_in_every_row(given: Given, app: FastAPI) -> None:
    """The documented steps: add the key second, then first, rewrap, remove the old key; replicas may have different orders."""
    holdings = await create_every_kind(given)
    assert set(await count_by_key(given.world)) == {"t1"}
    assert {name for rows in (await sealing_keys.count_by_key(given.world, COLUMNS)).values() for name in rows} == {
        each.name for each in COLUMNS
    }
    serve(app, given, t1=OLD, t2=NEW)
    await assert_unchanged(given, holdings)
    serve(app, given, t2=NEW, t1=OLD)
    await assert_unchanged(given, holdings)
    await create_customer(given, "by-the-new-key")
    serve(app, given, t1=OLD, t2=NEW)  # a replica with the old order reads what the others write, and continues to write
    assert (await create_customer(given, "by-the-new-key")).headers["idempotency-replayed"] == "true"
    await assert_unchanged(given, holdings)
    world = serve(app, given, t2=NEW, t1=OLD)
    before = await count_by_key(world)
    progress = await rewrap_all(world)
    assert sum(each.resealed for each in progress.values()) == before["t1"]
    assert await count_by_key(world) == {"t2": sum(before.values())}
    serve(app, given, t1=OLD, t2=NEW)
    await assert_unchanged(given, holdings)
    await create_customer(given, "late")
    assert sum(each.resealed for each in (await rewrap_all(with_keys(world, t2=NEW, t1=OLD))).values()) == 1
    alone = serve(app, given, t2=NEW)
    await sealing_keys.check_sealed(alone, METADATA)
    await assert_unchanged(given, holdings)


async def test_concurrent_rewraps_seal_every_row_once(given: Given) -> None:
    await insert_letters(given.world, 450)
    worlds = [with_keys(given.world, t2=NEW, t1=OLD) for _ in range(2)]
    progress = await asyncio.gather(*(rewrap_all(world) for world in worlds))
    assert sum(each["messages.recipient_sealed"].resealed for each in progress) == 450
    assert await count_by_key(worlds[0]) == {"t2": 450}


async def test_concurrent_changes_are_not_lost(given: Given) -> None:
    """Changes by replicas that still write with the old key, or delete rows."""
    ids = await insert_letters(given.world, 600)
    changed, gone = ids[50::10], ids[55::10]

    async def serving() -> None:
        for row in changed:
            resealed = given.world.keys.sealer.seal(b"changed", place(row))
            async with given.world.db.write() as tx:
                await tx.execute(update(Message).where(Message.id == row).values(recipient_sealed=resealed))
        async with given.world.db.write() as tx:
            await tx.execute(delete(Message).where(Message.id.in_(gone)))

    world = with_keys(given.world, t2=NEW, t1=OLD)
    await asyncio.gather(rewrap_all(world), serving())
    assert all(each.remaining == 0 for each in (await rewrap_all(world)).values())
    left = await read_addresses(world)
    assert [row for row, _ in left] == [row for row in ids if row not in gone]
    alone = with_keys(given.world, t2=NEW).keys.sealer
    assert {row: alone.open(sealed, place(row)) for row, sealed in left} == expected(left, changed)


def expected(left: Sequence[tuple[UUID, str]], changed: Sequence[UUID]) -> dict[UUID, bytes]:
    return {row: b"changed" if row in changed else row.hex.encode() for row, _ in left}


async def test_a_killed_rewrap_continues_at_the_next_call(given: Given) -> None:
    """Kill -9 to the command; every row opens with one of the keys at any time."""
    await load_signer(given.world)
    ids = await insert_letters(given.world, 2000)
    environ = {**SECRETS, "LICENTIA_ENCRYPTION_KEYS": f"t2:{b64encode(NEW).decode()},{SECRETS['LICENTIA_ENCRYPTION_KEYS']}"}
    environ |= {"LICENTIA_DATABASE_URL": given.world.db.url, "PATH": os.defpath}
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "app", "keys", "rewrap", cwd=ROOT, env=environ)
    while (await count_by_key(given.world)).get("t2", 0) < 200:
        assert process.returncode is None
        await asyncio.sleep(0.02)
    process.kill()
    await process.wait()
    both = with_keys(given.world, t2=NEW, t1=OLD)
    assert {row: both.keys.sealer.open(sealed, place(row)) for row, sealed in await read_addresses(both)} == {
        each: each.hex.encode() for each in ids
    }
    done = (await count_by_key(both))["t2"]
    assert 200 <= done < 2000
    assert (await rewrap_all(both))["messages.recipient_sealed"].resealed == 2001 - done - 1
    assert await count_by_key(both) == {"t2": 2001}


async def test_unreadable_values_are_counted_and_do_not_block_others(given: Given) -> None:
    """Rows of a lost key among readable ones; reported by column and number."""
    first, *_, last = await insert_letters(given.world, 5)
    lost = with_keys(given.world, t0=NEW).keys.sealer
    async with given.world.db.write() as tx:
        for row in (first, last):
            await tx.execute(update(Message).where(Message.id == row).values(recipient_sealed=lost.seal(b"lost", place(row))))
    progress = (await rewrap_all(with_keys(given.world, t2=NEW, t1=OLD)))["messages.recipient_sealed"]
    assert (progress.resealed, progress.unreadable, progress.remaining) == (3, 2, 2)
    with pytest.raises(KeysMismatch, match=r"t0 \(in messages\.recipient_sealed\)"):
        await sealing_keys.check_sealed(with_keys(given.world, t2=NEW, t1=OLD), METADATA)


async def test_key_ids_are_case_sensitive(given: Given) -> None:
    await insert_letters(with_keys(given.world, k1=OLD), 3)
    world = with_keys(given.world, K1=NEW, k1=OLD, t1=OLD)
    assert (await rewrap_all(world))["messages.recipient_sealed"].resealed == 3


async def test_r23_a_start_without_a_key_that_sealed_rows_is_refused(given: Given, world: World) -> None:
    await given.with_totp()
    await sealing_keys.check_sealed(world, METADATA)
    with pytest.raises(KeysMismatch, match=r"t1 \(in .*factors\.secret_sealed"):
        await sealing_keys.check_sealed(with_keys(world, t2=NEW), METADATA)
