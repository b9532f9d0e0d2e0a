"""A draft is changed and thrown away freely; from publish on neither, and the database itself sees to that (agreements R3)."""

from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from app.agreements.models import AgreementText, AgreementVersion
from app.events.models import Event
from tests.agreements import making
from tests.agreements.making import TEXT, status_and_code
from tests.given import Given


def path(made: dict[str, Any], locale: str = "") -> str:
    return f"/v1/agreement-versions/{made['id']}" + (f"/texts/{locale}" if locale else "")


async def delete(given: Given, made: dict[str, Any], locale: str = "") -> httpx.Response:
    return await given.client.delete(path(made, locale), headers=given.root)


async def test_a_draft_is_changed(given: Given) -> None:
    """Label and class, each by itself; a label can be taken away, a class cannot."""
    made = await making.create_version(given, await making.create_agreement(given))
    told = given.expect(await making.patch(given, path(made), label="2026-05"))
    assert (told["label"], told["change_class"]) == ("2026-05", "material")
    told = given.expect(await making.patch(given, path(made), change_class="editorial"))
    assert (told["label"], told["change_class"]) == ("2026-05", "editorial")
    assert given.expect(await making.patch(given, path(made), label=None))["label"] is None
    assert given.expect(await making.patch(given, path(made))) == await making.read(given, path(made))
    for body in ({"change_class": None}, {"change_class": "large"}, {"effective_at": "2026-01-01T00:00:00Z"}, {"status": "published"}):
        assert status_and_code(await making.patch(given, path(made), **body)) == (422, "malformed")


async def test_a_draft_is_deleted_with_its_texts(given: Given) -> None:
    found = await making.create_agreement(given)
    made, kept = await making.create_version(given, found, "en", "ru"), await making.create_version(given, found)
    assert (await delete(given, made)).status_code == 204
    assert status_and_code(await delete(given, made)) == (404, "agreement_version_not_found")
    assert [it["id"] for it in (await making.read(given, f"/v1/agreements/{found['id']}"))["versions"]] == [kept["id"]]
    async with given.world.db.query() as tx:
        assert await tx.scalar(select(func.count()).select_from(AgreementText)) == 1
        events = (await tx.scalars(select(Event.data).where(Event.type == "agreement.draft_deleted"))).all()
    assert [it["version"] for it in events] == [made["id"]]


async def test_a_language_of_a_draft_is_deleted(given: Given) -> None:
    made = await making.create_version(given, await making.create_agreement(given), "en", "zh-Hans")
    assert (await delete(given, made, "zh-hans")).status_code == 204
    assert status_and_code(await delete(given, made, "zh-Hans")) == (404, "agreement_text_not_found")
    assert [text["locale"] for text in (await making.read(given, path(made)))["texts"]] == ["en"]
    assert (await delete(given, made, "en")).status_code == 204
    assert status_and_code(await making.publish(given, made)) == (409, "agreement_default_text_missing")
    given.expect(await making.put_text(given, made, "en", TEXT))
    given.expect(await making.publish(given, made))


@pytest.mark.parametrize("state", ["effective", "scheduled", "cancelled"])
async def test_r3_nothing_published_is_changed_or_deleted(given: Given, state: str) -> None:
    """Agreements R3: each way to alter what was published is refused with a code, and leaves it as it was."""
    found = await making.create_agreement(given)
    dates = {} if state == "effective" else {"effective_at": making.days_from_now(given, 3)}
    made = await making.create_published(given, found, **dates)
    if state == "cancelled":
        given.expect(await making.cancel(given, made))
    before = await making.read(given, path(made))
    assert before["state"] == state
    over = (409, "agreement_version_cancelled" if state == "cancelled" else "agreement_version_published")
    assert status_and_code(await making.patch(given, path(made), label="Other")) == over
    assert status_and_code(await delete(given, made)) == over
    assert status_and_code(await making.publish(given, made)) == over
    assert status_and_code(await delete(given, made, "en")) == (409, "agreement_text_frozen")
    assert status_and_code(await delete(given, made, "nb")) == (404, "agreement_text_not_found")
    assert status_and_code(await making.put_text(given, made, "en", {**TEXT, "body": "Other."})) == (409, "agreement_text_frozen")
    if state == "cancelled":
        assert status_and_code(await making.put_text(given, made, "nb", TEXT)) == over
    assert await making.read(given, path(made)) == before


async def test_who_may(given: Given) -> None:
    """Reading operators and nobody else's keys: each call refuses, and what is not there is told."""
    made = await making.create_version(given, await making.create_agreement(given))
    reader = await given.operator("agreements:read")
    for method, where in (("PATCH", path(made)), ("DELETE", path(made)), ("DELETE", path(made, "en")), ("POST", path(made) + "/cancel")):
        body: Any = {} if method == "PATCH" else None
        assert status_and_code(await given.client.request(method, where, headers=reader, json=body)) == (403, "scope_missing")
        nowhere = where.replace(made["id"], "00000000-0000-0000-0000-000000000007")
        assert status_and_code(await given.client.request(method, nowhere, headers=given.root, json=body)) == (
            404,
            "agreement_version_not_found",
        )
    async with given.world.db.query() as tx:
        assert await tx.scalar(select(func.count()).select_from(AgreementVersion)) == 1
