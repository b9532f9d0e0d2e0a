"""Presentations: which text is shown, in which language, and what the client reports."""

from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import select

from app.agreements.models import AgreementPresentation
from app.base.durations import instant_text
from app.events.models import Event
from tests.agreements import making
from tests.agreements.making import status_and_code
from tests.given import Given


async def test_what_is_shown(given: Given) -> None:
    """Agreements R14: bound to user, text, format and client; everything that the screen needs, and for how long."""
    agreement = await making.create_in_force(given, "en", "nb")
    person = await given.logged_in()
    presentation = await making.present(
        given, person, agreement, locale="nb", client="web", app_version="1.2", platform="linux", ui_ref="eula-3"
    )
    text = await given.client.get(f"/v1/agreement-texts/{presentation['text']['id']}")
    assert presentation["text"]["body"] == text.text
    assert (presentation["text"]["locale"], presentation["text"]["requested"], presentation["text"]["fallback"]) == ("nb", "nb", "none")
    assert (presentation["ordinal"], presentation["statement"]) == (1, making.TEXT["statement"])
    assert (presentation["accept_label"], presentation["decline_label"]) == (making.TEXT["accept_label"], making.TEXT["decline_label"])
    assert presentation["expires_at"] == instant_text(given.clock.now() + timedelta(minutes=30))
    async with given.world.db.query() as tx:
        row = (await tx.execute(select(AgreementPresentation.user_id, AgreementPresentation.ui_ref))).one()
        result = (await tx.execute(select(Event.user_id, Event.subject_id).where(Event.type == "agreement.presented"))).one()
    assert row == (UUID(person.id), "eula-3")
    assert result == (UUID(person.id), UUID(agreement["id"]))


async def test_the_order_of_language_preferences(given: Given) -> None:
    """Parameter, profile, header, the product's default, the document's."""
    product = await given.product(default_locale="ru")
    agreement = await given.post("/v1/agreements", {"product": product["code"], "name": "EULA", "default_locale": "en"})
    await making.create_published(given, agreement, "en", "nb", "ru", "de")
    person, plain = await given.logged_in(locale="nb"), await given.logged_in()
    german = {"Accept-Language": "fr, de;q=0.7, zh-!!;q=0.9"}

    async def served(headers: dict[str, str], body: dict[str, str]) -> tuple[str, str | None, str]:
        text = (await given.post(f"/v1/me/agreements/{agreement['id']}/presentations", body, headers))["text"]
        return text["locale"], text["requested"], text["fallback"]

    assert await served(person.auth | german, {"locale": "en-GB"}) == ("en", "en-GB", "language")
    assert await served(person.auth | german, {}) == ("nb", "nb", "none")
    assert await served(plain.auth | german, {}) == ("de", "fr", "language")
    assert await served(plain.auth, {"locale": "zh-Hant"}) == ("ru", "zh-Hant", "default")
    result = await making.list_agreements(given, plain, agreement, locale="no")
    assert (result["items"][0]["text"]["locale"], result["items"][0]["text"]["fallback"]) == ("nb", "none")


@pytest.mark.parametrize("locale", ["", "e", "en_GB", "en-", "x" * 40, "*"])
async def test_a_malformed_parameter_is_refused(given: Given, locale: str) -> None:
    """A tag in the parameter must be one; in the header it is skipped."""
    agreement = await making.create_in_force(given)
    person = await given.logged_in()
    path = f"/v1/me/agreements/{agreement['id']}/presentations"
    assert status_and_code(await given.client.post(path, json={"locale": locale}, headers=person.auth)) == (422, "malformed")
    answer = await given.client.get("/v1/me/agreements", params={"product": agreement["product"], "locale": locale}, headers=person.auth)
    assert status_and_code(answer) == (422, "malformed")


async def test_nothing_to_show(given: Given) -> None:
    """Drafts are not shown; a product without agreements requires nothing."""
    agreement = await making.create_agreement(given)
    await making.create_version(given, agreement)
    person = await given.logged_in()
    for document in (agreement["id"], UUID(int=3)):
        answer = await given.client.post(f"/v1/me/agreements/{document}/presentations", json={}, headers=person.auth)
        assert status_and_code(answer) == (404, "agreement_not_found")
    assert await making.list_agreements(given, person, agreement) == {"compliant": True, "items": [], "valid_until": None}
    answer = await given.client.get("/v1/me/agreements", params={"product": "none"}, headers=person.auth)
    assert status_and_code(answer) == (404, "product_not_found")
    assert status_and_code(await given.client.get("/v1/me/agreements", headers=person.auth)) == (422, "malformed")


