"""Seals: the Merkle tree of RFC 9162, and every event gets into exactly one seal, even with races and late commits."""

import asyncio
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
from tests.assertions import wait_until
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
"""Leaves and roots from the tests of Certificate Transparency implementations."""
trees = st.lists(st.binary(max_size=8), min_size=1, max_size=70, unique=True)


@pytest.mark.parametrize("size", range(9))
def test_the_known_roots(size: int) -> None:
    """RFC 9162 section 2.1.1."""
    assert merkle.compute_root([merkle.hash_leaf(bytes.fromhex(leaf)) for leaf in LEAVES[:size]]).hex() == ROOTS[size]


def recursive_root(leaves: list[bytes]) -> bytes:
    """Compute MTH as the RFC defines it: split at the largest power of two below n."""
    if len(leaves) == 1:
        return sha256(b"\0" + leaves[0]).digest()
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\1" + recursive_root(leaves[:k]) + recursive_root(leaves[k:])).digest()


@drawn(trees)
def test_the_root_matches_the_definition(data: list[bytes]) -> None:
    assert merkle.compute_root([merkle.hash_leaf(each) for each in data]) == recursive_root(data)


@drawn(trees, st.data())
def test_a_path_leads_to_the_root_and_to_no_other_place(data: list[bytes], more: st.DataObject) -> None:
    """RFC 9162 section 2.1.3: every leaf has a path; another leaf, place, size or path gives another root."""
    leaves = [merkle.hash_leaf(each) for each in data]
    place = more.draw(st.integers(0, len(leaves) - 1))
    root, path = merkle.compute_root(leaves), merkle.build_path(leaves, place)
    assert merkle.compute_root_from_path(leaves[place], place, len(leaves), path) == root
    assert len(path) <= (len(leaves) - 1).bit_length()
    assert merkle.compute_root_from_path(merkle.hash_leaf(b"another one"), place, len(leaves), path) != root
    assert merkle.compute_root_from_path(leaves[place], place, len(leaves), [*path, b"\0" * 32]) is None
    if path:
        assert merkle.compute_root_from_path(leaves[place], place, len(leaves), path[:-1]) != root
        assert merkle.compute_root_from_path(leaves[place], place ^ 1, len(leaves), path) != root
    for outside in (-1, len(leaves)):
        assert merkle.compute_root_from_path(leaves[place], outside, len(leaves), path) is None


def test_there_is_no_path_outside_the_tree() -> None:
    with pytest.raises(ValueError, match="no such leaf"):
        merkle.build_path([b""], 1)


async def record_events(given: Given, person: Person, count: int) -> list[dict[str, Any]]:
    agreement = await making.create_in_force(given)
    return [
        given.expect(await making.decide(given, person, await making.present(given, person, agreement), "decline")) for _ in range(count)
    ]


async def read_seals(given: Given) -> tuple[list[Any], dict[UUID, tuple[int, int]]]:
    """Return the seals in order, and for each event its seal and leaf."""
    async with given.world.db.query() as tx:
        rows = (await tx.execute(select(*table(AgreementSeal).columns).order_by(AgreementSeal.n))).all()
        items = (await tx.execute(select(*table(AgreementSealItem).columns))).all()
    return list(rows), {item.event_id: (item.seal_n, item.leaf) for item in items}


async def test_sealing(given: Given) -> None:
    """Section 4.2 D: a signed root over the new events, chained to the previous seal; without new events there is no seal."""
    person = await given.logged_in()
    assert await seals.seal_events(given.world) == 0
    first = await record_events(given, person, 3)
    assert await seals.seal_events(given.world) == 3
    assert await seals.seal_events(given.world) == 0
    assert await seals.seal_events(given.world, sweep=True) == 0
    second = await record_events(given, person, 2)
    assert await seals.seal_events(given.world) == 2
    (one, two), places = await read_seals(given)
    assert places == {UUID(decision["event"]): (1, leaf) for leaf, decision in enumerate(first)} | {
        UUID(decision["event"]): (2, leaf) for leaf, decision in enumerate(second)
    }
    assert one.seal_sha256 == sha256(one.seal.encode()).hexdigest() == two.prev_sha256
    claims = await read_seal(given, two.seal)
    root = merkle.compute_root([merkle.hash_leaf(decision["receipt"]["jws"].encode()) for decision in second]).hex()
    assert (claims["n"], claims["count"], claims["root"], claims["prev"]) == (2, 2, root, one.seal_sha256)
    assert claims["iat"] == int(given.clock.now().timestamp())
    listed = given.expect(await given.client.get("/v1/ledger/seals?limit=1", headers=given.root))
    assert [seal["seal"] for seal in listed["data"]] == [two.seal]
    rest = given.expect(await given.client.get(f"/v1/ledger/seals?cursor={listed['next_cursor']}", headers=given.root))
    assert ([seal["n"] for seal in rest["data"]], rest["next_cursor"]) == ([1], None)
    assert status_and_code(await given.client.get("/v1/ledger/seals?cursor=x", headers=given.root)) == (422, "malformed")


