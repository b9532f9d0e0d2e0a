"""Builds agreements and decides on them over HTTP, for tests."""

import asyncio
import unicodedata
from datetime import timedelta
from typing import Any

import httpx

from app.base.durations import instant_text
from tests.given import Given, Person

TEXT = {
    "title": "Terms",
    "body": "# Terms\n\nBe kind.",
    "summary": "Be kind.",
    "statement": "I have read the terms and agree to them.",
    "accept_label": "I agree",
    "decline_label": "I do not agree",
}
Json = dict[str, Any]


async def create_agreement(given: Given, **more: Any) -> Json:
    product = await given.product()
    return await given.post("/v1/agreements", {"product": product["code"], "name": "EULA", **more})


async def create_version(given: Given, agreement: Json, *locales: str, change_class: str = "material", **more: Any) -> Json:
    """A draft with a text in each language."""
    draft = await given.post(f"/v1/agreements/{agreement['id']}/versions", {"change_class": change_class})
    for locale in locales or ("en",):
        body = {**TEXT, "changes": "Some things.", "body": f"# Terms {draft['id']} ({locale})\n", **more}
        given.expect(await put_text(given, draft, locale, body))
    return draft


async def put_text(given: Given, draft: Json, locale: str, body: Json) -> httpx.Response:
    return await given.client.put(f"/v1/agreement-versions/{draft['id']}/texts/{locale}", json=body, headers=given.root)


async def publish(given: Given, draft: Json, **body: Any) -> httpx.Response:
    return await given.client.post(f"/v1/agreement-versions/{draft['id']}/publish", json=body, headers=given.root)


def nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def days_from_now(given: Given, number: float) -> str:
    """The moment so many days from now, as JSON text."""
    return instant_text(given.clock.now() + timedelta(days=number))


async def cancel(given: Given, draft: Json) -> httpx.Response:
    return await given.client.post(f"/v1/agreement-versions/{draft['id']}/cancel", headers=given.root)


async def patch(given: Given, path: str, **body: Any) -> httpx.Response:
    return await given.client.patch(path, json=body, headers=given.root)


async def read(given: Given, path: str) -> Json:
    """The operator's response for this path."""
    return given.expect(await given.client.get(path, headers=given.root))


async def create_published(given: Given, agreement: Json, *locales: str, change_class: str = "material", **body: Any) -> Json:
    draft = await create_version(given, agreement, *locales, change_class=change_class)
    return given.expect(await publish(given, draft, **body))


async def create_in_force(given: Given, *locales: str) -> Json:
    """A document with one version in force."""
    name = "_".join(["agreement_in_force", *locales]).replace("-", "_").lower()
    return await given.start(name, lambda given: _create_in_force(given, *locales))


async def _create_in_force(given: Given, *locales: str) -> Json:
    agreement = await create_agreement(given)
    await create_published(given, agreement, *locales)
    return agreement


async def present(given: Given, person: Person, agreement: Json, **body: Any) -> Json:
    return await given.post(f"/v1/me/agreements/{agreement['id']}/presentations", body, person.auth)


async def decide(given: Given, person: Person, presentation: Json, decision: str = "accept", **body: Any) -> httpx.Response:
    words = {"decision": decision, "text_sha256": presentation["text"]["sha256"], **body}
    return await given.client.post(f"/v1/me/presentations/{presentation['id']}/decision", json=words, headers=person.auth)


async def accept(given: Given, person: Person, agreement: Json, **screen: Any) -> Json:
    return given.expect(await decide(given, person, await present(given, person, agreement, **screen)))


async def list_agreements(given: Given, person: Person, agreement: Json, **query: str) -> Json:
    params = {"product": agreement["product"], **query}
    return given.expect(await given.client.get("/v1/me/agreements", params=params, headers=person.auth))


def status_and_code(answer: httpx.Response) -> tuple[int, str]:
    """The status and the problem code of a response."""
    return answer.status_code, answer.json()["code"]


async def run_together(*calls: Any) -> list[httpx.Response]:
    return list(await asyncio.gather(*calls))
