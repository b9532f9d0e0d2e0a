"""A person with personal data in every table that can contain it."""

import asyncio
import re
from dataclasses import dataclass, replace
from typing import Any

import httpx
from sqlalchemy import update

from app.agreements.models import AgreementLedger
from tests.agreements import making
from tests.agreements.ledger.receipt_claims import read_claims
from tests.given import Given, Person
from tests.postbox import Postbox
from tests.secrets.stored import read_all_tables

IP = "203.0.113.77"
AGENT = "Karibrowser/7"
PRIVATE = ("kari", IP, "crm-77")
"""Text that names her or leads to her, in lower case."""
_BEGINS = r"(?<![a-z0-9+/_-])"
"""The marks must begin a word: inside sealed or signed text they would be coincidence."""


@dataclass(frozen=True)
class History:
    """A person with an accepted agreement, a license and its unused activation code, a seat, and an unfinished login."""

    person: Person
    agreement: dict[str, Any]
    license: dict[str, Any]
    code: str
    handle: dict[str, str]
    presentation: dict[str, Any]
    seat: dict[str, Any]
    receipt: str


async def create_history(given: Given, postbox: Postbox) -> History:
    """Create a person with rows in every table that can contain personal data, just logged in with two factors."""
    given.client.headers["User-Agent"] = AGENT
    agreed, other = await making.create_in_force(given), await making.create_in_force(given)
    profile = {"display_name": "Kari Nordmann", "locale": "nb", "region": "NO", "timezone": "Europe/Oslo"}
    user = await given.post(
        "/v1/users",
        {
            "email": "Kari@example.com",
            "password": Person.password,
            "email_verified": True,
            **profile,
            "external_id": "crm-77",
            "metadata": {"note": "Kari is kind"},
            "preferences": {"screen_reader": True},
        },
    )
    person = await given.with_totp(Person(user["id"], user["email"]))
    await given.client.post("/v1/login", json={"identifier": person.email, "password": "wrong, quite wrong"})
    device = {"fingerprint": "kari-laptop", "name": "Karis laptop"}
    license_ = await given.license(
        await given.policy({"code": agreed["product"]}, seat_by="device_per_user", max_seats=2), users=[person.id]
    )
    handle = await given.begin(person, device=device)
    await postbox.collected(given.world)
    await given.logged_in(person)
    await approve_device_grant(given, person)
    await given.post("/v1/password/forgot", {"identifier": person.email}, {})
    seat = await given.post("/v1/activations", {"license_key": license_["key"], "device": device}, person.auth)
    acceptance = await making.accept(given, person, agreed)
    presentation = await making.present(given, person, other, client="Karis client", ui_ref="kari-7")
    code = await given.code(license_, email=person.email)
    return History(person, agreed, license_, code, handle, presentation, seat, acceptance["receipt"]["jws"])


async def approve_device_grant(given: Given, person: Person) -> None:
    """Approve a device grant of her television, which may then fetch its session."""
    grant = await given.post("/v1/device/code", {"device": {"fingerprint": "kari-tv", "name": "Karis TV"}}, {})
    query = {"user_code": grant["user_code"]}
    given.expect(await given.client.get("/v1/device", params=query, headers=person.auth))
    await given.post("/v1/device/approve", query, person.auth)


async def find_traces(given: Given) -> dict[str, list[str]]:
    """Return the tables that still contain any of `PRIVATE`, in any column."""
    stored = {name: rows.lower() for name, rows in (await read_all_tables(given)).items()}
    marks_by_table = {name: [mark for mark in PRIVATE if re.search(_BEGINS + re.escape(mark), rows)] for name, rows in stored.items()}
    return {name: marks for name, marks in marks_by_table.items() if marks}


async def set_legal_hold(given: Given, *, active: bool) -> None:
    """Put all ledgers under a legal hold, or release it."""
    async with given.world.db.write() as tx:
        await tx.execute(update(AgreementLedger).values(legal_hold=active))


async def assert_receipt_verifies(given: Given, history: History) -> None:
    """Assert that our key signed the receipt, for this user id."""
    claims = await read_claims(given, history.receipt)
    assert (claims["sub"], claims["seq"]) == (history.person.id, 1)


async def erase(given: Given, person: Person) -> httpx.Response:
    return await given.client.post(f"/v1/users/{person.id}/erase", headers=given.root)


async def run_together(*calls: Any) -> list[httpx.Response]:
    return list(await asyncio.gather(*calls))


def with_mail(world: Any, postbox: Postbox) -> Any:
    return replace(world, settings=postbox.settings(world.settings))
