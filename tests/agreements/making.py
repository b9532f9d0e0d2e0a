"""Making agreements and deciding on them over HTTP, for the tests of this room."""

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
Told = dict[str, Any]


async def document(given: Given, **more: Any) -> Told:
    product = await given.product()
    return await given.post("/v1/agreements", {"product": product["code"], "name": "EULA", **more})


async def version(given: Given, found: Told, *locales: str, change_class: str = "material", **more: Any) -> Told:
    """A draft with a text in each language."""
    made = await given.post(f"/v1/agreements/{found['id']}/versions", {"change_class": change_class})
    for locale in locales or ("en",):
        body = {**TEXT, "changes": "Some things.", "body": f"# Terms {made['id']} ({locale})\n", **more}
        given.expect(await put(given, made, locale, body))
    return made


async def put(given: Given, made: Told, locale: str, body: Told) -> httpx.Response:
    return await given.client.put(f"/v1/agreement-versions/{made['id']}/texts/{locale}", json=body, headers=given.root)


async def publish(given: Given, made: Told, **body: Any) -> httpx.Response:
    return await given.client.post(f"/v1/agreement-versions/{made['id']}/publish", json=body, headers=given.root)


def nfc(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def days(given: Given, number: float) -> str:
    """So many days from now, as the wire tells it."""
    return instant_text(given.clock.now() + timedelta(days=number))


async def cancel(given: Given, made: Told) -> httpx.Response:
    return await given.client.post(f"/v1/agreement-versions/{made['id']}/cancel", headers=given.root)


async def patch(given: Given, path: str, **body: Any) -> httpx.Response:
    return await given.client.patch(path, json=body, headers=given.root)


async def read(given: Given, path: str) -> Told:
    """What the operator sees there."""
    return given.expect(await given.client.get(path, headers=given.root))


async def published(given: Given, found: Told, *locales: str, change_class: str = "material", **body: Any) -> Told:
    made = await version(given, found, *locales, change_class=change_class)
    return given.expect(await publish(given, made, **body))


async def in_force(given: Given, *locales: str) -> Told:
    """A document with one version in force."""
    found = await document(given)
    await published(given, found, *locales)
    return found


async def present(given: Given, person: Person, found: Told, **body: Any) -> Told:
    return await given.post(f"/v1/me/agreements/{found['id']}/presentations", body, person.auth)


async def decide(given: Given, person: Person, shown: Told, decision: str = "accept", **body: Any) -> httpx.Response:
    words = {"decision": decision, "text_sha256": shown["text"]["sha256"], **body}
    return await given.client.post(f"/v1/me/presentations/{shown['id']}/decision", json=words, headers=person.auth)


async def accepted(given: Given, person: Person, found: Told, **screen: Any) -> Told:
    return given.expect(await decide(given, person, await present(given, person, found, **screen)))


async def mine(given: Given, person: Person, found: Told, **query: str) -> Told:
    params = {"product": found["product"], **query}
    return given.expect(await given.client.get("/v1/me/agreements", params=params, headers=person.auth))


def code(answer: httpx.Response) -> tuple[int, str]:
    """What a refusal is told by."""
    return answer.status_code, answer.json()["code"]


async def together(*calls: Any) -> list[httpx.Response]:
    return list(await asyncio.gather(*calls))
