"""Agreements of any kind and region, their frozen formats, and what end users do with them, for the tests of the act and the gate."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import jwt
from sqlalchemy import func, insert, select, update

from app.agreements import rendering
from app.agreements.models import AgreementDocument, AgreementEvent, AgreementText, AgreementVersion, VersionStatus
from app.agreements.rules import digest
from app.base.durations import instant_text
from app.catalog.models import Product
from app.db.base import table
from tests.agreements import making
from tests.agreements.making import Told
from tests.given import Given, Person


def days(given: Given, number: float) -> str:
    """The instant that is so many days ahead of the clock as it stands."""
    return instant_text(given.clock.now() + timedelta(days=number))


async def document(given: Given, product: str, **columns: Any) -> Told:
    """A document as its row says: any kind, region, required languages and word about minors."""
    row: dict[str, Any] = {"kind": "eula", "region": "001", "name": "Terms", "default_locale": "en", "required_locales": []}
    row |= {"minors": "allow", "rev": 0, "id": given.world.entropy.identifier(), "created_at": given.clock.now(), **columns}
    async with given.world.db.write() as session:
        product_id = await session.scalar(select(Product.id).where(Product.code == product))
        await session.execute(insert(table(AgreementDocument)).values({**row, "product_id": product_id}))
    return {"id": str(row["id"]), "product": product}


async def in_force(given: Given, *locales: str, product: str | None = None, **columns: Any) -> Told:
    """Such a document with one version in force."""
    found = await document(given, product or (await given.product(requires=["login", "eula"]))["code"], **columns)
    await published(given, found, *locales)
    return found


async def published(given: Given, found: Told, *locales: str, change_class: str = "material", **body: Any) -> Told:
    """A version whose texts are kept in every format."""
    made = await making.version(given, found, *locales, change_class=change_class)
    async with given.world.db.write() as session:
        texts = select(AgreementText.id, AgreementText.body).where(AgreementText.version_id == UUID(made["id"]))
        for text in (await session.execute(texts)).all():
            html, plain = rendering.html(text.body), rendering.plain(text.body)
            values = {"html": html, "html_sha256": digest(html), "plain": plain, "plain_sha256": digest(plain)}
            await session.execute(update(AgreementText).where(AgreementText.id == text.id).values(values))
    return given.expect(await making.publish(given, made, **body))


async def cancel(given: Given, version: Told) -> bool:
    """What cancelling does: under the document's bumped row, if there is no event of the version. Whether it was done."""
    used = select(AgreementEvent.id).where(AgreementEvent.version_id == AgreementVersion.id).exists()
    its = update(AgreementVersion).where(AgreementVersion.id == UUID(version["id"]), ~used)
    owner = select(AgreementVersion.document_id).where(AgreementVersion.id == UUID(version["id"])).scalar_subquery()
    async with given.world.db.write() as session:
        await session.execute(update(AgreementDocument).where(AgreementDocument.id == owner).values(rev=AgreementDocument.rev + 1))
        values = {"status": VersionStatus.CANCELLED, "cancelled_at": given.clock.now()}
        return bool((await session.execute(its.values(values))).rowcount)


async def try_to_present(given: Given, person: Person, found: Told, **body: Any) -> httpx.Response:
    return await given.client.post(f"/v1/me/agreements/{found['id']}/presentations", json=body, headers=person.auth)


async def withdraw(given: Given, person: Person, found: Told) -> httpx.Response:
    return await given.client.post(f"/v1/me/agreements/{found['id']}/withdrawal", headers=person.auth)


async def item(given: Given, person: Person, found: Told) -> Told:
    """The document's place in the list of its product's agreements."""
    listed = (await making.mine(given, person, found))["items"]
    return next(it for it in listed if it["document"] == found["id"])


async def region(given: Given, person: Person, wanted: str | None) -> None:
    """The end user moves: what is stored, for a call's address says nothing."""
    given.expect(await given.client.patch("/v1/me", json={"region": wanted}, headers=person.auth))


async def events(given: Given, person: Person) -> list[str]:
    """What the end user did, in the order of the chain."""
    async with given.world.db.lookup() as session:
        wanted = select(AgreementEvent.type).where(AgreementEvent.user_id == UUID(person.id)).order_by(AgreementEvent.seq)
        return [str(word) for word in (await session.scalars(wanted)).all()]


async def count(given: Given) -> int:
    """All events of everybody."""
    async with given.world.db.lookup() as session:
        return int(await session.scalar(select(func.count()).select_from(AgreementEvent)) or 0)


async def last(given: Given, person: Person) -> Told:
    """The claims of the end user's last receipt."""
    listed = given.expect(await given.client.get("/v1/me/receipts", headers=person.auth))["data"]
    claims: Told = jwt.decode(listed[0]["jws"], options={"verify_signature": False})
    return claims


def warnings(told: Told) -> list[str]:
    return [warned["code"] for warned in told["warnings"]]
