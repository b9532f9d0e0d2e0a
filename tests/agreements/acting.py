"""Builds agreements of any kind and region, and acts as end users, for tests."""

from typing import Any
from uuid import UUID

import httpx
import jwt
from sqlalchemy import func, select

from app.agreements.models import AgreementEvent
from tests.agreements import making
from tests.agreements.making import Json
from tests.given import Given, Person


async def create_agreement(given: Given, product: str, **more: Any) -> Json:
    """An agreement with any kind, region, required languages and rule for minors."""
    return await given.post("/v1/agreements", {"product": product, "name": "Terms", **more})


async def create_in_force(given: Given, *locales: str, product: str | None = None, **columns: Any) -> Json:
    """An agreement as above with one version in force."""
    agreement = await create_agreement(given, product or (await given.product(requires=["login", "eula"]))["code"], **columns)
    await making.create_published(given, agreement, *locales)
    return agreement


async def cancel(given: Given, version: Json) -> bool:
    """Whether the version was cancelled; that is refused once someone has decided on it."""
    return (await making.cancel(given, version)).is_success


async def try_to_present(given: Given, person: Person, agreement: Json, **body: Any) -> httpx.Response:
    return await given.client.post(f"/v1/me/agreements/{agreement['id']}/presentations", json=body, headers=person.auth)


async def withdraw(given: Given, person: Person, agreement: Json) -> httpx.Response:
    return await given.client.post(f"/v1/me/agreements/{agreement['id']}/withdrawal", headers=person.auth)


async def find_item(given: Given, person: Person, agreement: Json) -> Json:
    """The agreement's item in the list of its product."""
    listed = (await making.list_agreements(given, person, agreement))["items"]
    return next(each for each in listed if each["document"] == agreement["id"])


async def set_region(given: Given, person: Person, wanted: str | None) -> None:
    """Change the end user's stored region; the address of a request does not count."""
    given.expect(await given.client.patch("/v1/me", json={"region": wanted}, headers=person.auth))


async def list_events(given: Given, person: Person) -> list[str]:
    """The types of the end user's events, in the order of the chain."""
    async with given.world.db.query() as tx:
        wanted = select(AgreementEvent.type).where(AgreementEvent.user_id == UUID(person.id)).order_by(AgreementEvent.seq)
        return [str(word) for word in (await tx.scalars(wanted)).all()]


async def count_events(given: Given) -> int:
    """The number of all events."""
    async with given.world.db.query() as tx:
        return int(await tx.scalar(select(func.count()).select_from(AgreementEvent)) or 0)


async def read_last_claims(given: Given, person: Person) -> Json:
    """The claims of the end user's last receipt."""
    listed = given.expect(await given.client.get("/v1/me/receipts", headers=person.auth))["data"]
    claims: Json = jwt.decode(listed[0]["jws"], options={"verify_signature": False})
    return claims


def list_warnings(result: Json) -> list[str]:
    return [warned["code"] for warned in result["warnings"]]
