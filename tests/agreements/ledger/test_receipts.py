"""Receipts: verified with another library, chained, and without a name or an address in them."""

import json
from base64 import b64encode
from hashlib import sha256
from typing import Any, get_args
from uuid import UUID

import httpx
import pytest
from sqlalchemy import select

from app.agreements.ledger import receipt_pages
from app.agreements.ledger.receipt_schemas import EventTypeName
from app.agreements.ledger.receipts import decode_claims
from app.agreements.models import AgreementEvent, AgreementEventContext, EventType
from app.base.durations import instant_text
from app.signing_keys import rotation
from app.signing_keys.service import load_signer
from tests.agreements import making
from tests.agreements.ledger.receipt_claims import read_claims
from tests.agreements.making import TEXT, create_agreement, status_and_code
from tests.given import Given, Person


async def test_a_receipt_contains_exactly_these_claims(given: Given) -> None:
    """Section 2.2."""
    agreement = await making.create_in_force(given, "en", "nb")
    person = await given.strong()
    presentation = await making.present(
        given, person, agreement, locale="no-NO", client="web", app_version="2.0", platform="mac", ui_ref="r7"
    )
    claims = {"scrolled_to_end": True, "client_time": "2020-01-01T00:00:00+01:00"}
    await given.client.patch(
        f"/v1/me/presentations/{presentation['id']}", json={"dwell_ms": 900, "scrolled_to_end": False}, headers=person.auth
    )
    outcome = given.expect(await making.decide(given, person, presentation, claims=claims))
    payload = await read_claims(given, outcome["receipt"]["jws"])
    text = presentation["text"]
    statement = sha256(f"{presentation['statement']}\n{presentation['accept_label']}\n{presentation['decline_label']}".encode()).hexdigest()
    now = given.clock.now()
    for name in ("sid_h", "ctx"):
        assert len(payload.pop(name)) == 64
    assert payload.pop("auth_time") == int(now.timestamp())
    assert {"pwd", "otp"} <= set(payload.pop("amr"))
    assert payload == {
        "iss": "http://127.0.0.1:8000",
        "jti": outcome["event"],
        "sub": person.id,
        "event": "accepted",
        "iat": int(now.timestamp()),
        "at": instant_text(now),
        "doc": agreement["id"],
        "ver": presentation["version"],
        "ord": 1,
        "txt": text["id"],
        "product": agreement["product"],
        "kind": "eula",
        "region": "001",
        "locale": "nb",
        "locale_requested": "no-NO",
        "fallback": "language",
        "text_sha256": text["sha256"],
        "served_sha256": text["sha256"],
        "format": "md",
        "stmt_sha256": statement,
        "prs": presentation["id"],
        "presented_at": instant_text(now),
        "client": "web",
        "app_version": "2.0",
        "platform": "mac",
        "ui_ref": "r7",
        "claims": {"scrolled_to_end": True, "dwell_ms": 900, "client_time": "2019-12-31T23:00:00.000Z"},
        "capacity": "unknown",
        "seq": 1,
        "prev": None,
    }


async def test_the_chain(given: Given) -> None:
    """`seq` is 1…n without a gap and `prev` is the SHA-256 of the previous receipt, even under races. Users have separate chains."""
    agreement, second = await making.create_in_force(given), await making.create_in_force(given)
    person, other = await given.logged_in(), await given.logged_in()
    await making.accept(given, other, agreement)
    screens = [await making.present(given, person, each) for each in (agreement, second) for _ in range(6)]
    words = ("accept", "decline")
    await making.run_together(*(making.decide(given, person, presentation, words[place % 2]) for place, presentation in enumerate(screens)))
    async with given.world.db.query() as tx:
        wanted = select(AgreementEvent.seq, AgreementEvent.receipt, AgreementEvent.receipt_sha256, AgreementEvent.prev_sha256)
        rows = (await tx.execute(wanted.where(AgreementEvent.user_id == UUID(person.id)).order_by(AgreementEvent.seq))).all()
    assert [row.seq for row in rows] == [*range(1, 9)]
    prev = None
    for row in rows:
        claims = await read_claims(given, row.receipt)
        assert (claims["seq"], claims["prev"], row.prev_sha256) == (row.seq, prev, prev)
        prev = sha256(row.receipt.encode()).hexdigest()
        assert row.receipt_sha256 == prev


