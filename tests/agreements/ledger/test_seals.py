"""Seals: the Merkle tree of RFC 9162, and that every event comes into exactly one seal whatever races or commits late."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import jwt
import pytest
import structlog
from hypothesis import given as drawn
from hypothesis import strategies as st
from sqlalchemy import insert, select

from app.agreements.ledger import merkle, seals
from app.agreements.ledger import runner as sealing
from app.agreements.models import AgreementEvent, AgreementSeal, AgreementSealItem
from app.agreements.verification import bundles
from app.base.clock import Clock
from app.db.base import table
from app.signing_keys import rotation
from tests.agreements import making
from tests.agreements.making import status_and_code
from tests.agreements.verification import tampering
from tests.given import Given, Person

LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
"""The leaves and roots that the implementations of Certificate Transparency test with."""
trees = st.lists(st.binary(max_size=8), min_size=1, max_size=70, unique=True)


@pytest.mark.parametrize("size", range(9))
def test_the_known_roots(size: int) -> None:
    """RFC 9162 section 2.1.1."""
    assert merkle.root([merkle.leaf_hash(bytes.fromhex(leaf)) for leaf in LEAVES[:size]]).hex() == ROOTS[size]


def recursive(leaves: list[bytes]) -> bytes:
    """MTH in the RFC's own words: split at the largest power of two below n."""
    if len(leaves) == 1:
        return sha256(b"\0" + leaves[0]).digest()
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\1" + recursive(leaves[:k]) + recursive(leaves[k:])).digest()


@drawn(trees)
def test_the_root_is_that_of_the_definition(data: list[bytes]) -> None:
    assert merkle.root([merkle.leaf_hash(each) for each in data]) == recursive(data)


@drawn(trees, st.data())
def test_a_path_leads_to_the_root_and_to_no_other_place(data: list[bytes], more: st.DataObject) -> None:
    """RFC 9162 section 2.1.3: every leaf has a path; another leaf, place, size or path does not come to the same root."""
    leaves = [merkle.leaf_hash(each) for each in data]
    place = more.draw(st.integers(0, len(leaves) - 1))
    root, way = merkle.root(leaves), merkle.path(leaves, place)
    assert merkle.root_from_path(leaves[place], place, len(leaves), way) == root
    assert len(way) <= (len(leaves) - 1).bit_length()
    assert merkle.root_from_path(merkle.leaf_hash(b"another one"), place, len(leaves), way) != root
    assert merkle.root_from_path(leaves[place], place, len(leaves), [*way, b"\0" * 32]) is None
    if way:
        assert merkle.root_from_path(leaves[place], place, len(leaves), way[:-1]) != root
        assert merkle.root_from_path(leaves[place], place ^ 1, len(leaves), way) != root
    for outside in (-1, len(leaves)):
        assert merkle.root_from_path(leaves[place], outside, len(leaves), way) is None


def test_there_is_no_path_outside_the_tree() -> None:
    with pytest.raises(ValueError, match="no such leaf"):
        merkle.path([b""], 1)


async def events(given: Given, person: Person, count: int) -> list[dict[str, Any]]:
    found = await making.create_in_force(given)
    return [given.expect(await making.decide(given, person, await making.present(given, person, found), "decline")) for _ in range(count)]


async def stored(given: Given) -> tuple[list[Any], dict[UUID, tuple[int, int]]]:
    """(seals in order, where each event is)."""
    async with given.world.db.query() as tx:
        made = (await tx.execute(select(*table(AgreementSeal).columns).order_by(AgreementSeal.n))).all()
        items = (await tx.execute(select(*table(AgreementSealItem).columns))).all()
    return list(made), {item.event_id: (item.seal_n, item.leaf) for item in items}


async def test_sealing(given: Given) -> None:
    """Section 4.2 D: the root over what is new, signed, chained to the seal before; nothing new makes no seal."""
    person = await given.logged_in()
    assert await seals.seal_events(given.world) == 0
    first = await events(given, person, 3)
    assert await seals.seal_events(given.world) == 3
    assert await seals.seal_events(given.world) == 0
    assert await seals.seal_events(given.world, sweep=True) == 0
    second = await events(given, person, 2)
    assert await seals.seal_events(given.world) == 2
    (one, two), places = await stored(given)
    assert places == {UUID(told["event"]): (1, leaf) for leaf, told in enumerate(first)} | {
        UUID(told["event"]): (2, leaf) for leaf, told in enumerate(second)
    }
    assert one.seal_sha256 == sha256(one.seal.encode()).hexdigest() == two.prev_sha256
    claims = await opened(given, two.seal)
    root = merkle.root([merkle.leaf_hash(told["receipt"]["jws"].encode()) for told in second]).hex()
    assert (claims["n"], claims["count"], claims["root"], claims["prev"]) == (2, 2, root, one.seal_sha256)
    assert claims["iat"] == int(given.clock.now().timestamp())
    listed = given.expect(await given.client.get("/v1/ledger/seals?limit=1", headers=given.root))
    assert [seal["seal"] for seal in listed["data"]] == [two.seal]
    rest = given.expect(await given.client.get(f"/v1/ledger/seals?cursor={listed['next_cursor']}", headers=given.root))
    assert ([seal["n"] for seal in rest["data"]], rest["next_cursor"]) == ([1], None)
    assert status_and_code(await given.client.get("/v1/ledger/seals?cursor=x", headers=given.root)) == (422, "malformed")


