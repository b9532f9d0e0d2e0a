"""Verification of the ledger: an unchanged ledger is valid, and anything altered, removed or swapped behind the service's back is named."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from app.agreements.ledger import projection, seals
from app.agreements.ledger.receipts import decode_claims
from app.agreements.models import AgreementEvent
from app.agreements.rules import digest
from app.agreements.verification import service as verification
from app.db.base import table
from app.signing_keys import rotation
from app.signing_keys.service import load_signer
from tests.agreements import making
from tests.agreements.making import status_and_code
from tests.agreements.verification import tampering
from tests.conftest import PreparedWorld
from tests.given import Given, Person

Json = dict[str, Any]


@dataclass
class Scene:
    """Two end users, with five and three events. `events` are those of `person`, whose rows the tests change."""

    given: Given
    person: Person
    other: Person
    events: list[UUID] = field(default_factory=list)

    async def verify(self, **body: str) -> Json:
        return self.given.expect(await self.given.client.post("/v1/ledger/verify", json=body, headers=self.given.root))

    async def find_fault(self, **body: str) -> Json:
        """Return the first fault, without its null members."""
        report = await self.verify(**body)
        assert report["valid"] is False
        return {name: value for name, value in report["broken"].items() if value is not None}

    async def execute(self, statement: str, **values: Any) -> None:
        await tampering.execute(self.given, statement, **values)

    def place(self, seq: int) -> Json:
        return {"user": self.person.id, "seq": seq, "event": str(self.events[seq - 1])}


async def _build(given: Given) -> tuple[Person, Person, list[UUID]]:
    person, other, events = await given.strong(), await given.logged_in(), []
    agreement = await making.create_in_force(given, "en", "nb")
    second = await making.create_in_force(given)
    for one in (person, other):
        for which, word in ((agreement, "decline"), (agreement, "accept"), (second, "accept")):
            decision = given.expect(await making.decide(given, one, await making.present(given, one, which), word))
            events += [UUID(decision["event"])] * (one is person)
    note = await given.post(f"/v1/agreement-events/{events[0]}/annotations", {"reason": "A note."})
    last = await making.decide(given, person, await making.present(given, person, second), "decline")
    return person, other, [*events, UUID(note["id"]), UUID(given.expect(last)["event"])]


@pytest.fixture
async def scene(given: Given, prepared: PreparedWorld) -> Scene:
    return Scene(given, *await prepared.restore("ledger", _build))


async def test_an_unchanged_ledger_is_valid(scene: Scene) -> None:
    """With seals, after a key was retired, and for one end user only."""
    await seals.seal_events(scene.given.world)
    await rotation.rotate_keys(scene.given.world, at_once=True)
    await scene.given.post(f"/v1/agreement-events/{scene.events[0]}/annotations", {"reason": "By the new key."})
    report = await scene.verify()
    assert report == {"valid": True, "broken": None, "users": 2, "events": 9, "texts": 3, "seals": 1, "unsealed": 1}
    mine = await scene.verify(user=scene.person.id)
    assert (mine["valid"], mine["users"], mine["events"], mine["texts"], mine["seals"]) == (True, 1, 6, 2, 1)


async def test_every_batch_boundary_is_crossed(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """With batches of one row and one text, chains, heads and states still belong to their users."""
    monkeypatch.setattr(verification, "_events", verification._events.limit(1))
    monkeypatch.setattr(verification, "_texts", verification._texts.limit(1))
    assert (await scene.verify())["valid"] is True
    await scene.execute("UPDATE agreement_states SET accepted_ordinal = 7 WHERE user_id = :user", user=UUID(scene.other.id))
    assert (await scene.find_fault())["what"] == "state"


async def test_verifying_requires_the_scope_and_an_existing_user(given: Given) -> None:
    operator = await given.operator("licenses:read")
    assert status_and_code(await given.client.post("/v1/ledger/verify", headers=operator)) == (403, "scope_missing")
    answer = await given.client.post("/v1/ledger/verify", json={"user": str(UUID(int=1))}, headers=given.root)
    assert status_and_code(answer) == (404, "user_not_found")
    assert (await Scene(given, await given.person(), await given.person()).verify())["valid"] is True


ALTERED = [
    ("receipt = receipt || 'x'", "receipt_sha256"),
    ("receipt_sha256 = prev_sha256", "receipt_sha256"),
    ("prev_sha256 = receipt_sha256", "prev_sha256"),
    ("type = 'declined'", "type"),
    ("ordinal = 2", "ordinal"),
    ("at = '2020-01-01 00:00:00+00'", "at"),
    ("amr = 'pwd'", "amr"),
    ("fallback = 'none'", "fallback"),
    ("actor_type = 'operator'", "actor_type"),
    ("actor_id = NULL", "actor_id"),
    ("presentation_id = NULL", "presentation_id"),
    ("version_id = (SELECT version_id FROM agreement_events WHERE seq = 3 AND user_id = :user)", "version_id"),
    ("document_id = (SELECT document_id FROM agreement_events WHERE seq = 3 AND user_id = :user)", "document_id"),
    ("text_id = (SELECT text_id FROM agreement_events WHERE seq = 3 AND user_id = :user)", "text_id"),
]


@pytest.mark.parametrize(("change", "what"), ALTERED)
async def test_an_altered_column_is_named(scene: Scene, change: str, what: str) -> None:
    """The receipt is the record; each column that differs from it is reported with its place."""
    user = {"user": UUID(scene.person.id)} if ":user" in change else {}
    await scene.execute(f"UPDATE agreement_events SET {change} WHERE id = :id", id=scene.events[1], **user)  # noqa: S608  our own words
    assert await scene.find_fault() == {"what": what, **scene.place(2)}
    assert await scene.find_fault(user=scene.person.id) == {"what": what, **scene.place(2)}
    assert (await scene.verify(user=scene.other.id))["valid"] is True


async def test_a_forged_receipt_is_named(scene: Scene) -> None:
    """Altered with its hash: the signature is wrong. Signed again with a stolen key: the next receipt does not follow it."""
    (row,) = await read_rows(scene, scene.events[1])
    head, _, signature = row["receipt"].split(".")
    forged = f"{head}.{row['receipt'].split('.')[1][:-2]}AA.{signature}"
    await replace(scene, 2, forged)
    assert await scene.find_fault() == {"what": "signature", **scene.place(2)}
    again = (await load_signer(scene.given.world)).sign(
        "acceptance-receipt+jwt", {**decode_claims(row["receipt"]), "claims": {"dwell_ms": 7}}
    )
    await replace(scene, 2, again)
    assert await scene.find_fault() == {"what": "prev", **scene.place(3)}


async def read_rows(scene: Scene, *events: UUID) -> list[Json]:
    async with scene.given.world.db.query() as tx:
        wanted = select(*table(AgreementEvent).columns).where(AgreementEvent.id.in_(events)).order_by(AgreementEvent.seq)
        return [dict(row._mapping) for row in await tx.execute(wanted)]


async def replace(scene: Scene, seq: int, receipt: str) -> None:
    change = "UPDATE agreement_events SET receipt = :receipt, receipt_sha256 = :hash WHERE id = :id"
    await scene.execute(change, receipt=receipt, hash=digest(receipt), id=scene.events[seq - 1])


@pytest.mark.parametrize(("seq", "reported"), [(1, 1), (3, 3), (5, 5)])
async def test_a_removed_event_is_named(scene: Scene, seq: int, reported: int) -> None:
    """The first, a middle and the last event: the report has the place where it was."""
    await scene.execute("DELETE FROM agreement_events WHERE id = :id", id=scene.events[seq - 1])
    assert await scene.find_fault() == {"what": "missing", "user": scene.person.id, "seq": reported}


async def test_swapped_events_are_named(scene: Scene) -> None:
    """Two rows that exchanged their places in the chain: the first of them is reported."""
    for event_id, seq in ((scene.events[1], 100), (scene.events[2], 2), (scene.events[1], 3)):
        await scene.execute("UPDATE agreement_events SET seq = :seq WHERE id = :id", id=event_id, seq=seq)
    assert await scene.find_fault() == {"what": "seq", "user": scene.person.id, "seq": 2, "event": str(scene.events[2])}


async def test_an_event_given_to_another_user_is_named(scene: Scene) -> None:
    """As if another user had accepted."""
    await scene.execute(
        "UPDATE agreement_events SET user_id = :other, seq = 4 WHERE id = :id", other=UUID(scene.other.id), id=scene.events[4]
    )
    assert await scene.find_fault(user=scene.other.id) == {
        "what": "sub", "user": scene.other.id, "seq": 4, "event": str(scene.events[4]),
    }  # fmt: skip
    assert (await scene.verify())["valid"] is False


@pytest.mark.parametrize(
    ("column", "what"),
    [
        ("body", "sha256"),
        ("html", "html_sha256"),
        ("plain", "plain_sha256"),
        ("statement", "statement_sha256"),
        ("accept_label", "statement_sha256"),
    ],
)
async def test_r3_an_altered_text_is_named(scene: Scene, column: str, what: str) -> None:
    """Agreements R3: an altered text is reported at the first receipt that names it."""
    text_id = "(SELECT text_id FROM agreement_events WHERE id = :id)"
    change = f"UPDATE agreement_texts SET {column} = COALESCE({column}, '') || '!' WHERE id = {text_id}"  # noqa: S608  our own words
    await scene.execute(change, id=scene.events[2])
    assert await scene.find_fault(user=scene.person.id) == {"what": what, **scene.place(3)}


async def test_r3_a_text_altered_with_its_hash_is_named(scene: Scene) -> None:
    """Agreements R3: the receipt contains the hash of the text that was shown."""
    change = "UPDATE agreement_texts SET body = :body, sha256 = :hash WHERE id = (SELECT text_id FROM agreement_events WHERE id = :id)"
    await scene.execute(change, body="other text\n", hash=digest("other text\n"), id=scene.events[2])
    assert await scene.find_fault(user=scene.person.id) == {"what": "text_sha256", **scene.place(3)}


async def test_an_altered_text_without_acceptances_is_named(scene: Scene) -> None:
    unread = "locale = 'nb' AND id NOT IN (SELECT text_id FROM agreement_events)"
    await scene.execute(f"UPDATE agreement_texts SET body = 'x' WHERE {unread}")  # noqa: S608  our own words
    broken = await scene.find_fault()
    assert (broken["what"], set(broken)) == ("sha256", {"what", "text"})


@pytest.mark.parametrize(("column", "what"), [("ip", "ctx"), ("user_agent", "ctx"), ("session_id", "sid_h"), ("salt", "ctx")])
async def test_r25_an_altered_context_is_named(scene: Scene, column: str, what: str) -> None:
    """Agreements R25: a context that was not erased must match the commitment of the receipt."""
    value: Any = UUID(int=1) if column == "session_id" else b"0" * 32 if column == "salt" else "192.0.2.1"
    await scene.execute(f"UPDATE agreement_event_contexts SET {column} = :value WHERE event_id = :id", value=value, id=scene.events[2])  # noqa: S608  our own words
    assert await scene.find_fault() == {"what": what, **scene.place(3)}


async def test_an_altered_head_is_named(scene: Scene) -> None:
    await scene.execute("UPDATE agreement_ledgers SET head = :zero WHERE user_id = :user", zero="0" * 64, user=UUID(scene.person.id))
    assert await scene.find_fault() == {"what": "head", "user": scene.person.id, "seq": 5}


async def test_a_user_without_events_is_named(scene: Scene) -> None:
    """All events of one end user are deleted, but the head of the chain still counts them."""
    await scene.execute("DELETE FROM agreement_events WHERE user_id = :user", user=UUID(scene.person.id))
    assert await scene.find_fault() == {"what": "missing", "user": scene.person.id, "seq": 1}


async def cut_last_event(scene: Scene) -> None:
    """Delete the last event with its context, and change head and states to match."""
    (_, last) = await read_rows(scene, *scene.events[3:])
    await scene.execute("DELETE FROM agreement_events WHERE id = :id", id=scene.events[4])
    await scene.execute("DELETE FROM agreement_event_contexts WHERE event_id = :id", id=scene.events[4])
    change = "UPDATE agreement_ledgers SET seq = 4, head = :head WHERE user_id = :user"
    await scene.execute(change, head=last["prev_sha256"], user=UUID(scene.person.id))
    assert await projection.rebuild_states(scene.given.world) == 1


async def delete_user_rows(scene: Scene) -> None:
    """Delete all rows of the end user."""
    mine = "(SELECT id FROM agreement_events WHERE user_id = :user)"
    await scene.execute(f"DELETE FROM agreement_event_contexts WHERE event_id IN {mine}", user=UUID(scene.person.id))  # noqa: S608  our own words
    for name in ("agreement_events", "agreement_states", "agreement_ledgers", "agreement_presentations"):
        await scene.execute(f"DELETE FROM {name} WHERE user_id = :user", user=UUID(scene.person.id))  # noqa: S608  our own words


async def test_a_deleted_chain_end_is_found_by_its_seal(scene: Scene) -> None:
    """Section 4.2: the chain alone cannot show it, the seal can."""
    await seals.seal_events(scene.given.world)
    await cut_last_event(scene)
    assert (await scene.find_fault()) == {"what": "missing", "seal": 1, "leaf": 7, "event": str(scene.events[4])}


async def test_a_deleted_chain_end_that_was_never_sealed_is_not_found(scene: Scene) -> None:
    """A documented limit: anyone who can write to the database can undo events that no seal includes."""
    await cut_last_event(scene)
    assert (await scene.verify())["valid"] is True


async def test_a_deleted_user_is_found_by_the_seal(scene: Scene) -> None:
    await seals.seal_events(scene.given.world)
    await delete_user_rows(scene)
    assert (await scene.find_fault()) == {"what": "missing", "seal": 1, "leaf": 0, "event": str(scene.events[0])}


SEALS = [
    ("UPDATE agreement_seals SET seal = seal || 'A' WHERE n = 2", {"what": "signature", "seal": 2}),
    ("UPDATE agreement_seals SET seal_sha256 = prev_sha256 WHERE n = 2", {"what": "seal_sha256", "seal": 2}),
    ("UPDATE agreement_seals SET root = seal_sha256 WHERE n = 1", {"what": "root", "seal": 1}),
    ("UPDATE agreement_seals SET count = 5 WHERE n = 1", {"what": "count", "seal": 1}),
    ("UPDATE agreement_seals SET prev_sha256 = root WHERE n = 2", {"what": "prev", "seal": 2}),
    ("DELETE FROM agreement_seals WHERE n = 1", {"what": "missing", "seal": 1}),
    ("DELETE FROM agreement_seals WHERE n = 2", {"what": "missing", "seal": 2}),
    ("DELETE FROM agreement_seal_items WHERE seal_n = 2 AND leaf = 1", {"what": "missing", "seal": 2, "leaf": 1}),
    ("DELETE FROM agreement_seal_items WHERE seal_n = 1 AND leaf = 7", {"what": "missing", "seal": 1, "leaf": 7}),
    ("UPDATE agreement_seal_items SET leaf = 9 - leaf WHERE seal_n = 2 AND leaf = 1", {"what": "missing", "seal": 2, "leaf": 1}),
]


@pytest.mark.parametrize(("change", "wanted"), SEALS)
async def test_a_seal_that_was_touched_is_named(scene: Scene, change: str, wanted: Json) -> None:
    """Altered, removed, or with other leaves; three seals, of eight, three and one events."""
    for count in (3, 1):
        await seals.seal_events(scene.given.world)
        for _ in range(count):
            await scene.given.post(f"/v1/agreement-events/{scene.events[0]}/annotations", {"reason": "More."})
    await seals.seal_events(scene.given.world)
    assert (await scene.verify())["seals"] == 3
    await scene.execute(change)
    assert await scene.find_fault() == wanted


async def test_swapped_leaves_are_named(scene: Scene) -> None:
    """Two events that exchanged their places in the tree."""
    await seals.seal_events(scene.given.world)
    for was, becomes in ((0, 100), (1, 0), (100, 1)):
        await scene.execute("UPDATE agreement_seal_items SET leaf = :becomes WHERE leaf = :was", was=was, becomes=becomes)
    assert await scene.find_fault() == {"what": "root", "seal": 1}
    assert await scene.find_fault(user=scene.person.id) == {"what": "root", "seal": 1}


async def test_a_seal_of_another_chain_is_named(scene: Scene) -> None:
    """Signed by our key over the present events, but not chained to the previous seal."""
    await seals.seal_events(scene.given.world)
    await scene.given.post(f"/v1/agreement-events/{scene.events[0]}/annotations", {"reason": "More."})
    await seals.seal_events(scene.given.world)
    listed = scene.given.expect(await scene.given.client.get("/v1/ledger/seals", headers=scene.given.root))
    forged = (await load_signer(scene.given.world)).sign("ledger-seal+jwt", {**decode_claims(listed["data"][0]["seal"]), "prev": "0" * 64})
    change = "UPDATE agreement_seals SET seal = :seal, seal_sha256 = :hash, prev_sha256 = :prev WHERE n = 2"
    await scene.execute(change, seal=forged, hash=digest(forged), prev="0" * 64)
    assert await scene.find_fault() == {"what": "prev", "seal": 2}


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE agreement_states SET accepted_ordinal = 9 WHERE user_id = :user AND accepted_ordinal = 1",
        "UPDATE agreement_states SET declined_ordinal = 0 WHERE user_id = :user",
        "UPDATE agreement_states SET notified_ordinal = 1 WHERE user_id = :user",
        "UPDATE agreement_states SET withdrawn_at = '2026-01-01 00:00:00+00' WHERE user_id = :user",
        "UPDATE agreement_states SET accepted_event_id = NULL WHERE user_id = :user",
        "DELETE FROM agreement_states WHERE user_id = :user",
    ],
)
async def test_a_wrong_state_is_named_and_rebuilt(scene: Scene, change: str) -> None:
    """A state that differs from its events is found, and written again from them."""
    await scene.execute(change, user=UUID(scene.person.id))
    broken = await scene.find_fault()
    assert (broken["what"], broken["user"], set(broken)) == ("state", scene.person.id, {"what", "user", "document"})
    assert await projection.rebuild_states(scene.given.world) == 1
    assert (await scene.verify())["valid"] is True
    assert await projection.rebuild_states(scene.given.world) == 0


async def test_a_state_without_any_event_is_named(scene: Scene) -> None:
    """An acceptance that never happened was written into the states."""
    stranger = await scene.given.person()
    copied = "SELECT :stranger, document_id, 1, 0, 0, NULL, NULL, updated_at FROM agreement_states WHERE user_id = :user"
    columns = "user_id, document_id, accepted_ordinal, declined_ordinal, notified_ordinal, withdrawn_at, accepted_event_id, updated_at"
    given = {"stranger": UUID(stranger.id), "user": UUID(scene.person.id)}
    await scene.execute(f"INSERT INTO agreement_states ({columns}) {copied.replace(':stranger', _as_uuid(scene))}", **given)
    assert await scene.find_fault() == {"what": "state", "user": stranger.id}


def _as_uuid(scene: Scene) -> str:
    return ":stranger" if scene.given.world.db.url.startswith("sqlite") else "CAST(:stranger AS uuid)"
