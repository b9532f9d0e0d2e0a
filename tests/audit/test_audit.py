"""The audit list: all events, newest first, filtered by type, user, subject, actor and time."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from app.base.durations import instant_text
from tests.assertions import problem
from tests.given import Given


async def list_events(given: Given, query: str = "") -> Sequence[dict[str, Any]]:
    events: list[dict[str, Any]] = given.expect(await given.client.get(f"/v1/events?{query}", headers=given.root))["data"]
    return events


async def test_what_happened_is_listed_newest_first(given: Given) -> None:
    license_ = await given.license()
    await given.post(f"/v1/licenses/{license_['id']}/suspend", {"reason": "unpaid"})
    events = await list_events(given)
    assert [event["type"] for event in events[:4]] == ["license.suspended", "license.issued", "policy.created", "product.created"]
    newest = events[0]
    assert newest["data"] == {"reason": "unpaid"}
    assert newest["subject"] == {"type": "license", "id": license_["id"]}
    assert (newest["actor"]["type"], newest["at"]) == ("operator", instant_text(given.clock.now()))
    assert given.expect(await given.client.get(f"/v1/events/{newest['id']}", headers=given.root)) == newest
    problem(await given.client.get(f"/v1/events/{UUID(int=1)}", headers=given.root), 404, "event_not_found")


async def test_each_filter_finds_its_events(given: Given) -> None:
    """Single and combined; `from` is inclusive, `to` is exclusive."""
    person = await given.person()
    given.clock.forward(hours=1)
    at = given.clock.now()
    license_ = await given.license()
    await given.logged_in(person)
    keys = given.expect(await given.client.get("/v1/api-keys", headers=given.root))["data"]
    expected = {
        "type=license.issued": {"license.issued"},
        "type=license.*": {"license.issued"},
        f"user={person.id}": {"user.created", "factor.added", "session.opened"},
        f"user={person.id}&type=session.opened": {"session.opened"},
        "subject_type=license": {"license.issued"},
        f"subject={license_['id']}": {"license.issued"},
        f"subject_type=user&subject={person.id}": {"user.created"},
        f"actor_type=user&actor={person.id}": {"session.opened"},
        f"actor={keys[0]['id']}&from={instant_text(at)}": {"product.created", "policy.created", "license.issued"},
        f"from={instant_text(at)}&type=user.*": set(),
        f"to={instant_text(at)}&type=license.*": set(),
        f"to={instant_text(at)}&type=user.*": {"user.created"},
    }
    assert {query: {event["type"] for event in await list_events(given, query)} for query in expected} == expected


@pytest.mark.parametrize("query", ["type=nonsense", "user=me", "actor_type=A", "from=yesterday", "kind=license.issued"])
async def test_an_invalid_filter_is_refused(given: Given, query: str) -> None:
    problem(await given.client.get(f"/v1/events?{query}", headers=given.root), 422, "malformed")


async def test_the_ip_address_of_a_failed_login_is_not_listed(given: Given) -> None:
    person = await given.person()
    await given.client.post("/v1/login", json={"identifier": person.email, "password": "not the password at all"})
    (event,) = await list_events(given, "type=login.failed")
    assert event["user_id"] == person.id
    assert set(event["data"]) == {"factor", "reason"}
