"""Rotation of signing keys: at every moment all valid tokens verify (authentication R63)."""

import asyncio
from collections import Counter
from typing import Any

import jwt
import pytest
from sqlalchemy import select, update

from app.db import dialect
from app.security.signing import SignerCache
from app.signing_keys import rotation
from app.signing_keys.models import KeyState, SigningKeyRow
from app.signing_keys.problems import KeyInUse, KeyNotFound, KeyTooYoung
from app.signing_keys.rotation import Rotation
from app.signing_keys.service import load_signer
from app.world import Keys, World
from tests.given import Given

NEW_KEY = bytes(range(32, 64))


async def list_published(given: Given) -> list[str]:
    answer = await given.client.get("/.well-known/jwks.json")
    assert answer.headers["cache-control"] == "public, max-age=300"
    return [key["kid"] for key in answer.json()["keys"]]


def signed_by(token: str | None) -> Any:
    return jwt.get_unverified_header(str(token))["kid"]


async def test_r63_a_key_is_published_a_day_before_it_signs(given: Given) -> None:
    first = await rotation.rotate_keys(given.world)
    assert set(await list_published(given)) == {first.active, first.next}
    assert signed_by((await given.logged_in()).token) == first.active
    given.clock.forward(hours=23, minutes=59)
    with pytest.raises(KeyTooYoung):
        await rotation.rotate_keys(given.world)
    given.clock.forward(minutes=1)
    old = await given.logged_in()
    second = await rotation.rotate_keys(given.world)
    assert second.active == first.next
    assert set(await list_published(given)) == {first.active, second.active, second.next}
    assert signed_by((await given.logged_in()).token) == second.active
    assert (await given.client.get("/v1/me", headers=old.auth)).status_code == 200  # signed by the retired key


async def test_r63_a_leaked_key_is_replaced_at_once(given: Given) -> None:
    person = await given.logged_in()
    turned = await rotation.rotate_keys(given.world, at_once=True)
    assert signed_by(person.token) != turned.active
    assert signed_by((await given.logged_in()).token) == turned.active


async def test_r63_another_replica_signs_with_the_new_key_within_minutes(given: Given, world: World) -> None:
    await rotation.rotate_keys(given.world)
    given.clock.forward(hours=24)
    before = signed_by((await given.logged_in()).token)
    other = World(
        world.db, world.clock, world.entropy, world.settings, Keys(world.keys.sealer, world.keys.lookup, SignerCache()), world.hasher
    )
    turned = await rotation.rotate_keys(other)
    assert signed_by((await given.logged_in()).token) == before
    given.clock.forward(minutes=5)
    assert signed_by((await given.logged_in()).token) == turned.active


async def list_by_state(given: Given) -> dict[str, list[str]]:
    async with given.world.db.query() as tx:
        rows = (await tx.execute(select(SigningKeyRow.state, SigningKeyRow.kid))).all()
    return {state: [row.kid for row in rows if row.state == state] for state in {row.state for row in rows}}


async def test_concurrent_rotations_run_one_after_the_other(given: Given) -> None:
    """The first one rotates; the others find the new next key too young."""
    await rotation.rotate_keys(given.world)
    given.clock.forward(hours=24)
    results = await asyncio.gather(*(rotation.rotate_keys(given.world) for _ in range(4)), return_exceptions=True)
    assert Counter(type(result) for result in results) == {Rotation: 1, KeyTooYoung: 3}
    assert {state: len(kids) for state, kids in (await list_by_state(given)).items()} == {"active": 1, "next": 1, "retired": 1}


async def test_concurrent_rotations_of_leaked_keys_each_take_effect(given: Given) -> None:
    results = await asyncio.gather(*(rotation.rotate_keys(given.world, at_once=True) for _ in range(4)))
    assert len({result.active for result in results}) == 4
    assert {state: len(kids) for state, kids in (await list_by_state(given)).items()} == {"active": 1, "next": 1, "retired": 4}


@pytest.mark.parametrize("at_once", [False, True])
async def test_r63_a_rotation_does_not_undo_a_revocation(given: Given, at_once: bool) -> None:
    """The next key leaked; its revocation, even by a release without the lock, is not committed yet when the rotation begins."""
    first = await rotation.rotate_keys(given.world)
    given.clock.forward(hours=24)
    begun = asyncio.Event()

    async def turned() -> Rotation:
        await begun.wait()
        return await rotation.rotate_keys(given.world, at_once=at_once)

    task = asyncio.create_task(turned())  # outside the block below: a write of its own
    async with given.world.db.write() as tx:
        await tx.execute(update(SigningKeyRow).where(SigningKeyRow.kid == first.next).values(state=KeyState.REVOKED))
        begun.set()
        assert not (await asyncio.wait({task}, timeout=0.3))[0]
    second = await task
    assert (second.active == first.active) is not at_once
    by_state_after = {"active": [second.active], "next": [second.next], "revoked": [first.next]}
    assert await list_by_state(given) == (by_state_after | {"retired": [first.active]} if at_once else by_state_after)


async def test_r63_a_revocation_waits_for_a_rotation(given: Given) -> None:
    """The key that is active until the current rotation commits can be revoked right after it."""
    first, begun = await rotation.rotate_keys(given.world), asyncio.Event()

    async def revoked() -> None:
        await begun.wait()
        await rotation.revoke_key(given.world, first.active)

    task = asyncio.create_task(revoked())
    async with given.world.db.write() as tx:
        await dialect.lock_by_name(tx, rotation.LOCK)
        for kid, state in ((first.active, KeyState.RETIRED), (first.next, KeyState.ACTIVE)):
            await tx.execute(update(SigningKeyRow).where(SigningKeyRow.kid == kid).values(state=state))
        begun.set()
        assert not (await asyncio.wait({task}, timeout=0.3))[0]
    await task
    assert await list_by_state(given) == {"active": [first.next], "revoked": [first.active]}


async def test_r63_access_tokens_of_a_retired_key_are_refused_after_the_last_has_expired(given: Given) -> None:
    """Otherwise a stolen private key would stay useful permanently."""
    person = await given.logged_in()
    sign = await load_signer(given.world)
    claims = sign.read("at+jwt", str(person.token))
    await rotation.rotate_keys(given.world, at_once=True)
    fresh = {"iat": int(given.clock.now().timestamp()) + 1000, "exp": int(given.clock.now().timestamp()) + 3000}
    forged = {"Authorization": f"Bearer {sign.sign('at+jwt', claims | fresh)}"}
    given.clock.forward(minutes=16)
    assert (await given.client.get("/v1/me", headers=forged)).status_code == 401
    again = {"Authorization": f"Bearer {(await load_signer(given.world)).sign('at+jwt', claims | fresh)}"}
    assert (await given.client.get("/v1/me", headers=again)).status_code == 200  # it was not for anything else


async def test_r63_a_key_that_leaked_is_revoked(given: Given) -> None:
    person = await given.logged_in()
    leaked = signed_by(person.token)
    with pytest.raises(KeyInUse):
        await rotation.revoke_key(given.world, leaked)
    with pytest.raises(KeyNotFound):
        await rotation.revoke_key(given.world, "nothing")
    await rotation.rotate_keys(given.world, at_once=True)
    assert (await given.client.get("/v1/me", headers=person.auth)).status_code == 200
    for _ in range(2):
        await rotation.revoke_key(given.world, leaked)
    assert leaked not in await list_published(given)
    assert (await given.client.get("/v1/me", headers=person.auth)).status_code == 401
