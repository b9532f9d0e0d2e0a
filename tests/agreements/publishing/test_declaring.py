"""The properties of an agreement: kind, region, required languages, minors; and which can be changed."""

from typing import Any

import pytest
from sqlalchemy import select

from app.events.models import Event
from tests.agreements import making
from tests.agreements.making import status_and_code
from tests.given import Given


@pytest.mark.parametrize("region", ["001", "CA", "ca-qc", "GB-ENG", "EU"])
async def test_one_for_each_kind_and_region(given: Given, region: str) -> None:
    """Unique: product, kind, region. A country, its subdivision, a configured group, the world."""
    product = (await given.product())["code"]
    for kind in ("eula", "notice"):
        body = {"product": product, "name": "Terms", "kind": kind, "region": region}
        draft = await given.post("/v1/agreements", body)
        assert (draft["kind"], draft["region"]) == (kind, region.upper())
        assert status_and_code(await given.client.post("/v1/agreements", json=body, headers=given.root)) == (409, "agreement_exists")
    assert len((await making.read(given, f"/v1/agreements?product={product}"))["data"]) == 2


@pytest.mark.parametrize("region", ["002", "150", "EEA", "EU-DE", "U1", "ABC", "MERCOSUR"])
async def test_a_region_that_no_end_user_can_have(given: Given, region: str) -> None:
    """A group that is not configured, a part of a group, a UN M.49 number except 001."""
    body = {"product": (await given.product())["code"], "name": "Terms", "region": region}
    answer = await given.client.post("/v1/agreements", json=body, headers=given.root)
    assert status_and_code(answer) == (422, "agreement_region_unknown")
    assert answer.json()["errors"][0]["pointer"] == "/region"


async def test_a_configured_group(given: Given, app: Any) -> None:
    """The configuration names the groups."""
    given.configured(app, region_groups="NORDIC=DK FI IS NO SE")
    draft = await making.create_agreement(given, region="Nordic")
    assert draft["region"] == "NORDIC"
    body = {"product": draft["product"], "name": "Terms", "region": "NORDIC-NO"}
    assert status_and_code(await given.client.post("/v1/agreements", json=body, headers=given.root)) == (422, "agreement_region_unknown")


async def test_r13_minors_and_a_notice(given: Given) -> None:
    """Agreements R13: a notice is never accepted, so it has no rule for minors, neither at first nor later."""
    product = (await given.product())["code"]
    for minors in ("require_guardian", "deny"):
        body = {"product": product, "name": "Terms", "kind": "notice", "minors": minors}
        assert status_and_code(await given.client.post("/v1/agreements", json=body, headers=given.root)) == (
            422,
            "agreement_minors_impossible",
        )
    notice = await given.post("/v1/agreements", {"product": product, "name": "News", "kind": "notice"})
    path = f"/v1/agreements/{notice['id']}"
    assert status_and_code(await making.patch(given, path, minors="deny")) == (422, "agreement_minors_impossible")
    eula = await given.post("/v1/agreements", {"product": product, "name": "Terms", "minors": "deny"})
    assert eula["minors"] == "deny"


async def test_changed(given: Given) -> None:
    """Name, required languages, minors; what is sent unchanged leaves no trace."""
    agreement = await making.create_agreement(given)
    path = f"/v1/agreements/{agreement['id']}"
    wanted: dict[str, Any] = {"name": "Other", "required_locales": ["fr-CA", "en"], "minors": "require_guardian", "default_locale": "nb"}
    changed = given.expect(await making.patch(given, path, **wanted))
    assert {**agreement, **wanted} == changed == await making.read(given, path)
    assert given.expect(await making.patch(given, path, **wanted)) == changed
    async with given.world.db.query() as tx:
        events = (await tx.scalars(select(Event.data).where(Event.type == "agreement.changed"))).all()
    assert [each["fields"] for each in events] == [["default_locale", "minors", "name", "required_locales"]]


@pytest.mark.parametrize(
    "body",
    [{"name": None}, {"kind": "notice"}, {"region": "CA"}, {"product": "x"}, {"minors": None}, {"required_locales": None}, {"rev": 1}],
)
async def test_what_cannot_be_changed(given: Given, body: dict[str, Any]) -> None:
    """Product, kind and region are what an agreement is."""
    agreement = await making.create_agreement(given)
    assert status_and_code(await making.patch(given, f"/v1/agreements/{agreement['id']}", **body)) == (422, "malformed")


async def test_who_may_change(given: Given) -> None:
    agreement = await making.create_agreement(given)
    reader = await given.operator("agreements:read")
    answer = await given.client.patch(f"/v1/agreements/{agreement['id']}", json={"name": "Other"}, headers=reader)
    assert status_and_code(answer) == (403, "scope_missing")
    nobody = "/v1/agreements/00000000-0000-0000-0000-000000000007"
    assert status_and_code(await making.patch(given, nobody, name="Other")) == (404, "agreement_not_found")


async def test_the_default_language_is_fixed_by_the_first_publish(given: Given) -> None:
    """Readers of other languages get the default one, so it must exist. A cancelled version does not count."""
    agreement = await making.create_agreement(given)
    path = f"/v1/agreements/{agreement['id']}"
    draft = await making.create_published(given, agreement, effective_at=making.days_from_now(given, 3))
    assert status_and_code(await making.patch(given, path, default_locale="ru")) == (409, "agreement_default_locale_fixed")
    given.expect(await making.patch(given, path, default_locale="en", name="Same language"))
    given.expect(await making.cancel(given, draft))
    assert given.expect(await making.patch(given, path, default_locale="ru"))["default_locale"] == "ru"


async def test_r4_a_language_becomes_required(given: Given) -> None:
    """The current and the upcoming version must have it, older ones need not."""
    agreement = await making.create_agreement(given)
    path = f"/v1/agreements/{agreement['id']}"
    old = await making.create_published(given, agreement)
    current = await making.create_published(given, agreement, "en", "nb")
    coming = await making.create_published(given, agreement, effective_at=making.days_from_now(given, 3))
    refused = await making.patch(given, path, required_locales=["nb", "ru"])
    assert status_and_code(refused) == (409, "agreement_required_text_missing")
    assert refused.json()["locales"] == ["ru"]
    assert status_and_code(await making.patch(given, path, required_locales=["nb"])) == (409, "agreement_required_text_missing")
    text = {**making.TEXT, "changes": "Some."}
    given.expect(await making.put_text(given, coming, "nb", text))
    assert given.expect(await making.patch(given, path, required_locales=["nb"]))["required_locales"] == ["nb"]
    assert [text["locale"] for text in current["texts"]] == ["en", "nb"]
    assert [text["locale"] for text in old["texts"]] == ["en"]
    given.expect(await making.patch(given, path, required_locales=[]))
