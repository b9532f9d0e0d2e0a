"""Which agreement applies: by the end user's stored region, never by the address of a request (agreements R12)."""

from typing import Any

import jwt
import pytest
from fastapi import FastAPI

from tests.agreements import acting, making
from tests.agreements.making import Json, status_and_code
from tests.given import Given, Person

NEARNESS = ("CA-QC", "CA", "NA", "001")


async def list_offered_regions(given: Given, person: Person, agreement: Json) -> list[str]:
    """The regions of the agreements that apply to this end user."""
    return [each["region"] for each in (await making.list_agreements(given, person, agreement))["items"]]


@pytest.mark.parametrize(
    ("region", "served"),
    [
        ("CA-QC", "CA-QC"), ("CA-ON", "CA"), ("CA", "CA"), ("US", "NA"), ("US-NY", "NA"),
        ("NO", "001"), ("001", "001"), (None, "001"), ("150", "001"),
    ],
)  # fmt: skip
async def test_r12_exact_then_country_then_group_then_world(given: Given, app: FastAPI, region: str | None, served: str) -> None:
    """Agreements R12: exactly one agreement of a kind applies to an end user, the nearest."""
    given.configured(app, region_groups="NA=CA US")
    agreement = await acting.create_in_force(given)
    for place in NEARNESS[:-1]:
        await acting.create_in_force(given, product=agreement["product"], region=place)
    person = await given.logged_in(region=region)
    assert await list_offered_regions(given, person, agreement) == [served]
    result = await given.access(agreement["product"], person)
    assert len(result["agreements"]["outstanding"]) == 1


async def test_r12_each_kind_by_itself(given: Given) -> None:
    """Agreements R12: the nearest notice and the nearest agreement are chosen independently."""
    world = await acting.create_in_force(given)
    await acting.create_in_force(given, product=world["product"], region="NO", kind="notice")
    await acting.create_in_force(given, product=world["product"], region="SE", kind="notice")
    person = await given.logged_in(region="NO")
    items = (await making.list_agreements(given, person, world))["items"]
    assert [(each["kind"], each["region"]) for each in items] == [("eula", "001"), ("notice", "NO")]


async def test_r12_moving(given: Given) -> None:
    """Agreements R12: the other region's agreement applies at once; what was accepted before stays, and counts again after moving back."""
    world = await acting.create_in_force(given)
    norway = await acting.create_in_force(given, product=world["product"], region="NO")
    person = await given.logged_in()
    await making.accept(given, person, world)
    assert (await given.access(world["product"], person))["allow"] is True
    await acting.set_region(given, person, "NO")
    result = await given.access(world["product"], person)
    assert (result["code"], result["agreements"]["outstanding"]) == ("agreement_required", [{"document": norway["id"], "ordinal": 1}])
    assert (await making.accept(given, person, norway))["compliant"] is True
    allowed = await given.access(world["product"], person)
    assert jwt.decode(allowed["grant"], options={"verify_signature": False})["agreements"] == {norway["id"]: 1}
    await acting.set_region(given, person, None)
    assert (await given.access(world["product"], person))["allow"] is True
    assert await acting.list_events(given, person) == ["accepted", "accepted"]


async def test_r12_another_regions_agreement_is_not_shown(given: Given) -> None:
    """Agreements R12: an end user cannot choose another region's agreement; the address of the request changes nothing."""
    world = await acting.create_in_force(given)
    norway = await acting.create_in_force(given, product=world["product"], region="NO")
    person = await given.logged_in(region="SE")
    assert status_and_code(await acting.try_to_present(given, person, norway)) == (404, "agreement_not_found")
    headers: dict[str, Any] = {"X-Forwarded-For": "193.213.112.4", "CF-IPCountry": "NO", **person.auth}
    answer = await given.client.get("/v1/me/agreements", params={"product": world["product"]}, headers=headers)
    assert [each["region"] for each in given.expect(answer)["items"]] == ["001"]
    other = await given.logged_in(region="NO")
    assert status_and_code(await acting.try_to_present(given, other, world)) == (404, "agreement_not_found")


async def test_r17_what_was_shown_before_moving(given: Given) -> None:
    """Agreements R12, R17: the acceptance is stored, and the new region's agreement is outstanding."""
    world = await acting.create_in_force(given)
    norway = await acting.create_in_force(given, product=world["product"], region="NO")
    person = await given.logged_in()
    presentation = await making.present(given, person, world)
    await acting.set_region(given, person, "NO")
    result = given.expect(await making.decide(given, person, presentation))
    assert (result["result"], result["compliant"]) == ("created", False)
    assert result["outstanding"] == [{"document": norway["id"], "ordinal": 1}]


async def test_r20_a_nearer_agreement_that_is_yet_to_come(given: Given) -> None:
    """Agreements R20: until it takes effect the wider one applies, and no grant lasts longer; it can be accepted early."""
    world = await acting.create_in_force(given)
    norway = await acting.create_agreement(given, world["product"], region="NO")
    await making.create_published(given, norway, effective_at=making.days_from_now(given, 1 / 288))
    ready, other = await given.logged_in(region="NO"), await given.logged_in(region="NO")
    for person in (ready, other):
        await making.accept(given, person, world)
        result = await given.access(world["product"], person)
        assert (result["allow"], acting.list_warnings(result), result["check_again_at"]) == (
            True,
            ["agreement_upcoming"],
            making.days_from_now(given, 1 / 288),
        )
        claims = jwt.decode(result["grant"], options={"verify_signature": False})
        assert claims["exp"] - int(given.clock.now().timestamp()) == 300
        mine = await making.list_agreements(given, person, world)
        assert ({each["region"] for each in mine["items"]}, mine["valid_until"]) == ({"001", "NO"}, making.days_from_now(given, 1 / 288))
    assert (await making.accept(given, ready, norway))["compliant"] is True
    given.clock.forward(minutes=5)
    assert await list_offered_regions(given, ready, world) == ["NO"]
    assert (await given.access(world["product"], ready))["allow"] is True
    assert (await given.access(world["product"], other))["code"] == "agreement_required"
