"""Every combination of requirements: from nothing to an allow by the answers alone, and never a step before."""

from itertools import combinations
from typing import Any

import jwt
import pytest
from fastapi import FastAPI

from app.catalog.rules import add_implied
from tests.access.walking import Walker
from tests.agreements import making
from tests.assertions import problem
from tests.given import Given

REQUIREMENTS = ["license", "activation", "login", "second_factor", "passkey", "eula"]
EVERY = [list(some) for size in range(len(REQUIREMENTS) + 1) for some in combinations(REQUIREMENTS, size)]
MEANING = [list(some) for some in sorted({tuple(add_implied(requires)) for requires in EVERY})]
"""Combinations that mean the same are one."""
STEPS = {
    "login": ["log_in"], "second_factor": ["enroll_totp", "step_up"], "passkey": ["enroll_passkey", "step_up"], "license": ["enter_key"],
    "activation": ["name_device", "activate"], "eula": ["accept_agreement"],
}  # fmt: skip
BY_ANOTHER_STEP = {"second_factor": "log_in", "passkey": "log_in", "activation": "enter_key"}
"""Where the login is told what it is for, it sets up what that wants; and an activation code takes the seat that it names."""


def test_there_are_sixty_four() -> None:
    assert (len(EVERY), len({tuple(it) for it in EVERY}), len(MEANING)) == (64, 64, 27)


@pytest.fixture
async def sold(given: Given, app: FastAPI) -> dict[str, Any]:
    """A license for whoever holds its key or its code, of a product with an agreement in force that wants nothing yet."""
    given.taking_passkeys(app)
    terms = await making.create_in_force(given)
    license_ = await given.license(await given.policy({"code": terms["product"]}, seat_by="device", max_seats="unlimited"))
    return {**license_, "code": await given.code(license_, max_uses=100)}


async def wanting(given: Given, sold: dict[str, Any], requires: list[str]) -> None:
    path = f"/v1/products/{sold['product']}"
    told = given.expect(await given.client.patch(path, json={"requires": requires}, headers=given.root))
    assert told["requires"] == add_implied(requires)


async def walked(given: Given, sold: dict[str, Any], *, hasty: bool) -> Walker:
    """Somebody of whom nothing is known walks to the allow; what they then hold is what the product wants, and no less."""
    walker = Walker(given, await given.person(), sold["product"], sold["key"], sold["code"] if hasty else None, hasty)
    told = await walker.walk()
    assert told["code"] == "ok"
    claims = jwt.decode(told["grant"], options={"verify_signature": False})
    wanted = told["requires"]
    assert ("sub" in claims, claims.get("acr") == "aal2") == ("login" in wanted, bool({"second_factor", "passkey"} & {*wanted}))
    assert ("user" in told["session"]["amr"] if told["session"] else False) == ("passkey" in wanted)
    assert ("lic" in claims, "agreements" in claims) == ("license" in wanted, "eula" in wanted)
    return walker


def steps(requires: list[str], *, hasty: bool) -> list[str]:
    """What such a walk is made of."""
    return sorted(step for it in add_implied(requires) for step in STEPS[it] if not (hasty and it in BY_ANOTHER_STEP))


async def less(walker: Walker, requires: list[str]) -> list[dict[str, Any]]:
    """The question by somebody who has all but one of the things: another device, no login, neither key nor seat."""
    answers = [await walker.ask(device={"fingerprint": "another"})] if "activation" in requires else []
    token, seat = walker.token, walker.seat
    if token:
        walker.token = None
        answers.append(await walker.ask())
        walker.token = token
    if "license" in add_implied(requires) and (token is None or walker.code is None):  # by a code, the license became the user's own
        walker.seat = None
        answers.append(await walker.ask(license_key=None))
        walker.seat = seat
    return answers


async def each(given: Given, sold: dict[str, Any], some: list[list[str]], *, hasty: bool) -> None:
    for requires in some:
        await wanting(given, sold, requires)
        walker = await walked(given, sold, hasty=hasty)
        assert sorted(walker.done) == steps(requires, hasty=hasty), requires
        for answer in await less(walker, requires):
            assert (answer["allow"], answer["grant"]) == (False, None), requires


async def test_every_combination_is_walked_from_nothing_to_an_allow(given: Given, sold: dict[str, Any]) -> None:
    """Each walk asks after every step, so that a step too early would end it."""
    await each(given, sold, EVERY, hasty=False)


async def test_the_last_reason_first_by_code_and_with_a_login_that_knows_what_it_is_for(given: Given, sold: dict[str, Any]) -> None:
    """The steps in another order; combinations that mean the same are walked once."""
    await each(given, sold, MEANING, hasty=True)


async def test_where_no_passkeys_are_taken_none_can_be_wanted(given: Given) -> None:
    for number, requires in enumerate(requires for requires in EVERY if "passkey" in requires):
        body = {"code": f"never-{number}", "name": "Never", "requires": requires}
        problem(await given.client.post("/v1/products", json=body, headers=given.root), 422, "requirement_impossible")
