"""What an end user is shown, in which language, and what the client claims meanwhile."""

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
    found = await making.create_in_force(given, "en", "nb")
    person = await given.logged_in()
    shown = await making.present(given, person, found, locale="nb", client="web", app_version="1.2", platform="linux", ui_ref="eula-3")
    text = await given.client.get(f"/v1/agreement-texts/{shown['text']['id']}")
    assert shown["text"]["body"] == text.text
    assert (shown["text"]["locale"], shown["text"]["requested"], shown["text"]["fallback"]) == ("nb", "nb", "none")
    assert (shown["ordinal"], shown["statement"]) == (1, making.TEXT["statement"])
    assert (shown["accept_label"], shown["decline_label"]) == (making.TEXT["accept_label"], making.TEXT["decline_label"])
    assert shown["expires_at"] == instant_text(given.clock.now() + timedelta(minutes=30))
    async with given.world.db.query() as tx:
        row = (await tx.execute(select(AgreementPresentation.user_id, AgreementPresentation.ui_ref))).one()
        told = (await tx.execute(select(Event.user_id, Event.subject_id).where(Event.type == "agreement.presented"))).one()
    assert row == (UUID(person.id), "eula-3")
    assert told == (UUID(person.id), UUID(found["id"]))


async def test_the_order_of_wishes(given: Given) -> None:
    """Parameter, profile, header, the product's default, the document's."""
    product = await given.product(default_locale="ru")
    found = await given.post("/v1/agreements", {"product": product["code"], "name": "EULA", "default_locale": "en"})
    await making.create_published(given, found, "en", "nb", "ru", "de")
    person, plain = await given.logged_in(locale="nb"), await given.logged_in()
    german = {"Accept-Language": "fr, de;q=0.7, zh-!!;q=0.9"}

    async def served(who: dict[str, str], body: dict[str, str]) -> tuple[str, str | None, str]:
        text = (await given.post(f"/v1/me/agreements/{found['id']}/presentations", body, who))["text"]
        return text["locale"], text["requested"], text["fallback"]

    assert await served(person.auth | german, {"locale": "en-GB"}) == ("en", "en-GB", "language")
    assert await served(person.auth | german, {}) == ("nb", "nb", "none")
    assert await served(plain.auth | german, {}) == ("de", "fr", "language")
    assert await served(plain.auth, {"locale": "zh-Hant"}) == ("ru", "zh-Hant", "default")
    told = await making.list_agreements(given, plain, found, locale="no")
    assert (told["items"][0]["text"]["locale"], told["items"][0]["text"]["fallback"]) == ("nb", "none")


@pytest.mark.parametrize("locale", ["", "e", "en_GB", "en-", "x" * 40, "*"])
async def test_a_malformed_parameter_is_refused(given: Given, locale: str) -> None:
    """A tag in the parameter must be one; in the header it is skipped."""
    found = await making.create_in_force(given)
    person = await given.logged_in()
    path = f"/v1/me/agreements/{found['id']}/presentations"
    assert status_and_code(await given.client.post(path, json={"locale": locale}, headers=person.auth)) == (422, "malformed")
    answer = await given.client.get("/v1/me/agreements", params={"product": found["product"], "locale": locale}, headers=person.auth)
    assert status_and_code(answer) == (422, "malformed")


async def test_nothing_to_show(given: Given) -> None:
    """Drafts are nobody's business; a product without agreements asks for nothing."""
    found = await making.create_agreement(given)
    await making.create_version(given, found)
    person = await given.logged_in()
    for document in (found["id"], UUID(int=3)):
        answer = await given.client.post(f"/v1/me/agreements/{document}/presentations", json={}, headers=person.auth)
        assert status_and_code(answer) == (404, "agreement_not_found")
    assert await making.list_agreements(given, person, found) == {"compliant": True, "items": [], "valid_until": None}
    answer = await given.client.get("/v1/me/agreements", params={"product": "none"}, headers=person.auth)
    assert status_and_code(answer) == (404, "product_not_found")
    assert status_and_code(await given.client.get("/v1/me/agreements", headers=person.auth)) == (422, "malformed")


