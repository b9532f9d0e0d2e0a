"""An erasure at the same moment as whatever adds to a person: whoever comes first, nothing of hers is left (agreements R25)."""

import asyncio
from collections import Counter
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import select

from app.events.models import Event
from app.login import attempts
from app.web.callers import Origin
from tests.agreements import making
from tests.given import PASSWORD, Given
from tests.postbox import Postbox
from tests.privacy.life import erase, lived, together, traces, verifies

ROUNDS = 4


def told(answers: list[httpx.Response]) -> Counter[int]:
    return Counter(answer.status_code for answer in answers)


async def ended(given: Given, answer: httpx.Response, person: Any) -> None:
    """Erased now or, after a deadlock that the database ended, by the next call."""
    if answer.status_code == 503:
        answer = await erase(given, person)
    assert given.expect(answer)["status"] == "erased"


async def test_logins(given: Given) -> None:
    for _ in range(ROUNDS):
        person = await given.person()
        body = {"identifier": person.email, "password": PASSWORD}
        first, *others = await together(erase(given, person), *(given.client.post("/v1/login", json=body) for _ in range(4)))
        await ended(given, first, person)
        assert set(told(others)) <= {200, 401, 503}
        for answer in others:
            if answer.status_code == 200:
                auth = {"Authorization": f"Bearer {answer.json()['access_token']}"}
                assert (await given.client.get("/v1/me", headers=auth)).status_code == 401
        assert (await given.client.post("/v1/login", json=body)).status_code == 401


async def test_acceptances(given: Given, postbox: Postbox) -> None:
    decided = False
    for _ in range(ROUNDS):
        found, person = await making.create_in_force(given), await given.logged_in(display_name="Kari Nordmann")
        shown = await making.present(given, person, found, client="Karis client")
        first, *others = await together(
            erase(given, person),
            making.decide(given, person, shown),
            given.client.post(f"/v1/me/agreements/{found['id']}/presentations", json={"ui_ref": "kari"}, headers=person.auth),
        )
        await ended(given, first, person)
        assert set(told(others)) <= {200, 201, 401, 404, 503}  # 404: the showing is gone
        left = await traces(given)
        assert "agreement_event_contexts" not in left
        decided = decided or others[0].status_code == 201
        assert set(left) <= ({"agreement_presentations"} if decided else set())  # what a receipt rests on stays


async def test_activations(given: Given) -> None:
    """By the key of a license that the user was never assigned to, so that the erasure cannot have known of it."""
    for _ in range(ROUNDS):
        person = await given.logged_in()
        license_ = await given.license(await given.policy(seat_by="device_per_user", max_seats=3))
        body = {"license_key": license_["key"], "device": {"fingerprint": "kari-laptop", "name": "Karis laptop"}}
        first, *others = await together(
            erase(given, person),
            *(given.client.post("/v1/activations", json=body, headers=person.auth) for _ in range(2)),
            given.client.put(f"/v1/licenses/{license_['id']}/users/{person.id}", headers=given.root),
        )
        await ended(given, first, person)
        assert set(told(others)) <= {200, 201, 401, 409, 503}
        shown = given.expect(await given.client.get(f"/v1/licenses/{license_['id']}", headers=given.root))
        assert (shown["seats"]["used"], shown["users"]) == (0, [])
        assert await traces(given) == {}


async def test_profiles(given: Given) -> None:
    for _ in range(ROUNDS):
        person = await given.logged_in()
        mine = {"display_name": "Kari Nordmann"}
        first, *others = await together(
            erase(given, person),
            given.client.patch("/v1/me", json=mine, headers=person.auth),
            given.client.patch(f"/v1/users/{person.id}", json=mine, headers=given.root),
            given.client.post(f"/v1/users/{person.id}/restore", headers=given.root),
        )
        await ended(given, first, person)
        assert set(told(others)) <= {200, 401, 409, 503}
        assert await traces(given) == {}


async def test_two_erasures(given: Given, postbox: Postbox) -> None:
    it = await lived(given, postbox)
    answers = await together(*(erase(given, it.person) for _ in range(6)))
    assert told(answers) == {200: 6}
    assert len(await postbox.collected(given.world)) == 1
    assert await traces(given) == {}
    await verifies(given, it)


async def test_refreshes(given: Given) -> None:
    """Whoever rotates holds the user's row first, as the erasure does: nobody waits in a circle, and nothing lives on."""
    for _ in range(4):
        person = await given.person()
        opened = [await given.post("/v1/login", {"identifier": person.email, "password": person.password}, {}) for _ in range(3)]
        calls = [given.client.post("/v1/token/refresh", json={"refresh_token": it["refresh_token"]}) for it in opened]
        calls += [given.client.post("/v1/logout", headers={"Authorization": f"Bearer {it['access_token']}"}) for it in opened]
        *answers, erased = await asyncio.gather(*calls, given.client.post(f"/v1/users/{person.id}/erase", headers=given.root))
        assert erased.status_code == 200
        assert {answer.status_code for answer in answers} <= {200, 204, 401}
        for it in [answer.json() for answer in answers if answer.status_code == 200]:
            again = await given.client.post("/v1/token/refresh", json={"refresh_token": it["refresh_token"]})
            assert again.status_code == 401


async def test_a_failure_that_comes_late_names_nobody(given: Given) -> None:
    """Agreements R25: a wrong password that was being looked at while its user was erased leaves no address of theirs."""
    person = await given.person()
    assert (await given.client.post(f"/v1/users/{person.id}/erase", headers=given.root)).status_code == 200
    await attempts.record_failure(given.world, Origin("203.0.113.7", None), "password", UUID(person.id), "wrong")
    async with given.world.db.query() as tx:
        assert (await tx.scalars(select(Event.user_id).where(Event.type == "login.failed"))).all() == [None]
