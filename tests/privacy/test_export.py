"""The export: one document with all that is kept about a person, with no secret, however much there is (agreements P4, P8)."""

import json
import tracemalloc
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select

from app.db import export_pages
from app.db.base import table
from app.events.models import Event
from app.events.service import Actor
from app.models import METADATA
from app.privacy import export
from app.privacy.schemas import Export
from tests.assertions import problem
from tests.given import PASSWORD, Given, Person
from tests.postbox import Postbox
from tests.privacy.life import AGENT, IP, erase, lived
from tests.secrets.walk import BEARERS

UNTOLD = {
    "api_keys", "products", "policies", "customers", "agreement_documents", "agreement_versions", "agreement_texts", "agreement_seals",
    "agreement_seal_items", "agreement_turns", "schema_contractions",
    "signing_keys", "key_marks", "trials", "usage", "throttles", "failure_counts",  # of nobody, or nameless
    "agreement_ledgers", "agreement_imports", "agreement_event_contexts",  # told with the receipts
    "activation_codes", "kept_answers", "refresh_tokens", "logins", "one_time_tokens",  # secrets, and what is over in a day
    "passkey_ceremonies",  # over in minutes
    "licenses",  # told with the assignments
    "webhook_endpoints", "webhook_deliveries",  # of the vendor; they name events, which are told
}  # fmt: skip
TOLD = {
    "users", "factors", "sessions", "license_users", "activations", "agreement_states", "agreement_presentations", "agreement_events",
    "messages", "events", "device_codes",
}  # fmt: skip


async def mine(given: Given, person: Person, **headers: str) -> dict[str, Any]:
    return given.expect(await given.client.post("/v1/me/export", headers={**person.auth, **headers}))


async def of(given: Given, person: Person) -> dict[str, Any]:
    return given.expect(await given.client.get(f"/v1/users/{person.id}/export", headers=given.root))


async def test_p8_it_is_one_document_with_everything(given: Given, postbox: Postbox) -> None:
    it = await lived(given, postbox)
    told = await mine(given, it.person)
    Export.model_validate_json(json.dumps(told))
    assert told["schema_version"] == 1
    assert (told["profile"]["email"], told["profile"]["metadata"]) == ("Kari@example.com", {"note": "Kari is kind"})
    assert {row["kind"] for row in told["factors"]} == {"password", "totp", "recovery"}
    assert {(row["ip"], row["user_agent"]) for row in told["sessions"]} == {(IP, AGENT)}
    assert [(row["status"], row["device"]["name"]) for row in told["device_codes"]] == [("approved", "Karis TV")]
    assert [row["license_id"] for row in told["licenses"]] == [it.license["id"]]
    assert [(row["fingerprint"], row["name"]) for row in told["activations"]] == [("kari-laptop", "Karis laptop")]
    assert [row["document_id"] for row in told["agreements"]] == [it.agreed["id"]]
    assert {row["client"] for row in told["presentations"]} == {None, "Karis client"}
    assert [(row["jws"], row["ip"]) for row in told["receipts"]] == [(it.receipt, IP)]
    assert {row["template"] for row in told["letters"]} >= {"factor_added", "reset_password"}
    assert {"user.created", "session.opened", "login.failed", "agreement.accepted", "user.exported"} <= {
        row["type"] for row in told["events"]
    }


async def test_p8_no_secret_is_in_it(given: Given, postbox: Postbox) -> None:
    it = await lived(given, postbox)
    answer = await given.client.get(f"/v1/users/{it.person.id}/export", headers=given.root)
    text = answer.text.replace(it.receipt, "")
    assert BEARERS.findall(text) == []
    secrets = (PASSWORD, it.person.secret, *it.person.recovery, it.license["key"], it.code, "argon2", "t1:", "sealed", "hash")
    assert [secret for secret in secrets if str(secret) in text] == []
    assert answer.headers["cache-control"] == "no-store"


async def test_every_table_is_told_or_left_out_on_purpose(given: Given) -> None:
    """P1, P8: a new table with something of a person must be put on one list or the other."""
    assert {entry.name for entry in METADATA.sorted_tables} == TOLD | UNTOLD


async def test_it_is_the_same_for_the_operator_whose_read_leaves_a_trace(given: Given) -> None:
    """P4: the person can see that it was read."""
    person = await given.logged_in()
    await of(given, person)
    told = await mine(given, person)
    reads = [row["actor_type"] for row in told["events"] if row["type"] == "user.exported"]
    assert reads == ["operator", "user"]


async def test_nobody_elses_data_is_in_it(given: Given, postbox: Postbox) -> None:
    it = await lived(given, postbox)
    other = await given.logged_in()
    text = json.dumps(await mine(given, other)).lower()
    assert it.person.id not in text
    assert "kari@" not in text


async def test_it_is_made_anew_each_time_and_never_kept(given: Given) -> None:
    """A kept answer would outlive an erasure."""
    person = await given.logged_in()
    first = await mine(given, person, **{"Idempotency-Key": "one"})
    given.clock.forward(seconds=1)
    again = await mine(given, person, **{"Idempotency-Key": "one"})
    assert first["exported_at"] < again["exported_at"]


async def test_it_is_for_those_who_may_read_it(given: Given) -> None:
    person = await given.logged_in()
    path = f"/v1/users/{person.id}/export"
    problem(await given.client.get(path, headers=await given.operator("licenses:read")), 403, "scope_missing")
    problem(await given.client.get(path, headers=person.auth), 403, "operator_key_required")
    problem(await given.client.get(f"/v1/users/{given.world.entropy.identifier()}/export", headers=given.root), 404, "user_not_found")
    problem(await given.client.post("/v1/me/export", headers=given.root), 403, "subject_token_required")
    problem(await given.client.post("/v1/me/export"), 401, "unauthenticated")


async def test_of_an_erased_user_only_what_is_left_is_told(given: Given, postbox: Postbox) -> None:
    it = await lived(given, postbox)
    given.expect(await erase(given, it.person))
    told = await of(given, it.person)
    assert (told["profile"]["status"], told["licenses"]) == ("erased", [])
    assert [row["jws"] for row in told["receipts"]] == [it.receipt]
    assert "kari" not in json.dumps(told).lower()


async def test_long_histories_are_told_page_by_page(given: Given) -> None:
    """Each row once, in order, across the edges of pages; memory does not grow with the length of it."""
    person, world = await given.person(), given.world
    count = 25 * export_pages.PAGE_SIZE
    rows = [
        {
            "id": world.entropy.identifier(),
            "at": world.clock.now(),
            "type": "some.thing",
            "actor_type": "system",
            "subject_type": "user",
            "subject_id": UUID(person.id),
            "user_id": UUID(person.id),
            "data": {"n": n, "filler": "x" * 400},
        }
        for n in range(count)
    ]
    async with world.db.write() as tx:
        await tx.execute(insert(table(Event)), rows)
    pieces, seen, most = [], 0, 0
    tracemalloc.start()
    async for piece in await export.export_user(world, Actor.system(), UUID(person.id)):
        seen += len(piece)
        most = max(most, tracemalloc.get_traced_memory()[0])
        pieces += [json.loads(piece.lstrip(", "))["data"]["n"]] if "some.thing" in piece else []
    tracemalloc.stop()
    assert pieces == list(range(count))
    assert most < seen
    async with world.db.query() as tx:
        assert len((await tx.scalars(select(Event.id).where(Event.user_id == UUID(person.id)))).all()) == count + 3
