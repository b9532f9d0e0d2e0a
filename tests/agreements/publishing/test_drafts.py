"""A draft can be changed and deleted, a published version cannot; database triggers enforce that (agreements R3)."""

from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from app.agreements.models import AgreementText, AgreementVersion
from app.events.models import Event
from tests.agreements import making
from tests.agreements.making import TEXT, status_and_code
from tests.given import Given


def path(draft: dict[str, Any], locale: str = "") -> str:
    return f"/v1/agreement-versions/{draft['id']}" + (f"/texts/{locale}" if locale else "")


async def delete(given: Given, draft: dict[str, Any], locale: str = "") -> httpx.Response:
    return await given.client.delete(path(draft, locale), headers=given.root)


async def test_a_draft_is_changed(given: Given) -> None:
    """Label and class, each by itself; a label can be taken away, a class cannot."""
    draft = await making.create_version(given, await making.create_agreement(given))
    result = given.expect(await making.patch(given, path(draft), label="2026-05"))
    assert (result["label"], result["change_class"]) == ("2026-05", "material")
    result = given.expect(await making.patch(given, path(draft), change_class="editorial"))
    assert (result["label"], result["change_class"]) == ("2026-05", "editorial")
    assert given.expect(await making.patch(given, path(draft), label=None))["label"] is None
    assert given.expect(await making.patch(given, path(draft))) == await making.read(given, path(draft))
    for body in ({"change_class": None}, {"change_class": "large"}, {"effective_at": "2026-01-01T00:00:00Z"}, {"status": "published"}):
        assert status_and_code(await making.patch(given, path(draft), **body)) == (422, "malformed")


async def test_a_draft_is_deleted_with_its_texts(given: Given) -> None:
    agreement = await making.create_agreement(given)
    draft, remaining = await making.create_version(given, agreement, "en", "ru"), await making.create_version(given, agreement)
    assert (await delete(given, draft)).status_code == 204
    assert status_and_code(await delete(given, draft)) == (404, "agreement_version_not_found")
    assert [each["id"] for each in (await making.read(given, f"/v1/agreements/{agreement['id']}"))["versions"]] == [remaining["id"]]
    async with given.world.db.query() as tx:
        assert await tx.scalar(select(func.count()).select_from(AgreementText)) == 1
        events = (await tx.scalars(select(Event.data).where(Event.type == "agreement.draft_deleted"))).all()
    assert [each["version"] for each in events] == [draft["id"]]


async def test_a_language_of_a_draft_is_deleted(given: Given) -> None:
    draft = await making.create_version(given, await making.create_agreement(given), "en", "zh-Hans")
    assert (await delete(given, draft, "zh-hans")).status_code == 204
    assert status_and_code(await delete(given, draft, "zh-Hans")) == (404, "agreement_text_not_found")
    assert [text["locale"] for text in (await making.read(given, path(draft)))["texts"]] == ["en"]
    assert (await delete(given, draft, "en")).status_code == 204
    assert status_and_code(await making.publish(given, draft)) == (409, "agreement_default_text_missing")
    given.expect(await making.put_text(given, draft, "en", TEXT))
    given.expect(await making.publish(given, draft))


@pytest.mark.parametrize("state", ["effective", "scheduled", "cancelled"])
async def test_r3_nothing_published_is_changed_or_deleted(given: Given, state: str) -> None:
    """Agreements R3: each way to alter what was published is refused with a code, and leaves it as it was."""
    agreement = await making.create_agreement(given)
    dates = {} if state == "effective" else {"effective_at": making.days_from_now(given, 3)}
    draft = await making.create_published(given, agreement, **dates)
    if state == "cancelled":
        given.expect(await making.cancel(given, draft))
    before = await making.read(given, path(draft))
    assert before["state"] == state
    over = (409, "agreement_version_cancelled" if state == "cancelled" else "agreement_version_published")
    assert status_and_code(await making.patch(given, path(draft), label="Other")) == over
    assert status_and_code(await delete(given, draft)) == over
    assert status_and_code(await making.publish(given, draft)) == over
    assert status_and_code(await delete(given, draft, "en")) == (409, "agreement_text_frozen")
    assert status_and_code(await delete(given, draft, "nb")) == (404, "agreement_text_not_found")
    assert status_and_code(await making.put_text(given, draft, "en", {**TEXT, "body": "Other."})) == (409, "agreement_text_frozen")
    if state == "cancelled":
        assert status_and_code(await making.put_text(given, draft, "nb", TEXT)) == over
    assert await making.read(given, path(draft)) == before


async def test_who_may(given: Given) -> None:
    """Read-only operators are refused by each route, and unknown ids give 404."""
    draft = await making.create_version(given, await making.create_agreement(given))
    reader = await given.operator("agreements:read")
    for method, where in (
        ("PATCH", path(draft)),
        ("DELETE", path(draft)),
        ("DELETE", path(draft, "en")),
        ("POST", path(draft) + "/cancel"),
    ):
        body: Any = {} if method == "PATCH" else None
        assert status_and_code(await given.client.request(method, where, headers=reader, json=body)) == (403, "scope_missing")
        nowhere = where.replace(draft["id"], "00000000-0000-0000-0000-000000000007")
        assert status_and_code(await given.client.request(method, nowhere, headers=given.root, json=body)) == (
            404,
            "agreement_version_not_found",
        )
    async with given.world.db.query() as tx:
        assert await tx.scalar(select(func.count()).select_from(AgreementVersion)) == 1