async def read_seal(given: Given, seal: str) -> dict[str, Any]:
    """Return the claims after PyJWT has verified them with the published keys."""
    assert jwt.get_unverified_header(seal)["typ"] == "ledger-seal+jwt"
    keys = jwt.PyJWKSet.from_dict((await given.client.get("/.well-known/jwks.json")).json())
    key = keys[jwt.get_unverified_header(seal)["kid"]]
    claims: dict[str, Any] = jwt.decode(seal, key, algorithms=["EdDSA"], options={"verify_iat": False})
    return claims


async def test_inclusion(given: Given) -> None:
    """The proof leads from the receipt to the signed root, for its user and for an operator, even after the key was retired."""
    person, other = await given.logged_in(), await given.logged_in()
    mine = await record_events(given, person, 5)
    url = f"{mine[3]['receipt']['url']}/inclusion"
    assert status_and_code(await given.client.get(url, headers=person.auth)) == (409, "not_sealed_yet")
    await seals.seal_events(given.world)
    await rotation.rotate_keys(given.world, at_once=True)
    proof = given.expect(await given.client.get(url, headers=person.auth))
    filed = await given.client.get(f"/v1/agreement-events/{mine[3]['event']}/inclusion", headers=given.root)
    assert given.expect(filed) == proof
    claims = await read_seal(given, proof["seal"])
    leaf = sha256(b"\0" + mine[3]["receipt"]["jws"].encode()).digest()
    root = merkle.compute_root_from_path(leaf, proof["leaf"], proof["count"], [bytes.fromhex(each) for each in proof["path"]])
    assert root is not None
    assert (proof["n"], proof["count"], root.hex()) == (claims["n"], claims["count"], claims["root"])
    assert status_and_code(await given.client.get(url, headers=other.auth)) == (404, "receipt_not_found")
    unknown = f"/v1/agreement-events/{UUID(int=1)}/inclusion"
    assert status_and_code(await given.client.get(unknown, headers=given.root)) == (404, "agreement_event_not_found")


BROKEN = [
    ("DELETE FROM agreement_events WHERE id = :id", "missing"),
    ("UPDATE agreement_events SET receipt = receipt || 'A' WHERE id = :id", "receipt_sha256"),
    ("UPDATE agreement_seal_items SET leaf_sha256 = 'none' WHERE event_id = :id", "leaf_sha256"),
    ("UPDATE agreement_seal_items SET user_id = event_id WHERE event_id = :id", "user_id"),
]


@pytest.mark.parametrize(("change", "what"), BROKEN)
async def test_a_broken_row_does_not_affect_other_proofs(given: Given, change: str, what: str) -> None:
    """If one row of a seal is lost or altered, the others still have proofs and evidence, and the row is named."""
    person, other = await given.logged_in(), await given.logged_in()
    mine, (foreign,) = await record_events(given, person, 3), await record_events(given, other, 1)
    await seals.seal_events(given.world)
    url = f"/v1/agreement-events/{mine[1]['event']}/inclusion"
    proof = given.expect(await given.client.get(url, headers=given.root))
    await tampering.execute(given, change, id=UUID(foreign["event"]))
    assert given.expect(await given.client.get(url, headers=given.root)) == proof
    bundle = given.expect(await given.client.get(f"/v1/users/{person.id}/evidence", headers=given.root))
    assert (bundle["broken_seals"], bundles.check_bundle(bundle).faults) == ([], ())
    assert [each["inclusion"]["leaf"] for each in bundle["receipts"]] == [0, 1, 2]
    for body, valid in (({}, False), ({"user": person.id}, True), ({"user": other.id}, False)):
        report = given.expect(await given.client.post("/v1/ledger/verify", json=body, headers=given.root))
        assert report["valid"] is valid
        assert valid or report["broken"]["what"] == what


async def test_an_impossible_proof_is_named(given: Given) -> None:
    """An altered receipt has no proof. A seal whose leaves are lost is named in the evidence, which is still returned."""
    person, other = await given.logged_in(), await given.logged_in()
    (mine,), (foreign,) = await record_events(given, person, 1), await record_events(given, other, 1)
    await seals.seal_events(given.world)
    altered = "UPDATE agreement_events SET receipt = receipt || 'A' WHERE id = :id"
    await tampering.execute(given, altered, id=UUID(mine["event"]))
    assert status_and_code(await given.client.get(f"{mine['receipt']['url']}/inclusion", headers=person.auth)) == (409, "seal_broken")
    await tampering.execute(given, "DELETE FROM agreement_seal_items WHERE event_id = :id", id=UUID(mine["event"]))
    assert status_and_code(await given.client.get(f"{foreign['receipt']['url']}/inclusion", headers=other.auth)) == (409, "seal_broken")
    bundle = given.expect(await given.client.get(f"/v1/users/{other.id}/evidence", headers=given.root))
    assert (bundle["broken_seals"], bundle["receipts"][0]["inclusion"]) == ([1], None)
    assert bundles.check_bundle(bundle).faults == ()


