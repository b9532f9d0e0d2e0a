"""A replica accepts signatures of keys that another replica created and that it has not read yet (authentication R63)."""

from dataclasses import replace
from uuid import UUID

import pytest

from app.agreements.ledger import receipts, seals
from app.agreements.verification import bundles
from app.events.service import Actor
from app.security.signing import Signer, SignerCache, SigningKey
from app.signing_keys import rotation
from app.signing_keys.service import RELOAD_INTERVAL, load_signer
from app.world import World
from tests.agreements import making
from tests.given import Given


def _replica(world: World) -> World:
    """Return another process with the same database and an empty cache of signing keys."""
    return replace(world, keys=replace(world.keys, signing=SignerCache()))


@pytest.fixture
async def turned(given: Given) -> World:
    """Another replica that rotated three times, so that this one has never read its active key."""
    await load_signer(given.world)
    other = _replica(given.world)
    for _ in range(3):
        await rotation.rotate_keys(other, at_once=True)
    assert (await load_signer(other)).active.kid not in (await load_signer(given.world)).known
    return other


async def test_r63_tokens_of_an_unknown_key_are_accepted_at_once(given: Given) -> None:
    person, other = await given.logged_in(), _replica(given.world)
    for _ in range(3):
        await rotation.rotate_keys(other, at_once=True)
    sign = await load_signer(other)
    claims = sign.read("at+jwt", str(person.token))
    fresh = {"Authorization": f"Bearer {sign.sign('at+jwt', claims)}"}
    assert (await given.client.get("/v1/me", headers=fresh)).status_code == 200


async def test_r63_unknown_key_ids_cause_one_reload_in_five_seconds(given: Given) -> None:
    """Invented `kid`s cause no more reloads; afterwards a valid token is accepted."""
    person, other = await given.logged_in(), _replica(given.world)
    claims = (await load_signer(given.world)).read("at+jwt", str(person.token))
    shelf = given.world.keys.signing

    async def sent(by: Signer) -> int:
        given.clock.forward(seconds=1)
        return (await given.client.get("/v1/me", headers={"Authorization": f"Bearer {by.sign('at+jwt', claims)}"})).status_code

    def stranger() -> Signer:
        key = SigningKey.generate()
        return Signer(key, {key.kid: key})

    reads = []
    for _ in range(4):
        assert await sent(stranger()) == 401
        reads.append(shelf.read_at)
    assert (len(set(reads)), reads[0]) == (1, shelf.missed_at)
    for _ in range(3):
        await rotation.rotate_keys(other, at_once=True)
    given.clock.forward(seconds=RELOAD_INTERVAL.total_seconds())
    assert await sent(await load_signer(other)) == 200


async def test_r63_the_record_is_verified_with_the_keys_in_the_database(given: Given, turned: World) -> None:
    """Receipts, seals and evidence of the other replica verify before this one reloads the keys."""
    person = await given.logged_in()
    accepted = await making.accept(given, person, await making.create_in_force(given))
    note = await receipts.annotate_event(turned, Actor.system(), UUID(accepted["event"]), "By the other replica.")
    assert await seals.seal_events(turned) == 2
    assert (await load_signer(turned)).active.kid not in (await load_signer(given.world)).known
    ledger = given.expect(await given.client.post("/v1/ledger/verify", json={}, headers=given.root))
    assert ledger["valid"] is True
    filed = given.expect(await given.client.get(f"/v1/users/{person.id}/evidence", headers=given.root))
    assert bundles.check_bundle(filed).faults == ()
    jws = filed["receipts"][1]["jws"]
    assert receipts.decode_claims(jws)["jti"] == str(note.id)
    assert given.expect(await given.client.post("/v1/receipts/verify", json={"receipt": jws}))["code"] == "ok"
