"""An erasure concurrent with everything that adds personal data: in any order, none is left (agreements R25)."""

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
from tests.privacy.histories import assert_receipt_verifies, create_history, erase, find_traces, run_together

ROUNDS = 4


def count_statuses(answers: list[httpx.Response]) -> Counter[int]:
    return Counter(answer.status_code for answer in answers)


async def assert_erased(given: Given, answer: httpx.Response, person: Any) -> None:
    """Assert that the user is erased, by this call or, after a deadlock that the database resolved, by the next."""
    if answer.status_code == 503:
        answer = await erase(given, person)
    assert given.expect(answer)["status"] == "erased"


async def test_logins(given: Given) -> None:
    for _ in range(ROUNDS):
        person = await given.person()
        body = {"identifier": person.email, "password": PASSWORD}
        first, *others = await run_together(erase(given, person), *(given.client.post("/v1/login", json=body) for _ in range(4)))
        await assert_erased(given, first, person)
        assert set(count_statuses(others)) <= {200, 401, 503}
        for answer in others:
            if answer.status_code == 200:
                auth = {"Authorization": f"Bearer {answer.json()['access_token']}"}
                assert (await given.client.get("/v1/me", headers=auth)).status_code == 401
        assert (await given.client.post("/v1/login", json=body)).status_code == 401


async def test_acceptances(given: Given, postbox: Postbox) -> None:
    decided = False
    for _ in range(ROUNDS):
        agreement, person = await making.create_in_force(given), await given.logged_in(display_name="Kari Nordmann")
        presentation = await making.present(given, person, agreement, client="Karis client")
        first, *others = await run_together(
            erase(given, person),
            making.decide(given, person, presentation),
            given.client.post(f"/v1/me/agreements/{agreement['id']}/presentations", json={"ui_ref": "kari"}, headers=person.auth),
        )
        await assert_erased(given, first, person)
        assert set(count_statuses(others)) <= {200, 201, 401, 404, 503}  # 404: the presentation was deleted
        left = await find_traces(given)
        assert "agreement_event_contexts" not in left
        decided = decided or others[0].status_code == 201
        assert set(left) <= ({"agreement_presentations"} if decided else set())  # a receipt refers to this one


async def test_activations(given: Given) -> None:
    """With the key of a license that the user is not assigned to, so the erasure cannot find it by the assignment."""
    for _ in range(ROUNDS):
        person = await given.logged_in()
        license_ = await given.license(await given.policy(seat_by="device_per_user", max_seats=3))
        body = {"license_key": license_["key"], "device": {"fingerprint": "kari-laptop", "name": "Karis laptop"}}
        first, *others = await run_together(
            erase(given, person),
            *(given.client.post("/v1/activations", json=body, headers=person.auth) for _ in range(2)),
            given.client.put(f"/v1/licenses/{license_['id']}/users/{person.id}", headers=given.root),
        )
        await assert_erased(given, first, person)
        assert set(count_statuses(others)) <= {200, 201, 401, 409, 503}
        license_now = given.expect(await given.client.get(f"/v1/licenses/{license_['id']}", headers=given.root))
        assert (license_now["seats"]["used"], license_now["users"]) == (0, [])
        assert await find_traces(given) == {}


async def test_profiles(given: Given) -> None:
    for _ in range(ROUNDS):
        person = await given.logged_in()
        profile = {"display_name": "Kari Nordmann"}
        first, *others = await run_together(
            erase(given, person),
            given.client.patch("/v1/me", json=profile, headers=person.auth),
            given.client.patch(f"/v1/users/{person.id}", json=profile, headers=given.root),
            given.client.post(f"/v1/users/{person.id}/restore", headers=given.root),
        )
        await assert_erased(given, first, person)
        assert set(count_statuses(others)) <= {200, 401, 409, 503}
        assert await find_traces(given) == {}


async def test_two_erasures(given: Given, postbox: Postbox) -> None:
    history = await create_history(given, postbox)
    answers = await run_together(*(erase(given, history.person) for _ in range(6)))
    assert count_statuses(answers) == {200: 6}
    assert len(await postbox.collected(given.world)) == 1
    assert await find_traces(given) == {}
    await assert_receipt_verifies(given, history)


async def test_refreshes(given: Given) -> None:
    """A refresh locks the user's row first, as the erasure does: no deadlock, and no token survives."""
    for _ in range(4):
        person = await given.person()
        logins = [await given.post("/v1/login", {"identifier": person.email, "password": person.password}, {}) for _ in range(3)]
        calls = [given.client.post("/v1/token/refresh", json={"refresh_token": each["refresh_token"]}) for each in logins]
        calls += [given.client.post("/v1/logout", headers={"Authorization": f"Bearer {each['access_token']}"}) for each in logins]
        *answers, erased = await asyncio.gather(*calls, given.client.post(f"/v1/users/{person.id}/erase", headers=given.root))
        assert erased.status_code == 200
        assert {answer.status_code for answer in answers} <= {200, 204, 401}
        for body in [answer.json() for answer in answers if answer.status_code == 200]:
            again = await given.client.post("/v1/token/refresh", json={"refresh_token": body["refresh_token"]})
            assert again.status_code == 401


async def test_a_late_login_failure_stores_no_personal_data(given: Given) -> None:
    """Agreements R25: a wrong password that was checked while its user was erased stores no IP address of theirs."""
    person = await given.person()
    assert (await given.client.post(f"/v1/users/{person.id}/erase", headers=given.root)).status_code == 200
    await attempts.record_failure(given.world, Origin("203.0.113.7", None), "password", UUID(person.id), "wrong")
    async with given.world.db.query() as tx:
        assert (await tx.scalars(select(Event.user_id).where(Event.type == "login.failed"))).all() == [None]