async def test_a_receipt_contains_only_commitments_to_the_context(given: Given) -> None:
    """IP address, user agent, session and salt are stored separately and can be erased; the receipt contains salted hashes."""
    agreement = await making.create_in_force(given)
    person = await given.logged_in()
    headers = {**person.auth, "User-Agent": "Test/1.0 (tést)"}
    presentation = await making.present(given, person, agreement)
    body = {"decision": "accept", "text_sha256": presentation["text"]["sha256"]}
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    outcome = given.expect(await given.client.post(f"/v1/me/presentations/{presentation['id']}/decision", json=body, headers=raw))
    claims = await read_claims(given, outcome["receipt"]["jws"])
    async with given.world.db.query() as tx:
        row = (await tx.execute(select(*AgreementEventContext.__table__.columns))).one()
    assert row.ip
    assert row.user_agent == "Test/1.0 (tést)"
    assert claims["ctx"] == sha256(row.salt + row.ip.encode() + b"\0" + row.user_agent.encode()).hexdigest()
    assert claims["sid_h"] == sha256(row.salt + str(row.session_id).encode()).hexdigest()
    text = json.dumps({name: value for name, value in claims.items() if name != "iss"})
    assert not [secret for secret in (person.email, row.ip, "Test/1.0", str(row.session_id)) if secret in text]


async def test_reading_receipts(given: Given) -> None:
    """A user lists only their own receipts, newest first, page by page."""
    agreement = await making.create_in_force(given)
    person, other = await given.logged_in(), await given.logged_in()
    decisions = [
        given.expect(await making.decide(given, person, await making.present(given, person, agreement), decision))
        for decision in ("decline", "accept", "decline")
    ]
    first = await _receipts(given, person, limit="2")
    rest = await _receipts(given, person, cursor=first["next_cursor"])
    assert [each["id"] for each in (*first["data"], *rest["data"])] == [each["event"] for each in reversed(decisions)]
    assert rest["next_cursor"] is None
    one = given.expect(await given.client.get(decisions[1]["receipt"]["url"], headers=person.auth))
    assert first["data"][1].items() <= one.items()
    assert (one["type"], one["jws"], one["seq"], one["locale"], one["document"]) == (
        "accepted", decisions[1]["receipt"]["jws"], 2, "en", agreement["id"],
    )  # fmt: skip
    assert status_and_code(await given.client.get(decisions[1]["receipt"]["url"], headers=other.auth)) == (404, "receipt_not_found")
    assert (await _receipts(given, other))["data"] == []


async def _receipts(given: Given, person: Person, **query: str) -> dict[str, Any]:
    return given.expect(await given.client.get("/v1/me/receipts", params=query, headers=person.auth))


async def _read(given: Given, person: Person, receipt: str, accept: str | None = None) -> httpx.Response:
    headers = {**person.auth, **({"Accept": accept} if accept else {})}
    return await given.client.get(f"/v1/me/receipts/{receipt}", headers=headers)


async def test_a_receipt_in_its_four_forms(given: Given) -> None:
    """JSON by default, the JWS alone, and a text and an HTML page to print."""
    agreement = await making.create_in_force(given)
    person = await given.strong()
    outcome = await making.accept(given, person, agreement)
    whole = given.expect(await _read(given, person, outcome["event"]))
    assert (whole["title"], whole["statement"], whole["accept_label"]) == (TEXT["title"], TEXT["statement"], TEXT["accept_label"])
    assert (whole["grade"], whole["amr"], whole["ordinal"], whole["format"]) == ("B", ["pwd", "otp", "mfa"], 1, "md")
    alone = await _read(given, person, outcome["event"], "application/jwt")
    assert (alone.text, alone.headers["content-type"]) == (outcome["receipt"]["jws"], "application/jwt")
    text = await _read(given, person, outcome["event"], "text/plain")
    assert text.headers["content-type"] == "text/plain; charset=utf-8"
    for part in (
        TEXT["title"],
        TEXT["statement"],
        outcome["at"],
        whole["text_sha256"],
        outcome["receipt"]["jws"],
        "password, one-time code",
    ):
        assert part in text.text
    assert status_and_code(await _read(given, person, outcome["event"], "image/png")) == (406, "not_acceptable")


