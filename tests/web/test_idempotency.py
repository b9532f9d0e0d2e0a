"""`Idempotency-Key`: the first answer again, stored with the write it tells of."""

import asyncio

import httpx
from sqlalchemy import func, select

from app.licenses.models import License
from app.web.models import StoredAnswer
from app.web.pipeline import idempotency
from tests.assertions import problem
from tests.given import Given


async def count(given: Given, model: type) -> int:
    async with given.world.db.query() as tx:
        return int(await tx.scalar(select(func.count()).select_from(model)) or 0)


def keyed(given: Given, key: str = "retry-1") -> dict[str, str]:
    return {**given.root, "Idempotency-Key": key}


async def test_the_first_answer_comes_again_with_its_secret(given: Given) -> None:
    policy = await given.policy()
    body = {"policy_id": policy["id"]}
    first = await given.client.post("/v1/licenses", json=body, headers=keyed(given))
    again = await given.client.post("/v1/licenses", json=body, headers=keyed(given))
    assert (again.status_code, again.content) == (first.status_code, first.content) == (201, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    assert again.headers["location"] == first.headers["location"]
    assert "idempotency-replayed" not in first.headers
    assert await count(given, License) == 1


async def test_the_same_key_for_another_request_is_refused(given: Given) -> None:
    await given.client.post("/v1/products", json={"code": "one", "name": "One"}, headers=keyed(given))
    answer = await given.client.post("/v1/products", json={"code": "two", "name": "Two"}, headers=keyed(given))
    problem(answer, 422, "idempotency_key_reused")


async def test_callers_do_not_see_each_others_keys(given: Given) -> None:
    other = await given.operator("*")
    body = {"name": "Ola"}
    mine = await given.client.post("/v1/customers", json=body, headers=keyed(given))
    other_answer = await given.client.post("/v1/customers", json=body, headers={**other, "Idempotency-Key": "retry-1"})
    assert mine.json()["id"] != other_answer.json()["id"]


async def test_after_a_day_the_key_is_free_again(given: Given) -> None:
    first = await given.client.post("/v1/customers", json={"name": "Ola"}, headers=keyed(given))
    given.clock.forward(hours=24)
    second = await given.client.post("/v1/customers", json={"name": "Ola"}, headers=keyed(given))
    assert second.json()["id"] != first.json()["id"]


async def test_a_refusal_that_came_of_the_state_is_repeated(given: Given) -> None:
    license_ = await given.seats(0)
    body = {"license_key": license_["key"], "device": {"fingerprint": "a"}}
    first = await given.client.post("/v1/activations", json=body, headers={"Idempotency-Key": "k"})
    again = await given.client.post("/v1/activations", json=body, headers={"Idempotency-Key": "k"})
    problem(first, 409, "seat_limit_reached")
    assert again.content == first.content


async def test_malformed_and_unauthenticated_requests_keep_nothing(given: Given) -> None:
    await given.client.post("/v1/products", json={}, headers=keyed(given))
    await given.client.post("/v1/products", json={"code": "x", "name": "X"}, headers={"Idempotency-Key": "retry-1"})
    assert await count(given, StoredAnswer) == 0
    answer = await given.client.post("/v1/products", json={"code": "x", "name": "X"}, headers=keyed(given))
    assert answer.status_code == 201


async def test_kept_answers_are_sealed(given: Given) -> None:
    policy = await given.policy()
    created = await given.client.post("/v1/licenses", json={"policy_id": policy["id"]}, headers=keyed(given))
    async with given.world.db.query() as tx:
        stored = await tx.scalar(select(StoredAnswer.answer))
    assert created.json()["key"] not in str(stored)


async def test_sixteen_twins_at_once_make_one(given: Given) -> None:
    policy = await given.policy()

    async def twin() -> httpx.Response:
        return await given.client.post("/v1/licenses", json={"policy_id": policy["id"]}, headers=keyed(given))

    answers = await asyncio.gather(*(twin() for _ in range(16)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
    assert await count(given, License) == 1


async def test_a_bad_key_is_refused(given: Given) -> None:
    for bad in ("", "x" * 201, "two words"):
        problem(await given.client.post("/v1/products", json={}, headers=keyed(given, bad)), 422, "malformed")


async def test_a_login_is_repeated_with_its_tokens(given: Given) -> None:
    person = await given.person()
    body = {"identifier": person.email, "password": person.password}
    first = await given.client.post("/v1/login", json=body, headers={"Idempotency-Key": "k"})
    again = await given.client.post("/v1/login", json=body, headers={"Idempotency-Key": "k"})
    assert first.json()["access_token"] == again.json()["access_token"]


async def test_a_credential_that_died_reads_nothing_from_the_store(given: Given) -> None:
    policy = await given.policy()
    created = await given.post("/v1/api-keys", {"name": "x", "scopes": ["*"]})
    auth = {"Authorization": f"Bearer {created['key']}", "Idempotency-Key": "k"}
    assert (await given.client.post("/v1/licenses", json={"policy_id": policy["id"]}, headers=auth)).status_code == 201
    await given.client.delete(f"/v1/api-keys/{created['id']}", headers=given.root)
    problem(await given.client.post("/v1/licenses", json={"policy_id": policy["id"]}, headers=auth), 401, "token_invalid")
    person = await given.logged_in()
    keyed_user = {**person.auth, "Idempotency-Key": "k"}
    assert (await given.client.post("/v1/me/totp", headers=keyed_user)).status_code == 201
    await given.post(f"/v1/users/{person.id}/suspend")
    problem(await given.client.post("/v1/me/totp", headers=keyed_user), 401, "token_invalid")


async def test_a_retry_after_a_new_login_is_still_the_same_callers(given: Given) -> None:
    person = await given.logged_in()
    first = await given.client.post("/v1/me/totp", headers={**person.auth, "Idempotency-Key": "k"})
    await given.logged_in(person)
    again = await given.client.post("/v1/me/totp", headers={**person.auth, "Idempotency-Key": "k"})
    assert first.content == again.content


async def test_answers_past_their_time_are_forgotten(given: Given) -> None:
    for n in range(5):
        await given.client.post("/v1/customers", json={"name": "Ola"}, headers=keyed(given, f"old-{n}"))
    given.clock.forward(hours=24)
    await given.client.post("/v1/customers", json={"name": "Ola"}, headers=keyed(given, "new"))
    assert await idempotency.prune_answers(given.world) == 5
    assert await count(given, StoredAnswer) == 1
