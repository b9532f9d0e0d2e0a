"""A person with a life here: something of theirs in every table that can hold it."""

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
from tests.secrets.test_rest import everything

IP = "203.0.113.77"
AGENT = "Karibrowser/7"
PRIVATE = ("kari", IP, "crm-77")
"""What names her, or leads to her; in small letters."""
_BEGINS = r"(?<![a-z0-9+/_-])"
"""Four letters in the middle of what is sealed or signed are chance."""


@dataclass(frozen=True)
class Life:
    """The person, what she agreed to, the license she is on, its open code for her address, and an unfinished login."""

    person: Person
    agreed: dict[str, Any]
    license: dict[str, Any]
    code: str
    handle: dict[str, str]
    presentation: dict[str, Any]
    seat: dict[str, Any]
    receipt: str


async def lived(given: Given, postbox: Postbox) -> Life:
    """Logged in with password and code a moment ago."""
    given.client.headers["User-Agent"] = AGENT
    agreed, other = await making.create_in_force(given), await making.create_in_force(given)
    profile = {"display_name": "Kari Nordmann", "locale": "nb", "region": "NO", "timezone": "Europe/Oslo"}
    made = await given.post(
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
    person = await given.with_totp(Person(made["id"], made["email"]))
    await given.client.post("/v1/login", json={"identifier": person.email, "password": "wrong, quite wrong"})
    device = {"fingerprint": "kari-laptop", "name": "Karis laptop"}
    license_ = await given.license(
        await given.policy({"code": agreed["product"]}, seat_by="device_per_user", max_seats=2), users=[person.id]
    )
    handle = await given.begin(person, device=device)
    await postbox.collected(given.world)
    await given.logged_in(person)
    await approved(given, person)
    await given.post("/v1/password/forgot", {"identifier": person.email}, {})
    seat = await given.post("/v1/activations", {"license_key": license_["key"], "device": device}, person.auth)
    told = await making.accept(given, person, agreed)
    shown = await making.present(given, person, other, client="Karis client", ui_ref="kari-7")
    code = await given.code(license_, email=person.email)
    return Life(person, agreed, license_, code, handle, shown, seat, told["receipt"]["jws"])


async def approved(given: Given, person: Person) -> None:
    """Her television has asked to be let in, and may fetch its session."""
    asked = await given.post("/v1/device/code", {"device": {"fingerprint": "kari-tv", "name": "Karis TV"}}, {})
    named = {"user_code": asked["user_code"]}
    given.expect(await given.client.get("/v1/device", params=named, headers=person.auth))
    await given.post("/v1/device/approve", named, person.auth)


async def traces(given: Given) -> dict[str, list[str]]:
    """Which tables still have which of her marks, in whatever column."""
    stored = {name: rows.lower() for name, rows in (await everything(given)).items()}
    found = {name: [mark for mark in PRIVATE if re.search(_BEGINS + re.escape(mark), rows)] for name, rows in stored.items()}
    return {name: marks for name, marks in found.items() if marks}


async def hold(given: Given, person: Person, *, held: bool) -> None:
    """Put the ledger under a legal hold, or lift it."""
    async with given.world.db.write() as tx:
        await tx.execute(update(AgreementLedger).values(legal_hold=held))


async def verifies(given: Given, life: Life) -> None:
    """The receipt is still signed by us, and of this id."""
    claims = await read_claims(given, life.receipt)
    assert (claims["sub"], claims["seq"]) == (life.person.id, 1)


async def erase(given: Given, person: Person) -> httpx.Response:
    return await given.client.post(f"/v1/users/{person.id}/erase", headers=given.root)


async def together(*calls: Any) -> list[httpx.Response]:
    return list(await asyncio.gather(*calls))


def mailing(world: Any, postbox: Postbox) -> Any:
    return replace(world, settings=postbox.settings(world.settings))