async def test_a_statement_cannot_add_lines_to_a_text_receipt(given: Given) -> None:
    """The lines of a statement are indented, so none can pass for a line of the receipt."""
    agreement = await making.create_agreement(given)
    draft = await making.create_version(given, agreement, statement="I agree.\nWhen: 1999-01-01T00:00:00.000Z\n\nPlace: 7")
    given.expect(await making.publish(given, draft))
    person = await given.logged_in()
    outcome = await making.accept(given, person, agreement)
    lines = (await _read(given, person, outcome["event"], "text/plain")).text.split("\n")
    assert [line for line in lines if line.startswith("When:")] == [f"When: {outcome['at']}"]
    assert "    When: 1999-01-01T00:00:00.000Z" in lines


@pytest.mark.parametrize(("locale", "word"), [("en", "Receipt"), ("nb", "Kvittering"), ("ru", "Подтверждение"), ("zh-Hans", "回执")])
async def test_a_receipt_is_in_the_language_of_its_text(given: Given, locale: str, word: str) -> None:
    person = await given.logged_in()
    outcome = await making.accept(given, person, await making.create_in_force(given, "en", locale), locale=locale)
    page = await _read(given, person, outcome["event"], "text/html")
    assert page.headers["content-language"] == locale
    assert f'<html lang="{locale}">' in page.text
    assert f"<h1>{word}</h1>" in page.text
    assert (await _read(given, person, outcome["event"], "text/plain")).text.startswith(f"{word}\n")


def test_all_translations_are_complete() -> None:
    """The same names in every language, and a word for every event type."""
    words = [receipt_pages._load_words(language) for language in receipt_pages.LANGUAGES]
    assert len({json.dumps(_key_tree(each), sort_keys=True) for each in words}) == 1
    assert set(words[0]["events"]) == {*EventType} == set(get_args(EventTypeName))


def _key_tree(value: Any) -> Any:
    return {name: _key_tree(inner) for name, inner in value.items()} if isinstance(value, dict) else None


async def test_a_printed_receipt_runs_no_script(given: Given) -> None:
    """A statement is always text, and the content security policy lets nothing load or run."""
    agreement = await create_agreement(given)
    version = await making.create_version(given, agreement, "en", "ar", statement='<script>alert(1)</script> & "agree"')
    given.expect(await making.publish(given, version))
    person = await given.logged_in()
    outcome = await making.accept(given, person, agreement, locale="ar")
    page = await _read(given, person, outcome["event"], "text/html")
    assert "<script>" not in page.text
    assert '<blockquote lang="ar" dir="auto">&lt;script&gt;' in page.text
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    style = page.text.partition("<style>")[2].partition("</style>")[0]
    assert f"'sha256-{b64encode(sha256(style.encode()).digest()).decode()}'" in policy
    assert page.headers["x-content-type-options"] == "nosniff"


async def _verify(given: Given, receipt: str) -> dict[str, Any]:
    return given.expect(await given.client.post("/v1/receipts/verify", json={"receipt": receipt}))


async def test_anyone_may_verify_a_receipt(given: Given) -> None:
    """Genuine and stored exactly so, even after its key was retired."""
    person = await given.logged_in()
    jws = (await making.accept(given, person, await making.create_in_force(given)))["receipt"]["jws"]
    await rotation.rotate_keys(given.world, at_once=True)
    assert await _verify(given, jws) == {"valid": True, "code": "ok", "in_ledger": True, "warnings": [], "claims": decode_claims(jws)}


async def test_a_receipt_that_is_not_in_the_ledger(given: Given) -> None:
    """Signed by our key, but the event does not exist or has another receipt."""
    person = await given.logged_in()
    outcome = await making.accept(given, person, await making.create_in_force(given))
    keys = await load_signer(given.world)
    stranger = keys.sign("acceptance-receipt+jwt", {**decode_claims(outcome["receipt"]["jws"]), "jti": str(UUID(int=1))})
    for receipt in (stranger, keys.sign("acceptance-receipt+jwt", {**decode_claims(outcome["receipt"]["jws"]), "ord": 2})):
        verdict = await _verify(given, receipt)
        assert (verdict["valid"], verdict["code"], verdict["in_ledger"]) == (False, "receipt_not_in_ledger", False)


