"""Every combination of requirements: the responses alone lead from nothing to access, and never earlier."""

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
EVERY = [list(names) for size in range(len(REQUIREMENTS) + 1) for names in combinations(REQUIREMENTS, size)]
DISTINCT = [list(names) for names in sorted({tuple(add_implied(requires)) for requires in EVERY})]
"""The combinations that differ after implied requirements are added."""
STEPS = {
    "login": ["log_in"], "second_factor": ["enroll_totp", "step_up"], "passkey": ["enroll_passkey", "step_up"], "license": ["enter_key"],
    "activation": ["name_device", "activate"], "eula": ["accept_agreement"],
}  # fmt: skip
BY_ANOTHER_STEP = {"second_factor": "log_in", "passkey": "log_in", "activation": "enter_key"}
"""Steps that another step includes: a login for a product sets up its factors, and an activation code takes the seat."""


def test_there_are_sixty_four_combinations() -> None:
    assert (len(EVERY), len({tuple(requires) for requires in EVERY}), len(DISTINCT)) == (64, 64, 27)


@pytest.fixture
async def sold(given: Given, app: FastAPI) -> dict[str, Any]:
    """A license by key or code, of a product with an agreement in force and no requirements yet."""
    given.taking_passkeys(app)
    terms = await making.create_in_force(given)
    license_ = await given.license(await given.policy({"code": terms["product"]}, seat_by="device", max_seats="unlimited"))
    return {**license_, "code": await given.code(license_, max_uses=100)}


async def set_requirements(given: Given, sold: dict[str, Any], requires: list[str]) -> None:
    path = f"/v1/products/{sold['product']}"
    product = given.expect(await given.client.patch(path, json={"requires": requires}, headers=given.root))
    assert product["requires"] == add_implied(requires)


async def walk_to_access(given: Given, sold: dict[str, Any], *, hasty: bool) -> Walker:
    """Walk from an unknown person to access, and check that the grant proves what the product requires."""
    walker = Walker(given, await given.person(), sold["product"], sold["key"], sold["code"] if hasty else None, hasty)
    decision = await walker.walk()
    assert decision["code"] == "ok"
    claims = jwt.decode(decision["grant"], options={"verify_signature": False})
    required = decision["requires"]
    assert ("sub" in claims, claims.get("acr") == "aal2") == ("login" in required, bool({"second_factor", "passkey"} & {*required}))
    assert ("user" in decision["session"]["amr"] if decision["session"] else False) == ("passkey" in required)
    assert ("lic" in claims, "agreements" in claims) == ("license" in required, "eula" in required)
    return walker


def expected_steps(requires: list[str], *, hasty: bool) -> list[str]:
    """Return the actions that such a walk takes, sorted."""
    return sorted(
        step for requirement in add_implied(requires) for step in STEPS[requirement] if not (hasty and requirement in BY_ANOTHER_STEP)
    )


async def ask_with_less(walker: Walker, requires: list[str]) -> list[dict[str, Any]]:
    """Request access with one thing missing each time: another device, no login, neither key nor seat."""
    answers = [await walker.ask(device={"fingerprint": "another"})] if "activation" in requires else []
    token, seat = walker.token, walker.seat
    if token:
        walker.token = None
        answers.append(await walker.ask())
        walker.token = token
    if "license" in add_implied(requires) and (token is None or walker.code is None):  # a redeemed code assigned the license to the user
        walker.seat = None
        answers.append(await walker.ask(license_key=None))
        walker.seat = seat
    return answers


async def walk_all(given: Given, sold: dict[str, Any], choices: list[list[str]], *, hasty: bool) -> None:
    for requires in choices:
        await set_requirements(given, sold, requires)
        walker = await walk_to_access(given, sold, hasty=hasty)
        assert sorted(walker.done) == expected_steps(requires, hasty=hasty), requires
        for answer in await ask_with_less(walker, requires):
            assert (answer["allow"], answer["grant"]) == (False, None), requires


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)], indirect=True)
async def test_the_responses_lead_to_access_for_every_combination(given: Given, sold: dict[str, Any]) -> None:
    """Each walk requests access after every step, so access that comes too early ends it and fails."""
    await walk_all(given, sold, EVERY, hasty=False)


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)], indirect=True)
async def test_acting_on_the_last_reason_first_leads_to_access_too(given: Given, sold: dict[str, Any]) -> None:
    """With an activation code and a login that names the product; equal combinations are walked once."""
    await walk_all(given, sold, DISTINCT, hasty=True)


async def test_passkeys_cannot_be_required_where_they_are_disabled(given: Given) -> None:
    for number, requires in enumerate(requires for requires in EVERY if "passkey" in requires):
        body = {"code": f"never-{number}", "name": "Never", "requires": requires}
        problem(await given.client.post("/v1/products", json=body, headers=given.root), 422, "requirement_impossible")