async def opened(given: Given, seal: str) -> dict[str, Any]:
    """The claims, by PyJWT and the published keys."""
    assert jwt.get_unverified_header(seal)["typ"] == "ledger-seal+jwt"
    keys = jwt.PyJWKSet.from_dict((await given.client.get("/.well-known/jwks.json")).json())
    key = keys[jwt.get_unverified_header(seal)["kid"]]
    claims: dict[str, Any] = jwt.decode(seal, key, algorithms=["EdDSA"], options={"verify_iat": False})
    return claims


async def test_inclusion(given: Given) -> None:
    """The proof leads from the receipt to the signed root; for its own user and for an operator, and after the key was retired."""
    person, other = await given.logged_in(), await given.logged_in()
    mine = await events(given, person, 5)
    url = f"{mine[3]['receipt']['url']}/inclusion"
    assert status_and_code(await given.client.get(url, headers=person.auth)) == (409, "not_sealed_yet")
    await seals.seal_events(given.world)
    await rotation.rotate(given.world, at_once=True)
    proof = given.expect(await given.client.get(url, headers=person.auth))
    filed = await given.client.get(f"/v1/agreement-events/{mine[3]['event']}/inclusion", headers=given.root)
    assert given.expect(filed) == proof
    claims = await opened(given, proof["seal"])
    leaf = sha256(b"\0" + mine[3]["receipt"]["jws"].encode()).digest()
    root = merkle.root_from_path(leaf, proof["leaf"], proof["count"], [bytes.fromhex(each) for each in proof["path"]])
    assert root is not None
    assert (proof["n"], proof["count"], root.hex()) == (claims["n"], claims["count"], claims["root"])
    assert status_and_code(await given.client.get(url, headers=other.auth)) == (404, "receipt_not_found")
    nobody = f"/v1/agreement-events/{UUID(int=1)}/inclusion"
    assert status_and_code(await given.client.get(nobody, headers=given.root)) == (404, "agreement_event_not_found")


BROKEN = [
    ("DELETE FROM agreement_events WHERE id = :it", "missing"),
    ("UPDATE agreement_events SET receipt = receipt || 'A' WHERE id = :it", "receipt_sha256"),
    ("UPDATE agreement_seal_items SET leaf_sha256 = 'none' WHERE event_id = :it", "leaf_sha256"),
    ("UPDATE agreement_seal_items SET user_id = event_id WHERE event_id = :it", "user_id"),
]


@pytest.mark.parametrize(("change", "what"), BROKEN)
async def test_a_broken_row_takes_nobody_elses_proof_away(given: Given, change: str, what: str) -> None:
    """One row of a seal is lost or altered: the others of it still have proofs and evidence, and the row is named."""
    person, other = await given.logged_in(), await given.logged_in()
    mine, (theirs,) = await events(given, person, 3), await events(given, other, 1)
    await seals.seal_events(given.world)
    url = f"/v1/agreement-events/{mine[1]['event']}/inclusion"
    proof = given.expect(await given.client.get(url, headers=given.root))
    await tampering.execute(given, change, it=UUID(theirs["event"]))
    assert given.expect(await given.client.get(url, headers=given.root)) == proof
    bundle = given.expect(await given.client.get(f"/v1/users/{person.id}/evidence", headers=given.root))
    assert (bundle["broken_seals"], bundles.check_bundle(bundle).faults) == ([], ())
    assert [it["inclusion"]["leaf"] for it in bundle["receipts"]] == [0, 1, 2]
    for body, valid in (({}, False), ({"user": person.id}, True), ({"user": other.id}, False)):
        told = given.expect(await given.client.post("/v1/ledger/verify", json=body, headers=given.root))
        assert told["valid"] is valid
        assert valid or told["broken"]["what"] == what


async def test_a_proof_that_cannot_be_given_is_named(given: Given) -> None:
    """Of a receipt that was altered there is none; a seal whose leaves are lost is named in the evidence, which comes all the same."""
    person, other = await given.logged_in(), await given.logged_in()
    (mine,), (theirs,) = await events(given, person, 1), await events(given, other, 1)
    await seals.seal_events(given.world)
    altered = "UPDATE agreement_events SET receipt = receipt || 'A' WHERE id = :it"
    await tampering.execute(given, altered, it=UUID(mine["event"]))
    assert status_and_code(await given.client.get(f"{mine['receipt']['url']}/inclusion", headers=person.auth)) == (409, "seal_broken")
    await tampering.execute(given, "DELETE FROM agreement_seal_items WHERE event_id = :it", it=UUID(mine["event"]))
    assert status_and_code(await given.client.get(f"{theirs['receipt']['url']}/inclusion", headers=other.auth)) == (409, "seal_broken")
    bundle = given.expect(await given.client.get(f"/v1/users/{other.id}/evidence", headers=given.root))
    assert (bundle["broken_seals"], bundle["receipts"][0]["inclusion"]) == ([1], None)
    assert bundles.check_bundle(bundle).faults == ()