async def test_garbage_gets_a_verdict_and_no_error(given: Given) -> None:
    person = await given.logged_in()
    jws = (await making.accept(given, person, await making.create_in_force(given)))["receipt"]["jws"]
    head, body, signature = jws.split(".")
    other = (await load_signer(given.world)).sign("ledger-seal+jwt", decode_claims(jws))
    changed = body[:-3] + ("AAA" if body[-3:] != "AAA" else "BBB")
    garbage = [
        "",
        ".",
        "..",
        "x",
        "é漢",
        "\x00",
        "a" * 65_536,
        f"{head}.{changed}.{signature}",
        f"{head}.{body}.",
        jws + "A",
        str(person.token),
        other,
    ]
    for text in garbage:
        verdict = await _verify(given, text)
        assert verdict == {"valid": False, "code": "receipt_not_genuine", "in_ledger": False, "warnings": [], "claims": None}, text[:40]
    assert status_and_code(await given.client.post("/v1/receipts/verify", json={"receipt": "a" * 65_537})) == (422, "malformed")


async def test_r24_a_correction_is_a_new_event(given: Given) -> None:
    """Agreements R24: chained, signed, by the operator, with a reason. The event itself and the user's state do not change."""
    agreement = await making.create_in_force(given)
    person = await given.logged_in()
    outcome = await making.accept(given, person, agreement)
    path = f"/v1/agreement-events/{outcome['event']}"
    before = given.expect(await given.client.get(path, headers=given.root))
    note = await given.post(f"{path}/annotations", {"reason": "Accepted on a demonstration device."})
    after = given.expect(await given.client.get(path, headers=given.root))
    assert after == {**before, "annotations": [note]}
    annotation = given.expect(await given.client.get(f"/v1/agreement-events/{note['id']}", headers=given.root))
    claims = await read_claims(given, annotation["jws"])
    assert (claims["event"], claims["annotates"], claims["reason"], claims["seq"]) == ("annotated", outcome["event"], note["reason"], 2)
    assert claims["act"] == {"type": "operator", "id": note["by"]}
    assert claims["prev"] == sha256(outcome["receipt"]["jws"].encode()).hexdigest()
    assert (annotation["grade"], annotation["context"]) == (None, None)
    assert (await making.list_agreements(given, person, agreement))["compliant"] is True
    page = await _read(given, person, note["id"], "text/plain")
    assert "demonstration device" in page.text


async def test_r24_annotating_requires_the_scope_and_an_existing_event(given: Given) -> None:
    reader = await given.operator("agreements:read")
    path = f"/v1/agreement-events/{UUID(int=1)}"
    body = {"reason": "Why not."}
    assert status_and_code(await given.client.post(f"{path}/annotations", json=body, headers=reader)) == (403, "scope_missing")
    assert status_and_code(await given.client.post(f"{path}/annotations", json=body, headers=given.root)) == (
        404,
        "agreement_event_not_found",
    )
    assert status_and_code(await given.client.get(path, headers=reader)) == (404, "agreement_event_not_found")


async def test_an_operator_reads_an_event_of_a_suspended_user(given: Given) -> None:
    """The receipt, its grade, and its context until that is erased."""
    person = await given.strong(locale="en")
    outcome = await making.accept(given, person, await making.create_in_force(given))
    await given.post(f"/v1/users/{person.id}/suspend")
    assert (await _read(given, person, outcome["event"])).status_code in {401, 403}
    event = given.expect(await given.client.get(f"/v1/agreement-events/{outcome['event']}", headers=given.root))
    assert (event["user"], event["grade"], event["actor"], event["claims"]) == (person.id, "A", None, decode_claims(event["jws"]))
    context = event["context"]
    commitment = sha256(bytes.fromhex(context["salt"]) + context["ip"].encode() + b"\0" + context["user_agent"].encode()).hexdigest()
    assert event["claims"]["ctx"] == commitment


async def test_r23_time_never_runs_backwards_in_a_chain(given: Given) -> None:
    """Agreements R23: of two replicas whose clocks differ, the slower one uses the time of the previous event."""
    person = await given.logged_in()
    first, second = await making.create_in_force(given), await making.create_in_force(given)
    given.clock.forward(seconds=90)
    ahead = await making.accept(given, person, first)
    given.clock.forward(seconds=-60)
    behind = await making.accept(given, person, second)
    given.clock.forward(seconds=-1)
    again = given.expect(await making.decide(given, person, await making.present(given, person, first), "decline"))
    assert ahead["at"] == behind["at"] == again["at"]
    claims = decode_claims(again["receipt"]["jws"])
    assert (claims["at"], claims["iat"]) == (ahead["at"], decode_claims(ahead["receipt"]["jws"])["iat"])
    given.clock.forward(seconds=120)
    later = given.expect(await making.decide(given, person, await making.present(given, person, first), "decline"))
    assert later["at"] > again["at"]