async def test_r16_only_the_subject(given: Given) -> None:
    """Agreements R16: operator keys and requests without a token cannot use presentations and receipts."""
    agreement = await making.create_in_force(given)
    person = await given.logged_in()
    presentation = await making.present(given, person, agreement)
    calls = [
        ("GET", f"/v1/me/agreements?product={agreement['product']}"),
        ("POST", f"/v1/me/agreements/{agreement['id']}/presentations"),
        ("PATCH", f"/v1/me/presentations/{presentation['id']}"),
        ("POST", f"/v1/me/presentations/{presentation['id']}/decision"),
        ("GET", "/v1/me/receipts"),
        ("GET", f"/v1/me/receipts/{presentation['id']}"),
    ]
    for method, path in calls:
        assert status_and_code(await given.client.request(method, path, json={}, headers=given.root)) == (403, "subject_token_required")
        assert status_and_code(await given.client.request(method, path, json={})) == (401, "unauthenticated")


async def test_r10_the_upcoming_version_is_shown_if_nothing_is_owed(given: Given) -> None:
    """Agreements R10: otherwise the one in force; both can be requested, older ones cannot."""
    agreement = await making.create_in_force(given)
    old = (await making.present(given, await given.logged_in(), agreement))["version"]
    await making.create_published(given, agreement, change_class="editorial")
    later = instant_text(given.clock.now() + timedelta(days=3))
    coming = await making.create_published(given, agreement, effective_at=later)
    fresh, settled = await given.logged_in(), await given.logged_in()
    await making.accept(given, settled, agreement)
    assert (await making.present(given, fresh, agreement))["ordinal"] == 2
    assert (await making.present(given, fresh, agreement, version=coming["id"]))["ordinal"] == 3
    assert (await making.present(given, settled, agreement))["ordinal"] == 3
    item = (await making.list_agreements(given, settled, agreement))["items"][0]
    assert (item["status"], item["current"]["ordinal"], item["accepted"]["ordinal"], item["upcoming"]["ordinal"]) == ("accepted", 2, 2, 3)
    answer = await given.client.post(f"/v1/me/agreements/{agreement['id']}/presentations", json={"version": old}, headers=fresh.auth)
    assert status_and_code(answer) == (404, "agreement_version_not_found")


async def test_claims_while_shown(given: Given) -> None:
    """Omitted values are kept; only for one's own presentation, before it expires or is decided."""
    agreement = await making.create_in_force(given)
    person, other = await given.logged_in(), await given.logged_in()
    presentation = await making.present(given, person, agreement)
    path = f"/v1/me/presentations/{presentation['id']}"
    patch = given.client.patch
    assert given.expect(await patch(path, json={"dwell_ms": 1200}, headers=person.auth))["dwell_ms"] == 1200
    result = given.expect(await patch(path, json={"scrolled_to_end": True}, headers=person.auth))
    assert result == {"id": presentation["id"], "expires_at": presentation["expires_at"], "scrolled_to_end": True, "dwell_ms": 1200}
    assert given.expect(await patch(path, json={}, headers=person.auth)) == result
    assert status_and_code(await patch(path, json={"dwell_ms": None}, headers=person.auth)) == (422, "malformed")
    assert status_and_code(await patch(path, json={"dwell_ms": 5}, headers=other.auth)) == (404, "presentation_not_found")
    assert (await making.decide(given, person, presentation)).status_code == 201
    assert status_and_code(await patch(path, json={"dwell_ms": 5}, headers=person.auth)) == (409, "already_decided")
    late = await making.present(given, person, agreement)
    given.clock.forward(minutes=30)
    await given.logged_in(person)
    answer = await patch(f"/v1/me/presentations/{late['id']}", json={"dwell_ms": 5}, headers=person.auth)
    assert status_and_code(answer) == (409, "presentation_expired")