async def test_r16_only_the_subject(given: Given) -> None:
    """Agreements R16: no operator key, and nobody without a token, comes near a presentation or a receipt."""
    found = await making.create_in_force(given)
    person = await given.logged_in()
    shown = await making.present(given, person, found)
    calls = [
        ("GET", f"/v1/me/agreements?product={found['product']}"),
        ("POST", f"/v1/me/agreements/{found['id']}/presentations"),
        ("PATCH", f"/v1/me/presentations/{shown['id']}"),
        ("POST", f"/v1/me/presentations/{shown['id']}/decision"),
        ("GET", "/v1/me/receipts"),
        ("GET", f"/v1/me/receipts/{shown['id']}"),
    ]
    for method, path in calls:
        assert status_and_code(await given.client.request(method, path, json={}, headers=given.root)) == (403, "subject_token_required")
        assert status_and_code(await given.client.request(method, path, json={})) == (401, "unauthenticated")


async def test_r10_the_coming_version_is_shown_to_whoever_owes_nothing(given: Given) -> None:
    """Agreements R10: else the one in force; either may be named, an old one may not."""
    found = await making.create_in_force(given)
    old = (await making.present(given, await given.logged_in(), found))["version"]
    await making.create_published(given, found, change_class="editorial")
    later = instant_text(given.clock.now() + timedelta(days=3))
    coming = await making.create_published(given, found, effective_at=later)
    fresh, settled = await given.logged_in(), await given.logged_in()
    await making.accept(given, settled, found)
    assert (await making.present(given, fresh, found))["ordinal"] == 2
    assert (await making.present(given, fresh, found, version=coming["id"]))["ordinal"] == 3
    assert (await making.present(given, settled, found))["ordinal"] == 3
    item = (await making.list_agreements(given, settled, found))["items"][0]
    assert (item["status"], item["current"]["ordinal"], item["accepted"]["ordinal"], item["upcoming"]["ordinal"]) == ("accepted", 2, 2, 3)
    answer = await given.client.post(f"/v1/me/agreements/{found['id']}/presentations", json={"version": old}, headers=fresh.auth)
    assert status_and_code(answer) == (404, "agreement_version_not_found")


async def test_claims_while_shown(given: Given) -> None:
    """What is left out stays; only one's own, only while it lives and is not decided."""
    found = await making.create_in_force(given)
    person, other = await given.logged_in(), await given.logged_in()
    shown = await making.present(given, person, found)
    path = f"/v1/me/presentations/{shown['id']}"
    patch = given.client.patch
    assert given.expect(await patch(path, json={"dwell_ms": 1200}, headers=person.auth))["dwell_ms"] == 1200
    told = given.expect(await patch(path, json={"scrolled_to_end": True}, headers=person.auth))
    assert told == {"id": shown["id"], "expires_at": shown["expires_at"], "scrolled_to_end": True, "dwell_ms": 1200}
    assert given.expect(await patch(path, json={}, headers=person.auth)) == told
    assert status_and_code(await patch(path, json={"dwell_ms": None}, headers=person.auth)) == (422, "malformed")
    assert status_and_code(await patch(path, json={"dwell_ms": 5}, headers=other.auth)) == (404, "presentation_not_found")
    assert (await making.decide(given, person, shown)).status_code == 201
    assert status_and_code(await patch(path, json={"dwell_ms": 5}, headers=person.auth)) == (409, "already_decided")
    late = await making.present(given, person, found)
    given.clock.forward(minutes=30)
    await given.logged_in(person)
    answer = await patch(f"/v1/me/presentations/{late['id']}", json={"dwell_ms": 5}, headers=person.auth)
    assert status_and_code(answer) == (409, "presentation_expired")
