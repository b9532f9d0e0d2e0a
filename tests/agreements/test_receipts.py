"""Receipts: verified with somebody else's library, chained, and without a name or an address in them."""

import json
from hashlib import sha256
from typing import Any
from uuid import UUID

import jwt
from sqlalchemy import select

from app.agreements.models import AgreementEvent, AgreementEventContext
from app.base.durations import instant_text
from tests.agreements import making
from tests.agreements.making import code
from tests.given import Given, Person


async def opened(given: Given, receipt: str) -> dict[str, Any]:
    """The claims, after PyJWT has verified the signature with the published key set."""
    header = jwt.get_unverified_header(receipt)
    assert header["typ"] == "acceptance-receipt+jwt"
    keys = (await given.client.get("/.well-known/jwks.json")).json()
    key = next(jwt.PyJWK(it) for it in keys["keys"] if it["kid"] == header["kid"])
    claims: dict[str, Any] = jwt.decode(receipt, key, algorithms=["EdDSA"], options={"verify_iat": False, "verify_exp": False})
    return claims


async def test_a_receipt_says_everything(given: Given) -> None:
    """Section 2.2: the claims of this slice, exactly."""
    found = await making.in_force(given, "en", "nb")
    person = await given.strong()
    shown = await making.present(given, person, found, locale="no-NO", client="web", app_version="2.0", platform="mac", ui_ref="r7")
    claims = {"scrolled_to_end": True, "client_time": "2020-01-01T00:00:00+01:00"}
    await given.client.patch(f"/v1/me/presentations/{shown['id']}", json={"dwell_ms": 900, "scrolled_to_end": False}, headers=person.auth)
    told = given.expect(await making.decide(given, person, shown, claims=claims))
    whole = await opened(given, told["receipt"]["jws"])
    text = shown["text"]
    statement = sha256(f"{shown['statement']}\n{shown['accept_label']}\n{shown['decline_label']}".encode()).hexdigest()
    now = given.clock.now()
    for name in ("sid_h", "ctx"):
        assert len(whole.pop(name)) == 64
    assert whole.pop("auth_time") == int(now.timestamp())
    assert {"pwd", "otp"} <= set(whole.pop("amr"))
    assert whole == {
        "iss": "http://127.0.0.1:8000",
        "jti": told["event"],
        "sub": person.id,
        "event": "accepted",
        "iat": int(now.timestamp()),
        "at": instant_text(now),
        "doc": found["id"],
        "ver": shown["version"],
        "ord": 1,
        "txt": text["id"],
        "product": found["product"],
        "kind": "eula",
        "region": "001",
        "locale": "nb",
        "locale_requested": "no-NO",
        "fallback": "language",
        "text_sha256": text["sha256"],
        "served_sha256": text["sha256"],
        "format": "md",
        "stmt_sha256": statement,
        "prs": shown["id"],
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
    """`seq` is 1…n without a gap, and `prev` is the SHA-256 of the receipt before, whatever raced; users do not share one."""
    found, second = await making.in_force(given), await making.in_force(given)
    person, other = await given.logged_in(), await given.logged_in()
    await making.accepted(given, other, found)
    screens = [await making.present(given, person, it) for it in (found, second) for _ in range(6)]
    words = ("accept", "decline")
    await making.together(*(making.decide(given, person, shown, words[place % 2]) for place, shown in enumerate(screens)))
    async with given.world.db.lookup() as session:
        wanted = select(AgreementEvent.seq, AgreementEvent.receipt, AgreementEvent.receipt_sha256, AgreementEvent.prev_sha256)
        rows = (await session.execute(wanted.where(AgreementEvent.user_id == UUID(person.id)).order_by(AgreementEvent.seq))).all()
    assert [row.seq for row in rows] == [*range(1, 9)]
    prev = None
    for row in rows:
        claims = await opened(given, row.receipt)
        assert (claims["seq"], claims["prev"], row.prev_sha256) == (row.seq, prev, prev)
        prev = sha256(row.receipt.encode()).hexdigest()
        assert row.receipt_sha256 == prev


async def test_where_it_came_from_is_only_committed_to(given: Given) -> None:
    """Part B: address, agent, session and salt lie beside the event and can be erased; the receipt holds salted hashes."""
    found = await making.in_force(given)
    person = await given.logged_in()
    headers = {**person.auth, "User-Agent": "Test/1.0 (tést)"}
    shown = await making.present(given, person, found)
    body = {"decision": "accept", "text_sha256": shown["text"]["sha256"]}
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    told = given.expect(await given.client.post(f"/v1/me/presentations/{shown['id']}/decision", json=body, headers=raw))
    claims = await opened(given, told["receipt"]["jws"])
    async with given.world.db.lookup() as session:
        row = (await session.execute(select(*AgreementEventContext.__table__.columns))).one()
    assert row.ip
    assert row.user_agent == "Test/1.0 (tést)"
    assert claims["ctx"] == sha256(row.salt + row.ip.encode() + b"\0" + row.user_agent.encode()).hexdigest()
    assert claims["sid_h"] == sha256(row.salt + str(row.session_id).encode()).hexdigest()
    text = json.dumps({name: value for name, value in claims.items() if name != "iss"})
    assert not [secret for secret in (person.email, row.ip, "Test/1.0", str(row.session_id)) if secret in text]


async def test_reading_receipts(given: Given) -> None:
    """One's own, the latest first, page by page."""
    found = await making.in_force(given)
    person, other = await given.logged_in(), await given.logged_in()
    made = [
        given.expect(await making.decide(given, person, await making.present(given, person, found), decision))
        for decision in ("decline", "accept", "decline")
    ]
    first = await _receipts(given, person, limit="2")
    rest = await _receipts(given, person, cursor=first["next_cursor"])
    assert [it["id"] for it in (*first["data"], *rest["data"])] == [it["event"] for it in reversed(made)]
    assert rest["next_cursor"] is None
    one = given.expect(await given.client.get(made[1]["receipt"]["url"], headers=person.auth))
    assert one == first["data"][1]
    assert (one["type"], one["jws"], one["seq"], one["locale"], one["document"]) == (
        "accepted", made[1]["receipt"]["jws"], 2, "en", found["id"],
    )  # fmt: skip
    assert code(await given.client.get(made[1]["receipt"]["url"], headers=other.auth)) == (404, "receipt_not_found")
    assert (await _receipts(given, other))["data"] == []


async def _receipts(given: Given, person: Person, **query: str) -> dict[str, Any]:
    return given.expect(await given.client.get("/v1/me/receipts", params=query, headers=person.auth))