async def test_many_replicas_seal_each_event_once(given: Given) -> None:
    """Sixteen at once, while events are added: every event is in exactly one seal, and the seals are numbered without a gap."""
    person = await given.logged_in()
    found = await making.create_in_force(given)
    screens = [await making.present(given, person, found) for _ in range(12)]

    async def sealer() -> None:
        for _ in range(4):
            await seals.seal_events(given.world)

    await asyncio.gather(*(sealer() for _ in range(16)), *(making.decide(given, person, shown, "decline") for shown in screens))
    await seals.seal_events(given.world, sweep=True)
    made, places = await stored(given)
    assert len(places) == 12
    assert [seal.n for seal in made] == [*range(1, len(made) + 1)]
    assert sorted(places.values()) == [(seal.n, leaf) for seal in made for leaf in range(seal._mapping["count"])]
    assert given.expect(await given.client.post("/v1/ledger/verify", json={}, headers=given.root))["valid"] is True


@pytest.mark.parametrize(("late", "sweep"), [(seals.LATE - 1000, False), (seals.LATE + 3_600_000, True)])
async def test_what_commits_late_is_sealed_all_the_same(given: Given, late: int, sweep: bool) -> None:
    """A transaction that got its id before others and commits after they were sealed: found at once within ten minutes, by the
    sweep whenever it comes."""
    person = await given.logged_in()
    made = await events(given, person, 1)
    event_id = UUID(int=UUID(made[0]["event"]).int - (late << 80))
    assert await seals.seal_events(given.world) == 1
    async with given.world.db.write() as tx:
        row = (await tx.execute(select(*table(AgreementEvent).columns))).one()._mapping
        await tx.execute(insert(table(AgreementEvent)), {**row, "id": event_id, "seq": 2, "presentation_id": None})
    if sweep:
        assert await seals.seal_events(given.world) == 0
    assert await seals.seal_events(given.world, sweep=sweep) == 1
    assert (await stored(given))[1][event_id] == (2, 0)


async def test_a_batch_is_bounded(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest first, so many at a time."""
    monkeypatch.setattr(seals, "BATCH", 2)
    await events(given, await given.logged_in(), 5)
    assert [await seals.seal_events(given.world) for _ in range(4)] == [2, 2, 1, 0]


async def eventually(good: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not await good():  # noqa: ASYNC110  what is waited for is a row, and rows ring no bell
            await asyncio.sleep(0.02)


async def test_the_runner_seals_beside_the_application(given: Given, app: Any) -> None:
    """From the start on, at every interval, and until it is told to leave."""
    given.configured(app, seal_interval=timedelta(milliseconds=100))
    person = await given.logged_in()
    await events(given, person, 1)

    async def sealed(count: int) -> bool:
        return len((await stored(given))[1]) == count

    async with sealing.running(given.world):
        await eventually(lambda: sealed(1))
        await events(given, person, 2)
        await eventually(lambda: sealed(3))
    await events(given, person, 1)
    assert len((await stored(given))[1]) == 3


async def test_seals_that_were_removed_are_missed_at_the_start(given: Given) -> None:
    """All of them with their leaves, or the newest alone; neither a fresh ledger nor one that is about to be sealed."""
    assert await seals.is_newest_missing(given.world) is False
    person = await given.logged_in()
    await events(given, person, 2)
    assert await seals.is_newest_missing(given.world) is False
    await seals.seal_events(given.world)
    given.clock.forward(days=2)
    assert await seals.is_newest_missing(given.world) is False
    await tampering.execute(given, "DELETE FROM agreement_seals")
    assert await seals.is_newest_missing(given.world) is True
    await tampering.execute(given, "DELETE FROM agreement_seal_items")
    assert await seals.is_newest_missing(given.world) is True
    with structlog.testing.capture_logs() as told:
        async with sealing.running(given.world):
            await eventually(lambda: sealed_again(given))
    assert [(it["log_level"], it["event"]) for it in told if it["event"] == "seals_missing"] == [("error", "seals_missing")]


async def sealed_again(given: Given) -> bool:
    return len((await stored(given))[0]) == 1


async def test_r23_clocks_that_differ_are_told(given: Given) -> None:
    """Agreements R23: more than two seconds between this process and the database is an alert; the tests' own clock stands still."""
    given.clock.moment = Clock().now()
    assert abs((await sealing.compare_clocks(given.world)).total_seconds()) < 2
    given.clock.forward(seconds=60)
    assert 58 < (await sealing.compare_clocks(given.world)).total_seconds() < 62
