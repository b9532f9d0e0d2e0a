"""The export: one document with everything stored about a person, without secrets, of any length (agreements P4, P8)."""

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
from tests.privacy.histories import AGENT, IP, create_history, erase
from tests.secrets.walk import BEARERS

NOT_EXPORTED = {
    "api_keys", "products", "policies", "customers", "agreement_documents", "agreement_versions", "agreement_texts", "agreement_seals",
    "agreement_seal_items", "agreement_turns", "schema_contractions",
    "signing_keys", "key_marks", "trials", "usage", "throttles", "failure_counts",  # without personal data
    "agreement_ledgers", "agreement_imports", "agreement_event_contexts",  # exported with the receipts
    "activation_codes", "kept_answers", "refresh_tokens", "logins", "one_time_tokens",  # secrets, and rows that expire within a day
    "passkey_ceremonies",  # expire within minutes
    "licenses",  # exported with the assignments
    "webhook_endpoints", "webhook_deliveries",  # of the vendor; they refer to events, which are exported
}  # fmt: skip
EXPORTED = {
    "users", "factors", "sessions", "license_users", "activations", "agreement_states", "agreement_presentations", "agreement_events",
    "messages", "events", "device_codes",
}  # fmt: skip


async def export_own(given: Given, person: Person, **headers: str) -> dict[str, Any]:
    return given.expect(await given.client.post("/v1/me/export", headers={**person.auth, **headers}))


async def export_as_operator(given: Given, person: Person) -> dict[str, Any]:
    return given.expect(await given.client.get(f"/v1/users/{person.id}/export", headers=given.root))


async def test_p8_the_export_is_one_document_with_everything(given: Given, postbox: Postbox) -> None:
    history = await create_history(given, postbox)
    document = await export_own(given, history.person)
    Export.model_validate_json(json.dumps(document))
    assert document["schema_version"] == 1
    assert (document["profile"]["email"], document["profile"]["metadata"]) == ("Kari@example.com", {"note": "Kari is kind"})
    assert {row["kind"] for row in document["factors"]} == {"password", "totp", "recovery"}
    assert {(row["ip"], row["user_agent"]) for row in document["sessions"]} == {(IP, AGENT)}
    assert [(row["status"], row["device"]["name"]) for row in document["device_codes"]] == [("approved", "Karis TV")]
    assert [row["license_id"] for row in document["licenses"]] == [history.license["id"]]
    assert [(row["fingerprint"], row["name"]) for row in document["activations"]] == [("kari-laptop", "Karis laptop")]
    assert [row["document_id"] for row in document["agreements"]] == [history.agreement["id"]]
    assert {row["client"] for row in document["presentations"]} == {None, "Karis client"}
    assert [(row["jws"], row["ip"]) for row in document["receipts"]] == [(history.receipt, IP)]
    assert {row["template"] for row in document["letters"]} >= {"factor_added", "reset_password"}
    assert {"user.created", "session.opened", "login.failed", "agreement.accepted", "user.exported"} <= {
        row["type"] for row in document["events"]
    }


async def test_p8_the_export_contains_no_secret(given: Given, postbox: Postbox) -> None:
    history = await create_history(given, postbox)
    answer = await given.client.get(f"/v1/users/{history.person.id}/export", headers=given.root)
    text = answer.text.replace(history.receipt, "")
    assert BEARERS.findall(text) == []
    secrets = (
        PASSWORD,
        history.person.secret,
        *history.person.recovery,
        history.license["key"],
        history.code,
        "argon2",
        "t1:",
        "sealed",
        "hash",
    )
    assert [secret for secret in secrets if str(secret) in text] == []
    assert answer.headers["cache-control"] == "no-store"


async def test_every_table_is_exported_or_listed_as_not_exported(given: Given) -> None:
    """P1, P8: a new table must be added to one list or the other."""
    assert {entry.name for entry in METADATA.sorted_tables} == EXPORTED | NOT_EXPORTED


async def test_p4_an_export_by_an_operator_is_recorded(given: Given) -> None:
    """P4: the person sees the record in their own export."""
    person = await given.logged_in()
    await export_as_operator(given, person)
    document = await export_own(given, person)
    reads = [row["actor_type"] for row in document["events"] if row["type"] == "user.exported"]
    assert reads == ["operator", "user"]


async def test_the_export_contains_no_data_of_others(given: Given, postbox: Postbox) -> None:
    history = await create_history(given, postbox)
    other = await given.logged_in()
    text = json.dumps(await export_own(given, other)).lower()
    assert history.person.id not in text
    assert "kari@" not in text


async def test_each_export_is_new_and_never_stored(given: Given) -> None:
    """A stored response would survive an erasure."""
    person = await given.logged_in()
    first = await export_own(given, person, **{"Idempotency-Key": "one"})
    given.clock.forward(seconds=1)
    again = await export_own(given, person, **{"Idempotency-Key": "one"})
    assert first["exported_at"] < again["exported_at"]


async def test_exporting_requires_the_scopes(given: Given) -> None:
    person = await given.logged_in()
    path = f"/v1/users/{person.id}/export"
    problem(await given.client.get(path, headers=await given.operator("licenses:read")), 403, "scope_missing")
    problem(await given.client.get(path, headers=person.auth), 403, "operator_key_required")
    problem(await given.client.get(f"/v1/users/{given.world.entropy.identifier()}/export", headers=given.root), 404, "user_not_found")
    problem(await given.client.post("/v1/me/export", headers=given.root), 403, "subject_token_required")
    problem(await given.client.post("/v1/me/export"), 401, "unauthenticated")


async def test_the_export_of_an_erased_user_contains_only_what_is_left(given: Given, postbox: Postbox) -> None:
    history = await create_history(given, postbox)
    given.expect(await erase(given, history.person))
    document = await export_as_operator(given, history.person)
    assert (document["profile"]["status"], document["licenses"]) == ("erased", [])
    assert [row["jws"] for row in document["receipts"]] == [history.receipt]
    assert "kari" not in json.dumps(document).lower()


async def test_a_long_history_is_exported_page_by_page(given: Given) -> None:
    """Each row once and in order across page boundaries, while memory use stays below the size of the document."""
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
    numbers, length, peak = [], 0, 0
    tracemalloc.start()
    async for piece in await export.export_user(world, Actor.system(), UUID(person.id)):
        length += len(piece)
        peak = max(peak, tracemalloc.get_traced_memory()[0])
        numbers += [json.loads(piece.lstrip(", "))["data"]["n"]] if "some.thing" in piece else []
    tracemalloc.stop()
    assert numbers == list(range(count))
    assert peak < length
    async with world.db.query() as tx:
        assert len((await tx.scalars(select(Event.id).where(Event.user_id == UUID(person.id)))).all()) == count + 3