async def test_many_replicas_seal_each_event_once(given: Given) -> None:
    """Sixteen at once, while events are added: every event is in exactly one seal, and the seals are numbered without a gap."""
    person = await given.logged_in()
    agreement = await making.create_in_force(given)
    screens = [await making.present(given, person, agreement) for _ in range(12)]

    async def sealer() -> None:
        for _ in range(4):
            await seals.seal_events(given.world)

    await asyncio.gather(
        *(sealer() for _ in range(16)), *(making.decide(given, person, presentation, "decline") for presentation in screens)
    )
    await seals.seal_events(given.world, sweep=True)
    rows, places = await read_seals(given)
    assert len(places) == 12
    assert [seal.n for seal in rows] == [*range(1, len(rows) + 1)]
    assert sorted(places.values()) == [(seal.n, leaf) for seal in rows for leaf in range(seal._mapping["count"])]
    assert given.expect(await given.client.post("/v1/ledger/verify", json={}, headers=given.root))["valid"] is True


@pytest.mark.parametrize(("late", "sweep"), [(seals.LATE - 1000, False), (seals.LATE + 3_600_000, True)])
async def test_an_event_that_commits_late_is_still_sealed(given: Given, late: int, sweep: bool) -> None:
    """A transaction with an older id commits after others were sealed: found by the next round within ten minutes, else by a sweep."""
    person = await given.logged_in()
    rows = await record_events(given, person, 1)
    event_id = UUID(int=UUID(rows[0]["event"]).int - (late << 80))
    assert await seals.seal_events(given.world) == 1
    async with given.world.db.write() as tx:
        row = (await tx.execute(select(*table(AgreementEvent).columns))).one()._mapping
        await tx.execute(insert(table(AgreementEvent)), {**row, "id": event_id, "seq": 2, "presentation_id": None})
    if sweep:
        assert await seals.seal_events(given.world) == 0
    assert await seals.seal_events(given.world, sweep=sweep) == 1
    assert (await read_seals(given))[1][event_id] == (2, 0)


async def test_a_batch_is_bounded(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest events first, at most `BATCH` at a time."""
    monkeypatch.setattr(seals, "BATCH", 2)
    await record_events(given, await given.logged_in(), 5)
    assert [await seals.seal_events(given.world) for _ in range(4)] == [2, 2, 1, 0]


async def test_the_runner_seals_at_every_interval(given: Given, app: Any) -> None:
    """From the start of the application until its end."""
    given.configured(app, seal_interval=timedelta(milliseconds=100))
    person = await given.logged_in()
    await record_events(given, person, 1)

    async def sealed(count: int) -> bool:
        return len((await read_seals(given))[1]) == count

    async with sealing.run(given.world):
        await wait_until(lambda: sealed(1))
        await record_events(given, person, 2)
        await wait_until(lambda: sealed(3))
    await record_events(given, person, 1)
    assert len((await read_seals(given))[1]) == 3


async def test_deleted_seals_are_reported_at_the_start(given: Given) -> None:
    """All seals with their leaves, or only the newest. A new ledger and one with fresh events are not reported."""
    assert await seals.is_newest_missing(given.world) is False
    person = await given.logged_in()
    await record_events(given, person, 2)
    assert await seals.is_newest_missing(given.world) is False
    await seals.seal_events(given.world)
    given.clock.forward(days=2)
    assert await seals.is_newest_missing(given.world) is False
    await tampering.execute(given, "DELETE FROM agreement_seals")
    assert await seals.is_newest_missing(given.world) is True
    await tampering.execute(given, "DELETE FROM agreement_seal_items")
    assert await seals.is_newest_missing(given.world) is True
    with structlog.testing.capture_logs() as logs:
        async with sealing.run(given.world):
            await wait_until(lambda: sealed_again(given))
    assert [(each["log_level"], each["event"]) for each in logs if each["event"] == "seals_missing"] == [("error", "seals_missing")]


async def sealed_again(given: Given) -> bool:
    return len((await read_seals(given))[0]) == 1


async def test_r23_a_clock_difference_is_measured(given: Given) -> None:
    """Agreements R23: a warning is logged above two seconds. The clock of the tests does not move on its own."""
    given.clock.moment = Clock().now()
    assert abs((await sealing.compare_clocks(given.world)).total_seconds()) < 2
    given.clock.forward(seconds=60)
    assert 58 < (await sealing.compare_clocks(given.world)).total_seconds() < 62
