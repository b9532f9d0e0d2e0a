"""The audit list: everything that happened, newest first, found by kind, user, subject, actor and time."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from app.base.durations import instant_text
from tests.assertions import problem
from tests.given import Given


async def listed(given: Given, query: str = "") -> Sequence[dict[str, Any]]:
    found: list[dict[str, Any]] = given.expect(await given.client.get(f"/v1/events?{query}", headers=given.root))["data"]
    return found


async def test_what_happened_is_listed_newest_first(given: Given) -> None:
    license_ = await given.license()
    await given.post(f"/v1/licenses/{license_['id']}/suspend", {"reason": "unpaid"})
    events = await listed(given)
    assert [event["type"] for event in events[:4]] == ["license.suspended", "license.issued", "policy.created", "product.created"]
    newest = events[0]
    assert newest["data"] == {"reason": "unpaid"}
    assert newest["subject"] == {"type": "license", "id": license_["id"]}
    assert (newest["actor"]["type"], newest["at"]) == ("operator", instant_text(given.clock.now()))
    assert given.expect(await given.client.get(f"/v1/events/{newest['id']}", headers=given.root)) == newest
    problem(await given.client.get(f"/v1/events/{UUID(int=1)}", headers=given.root), 404, "event_not_found")


async def test_each_filter_finds_its_own(given: Given) -> None:
    """Alone and together; `from` is in, `to` is out."""
    person = await given.person()
    given.clock.forward(hours=1)
    at = given.clock.now()
    license_ = await given.license()
    await given.logged_in(person)
    keys = given.expect(await given.client.get("/v1/api-keys", headers=given.root))["data"]
    by = {
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
    assert {query: {event["type"] for event in await listed(given, query)} for query in by} == by


@pytest.mark.parametrize("query", ["type=nonsense", "user=me", "actor_type=A", "from=yesterday", "kind=license.issued"])
async def test_a_filter_that_is_none_is_refused(given: Given, query: str) -> None:
    problem(await given.client.get(f"/v1/events?{query}", headers=given.root), 422, "malformed")


async def test_the_address_of_a_failed_login_stays_inside(given: Given) -> None:
    person = await given.person()
    await given.client.post("/v1/login", json={"identifier": person.email, "password": "not the password at all"})
    (event,) = await listed(given, "type=login.failed")
    assert event["user_id"] == person.id
    assert set(event["data"]) == {"factor", "reason"}
