"""The decision where a passkey is wanted: its rows of the table, what it costs to read, and how long it is good for."""

from datetime import timedelta
from typing import Any

import jwt
import pytest
from fastapi import FastAPI

from app.base.durations import instant_text
from tests.access.statements import seen
from tests.access.test_decision import HERE, allowed, codes
from tests.given import Given, Person

pytestmark = pytest.mark.usefixtures("relying_party")


async def of_everything(given: Given) -> tuple[dict[str, Any], Person]:
    """(what to ask with, somebody with a passkey registered) of a product that wants all six."""
    found, license_, person = await allowed(given, lease="P7D")
    every = ["license", "activation", "login", "second_factor", "passkey", "eula"]
    told = given.expect(await given.client.patch(f"/v1/products/{found['product']}", json={"requires": every}, headers=given.root))
    assert len(told["requires"]) == 6
    await given.with_passkey(person)
    return {"product": found["product"], "license_key": license_["key"], **HERE}, person


async def test_what_is_missing_and_what_to_do(given: Given) -> None:
    product = await given.product(requires=["passkey"])
    person = await given.logged_in()

    async def row() -> list[tuple[str, str, str, str, str]]:
        told = await given.access(product["code"], person)
        return [(it["code"], it["requirement"], it["action"], it["acr"], it["href"]) for it in told["reasons"]]

    assert await row() == [("passkey_required", "passkey", "enroll_passkey", "aal2p", "/v1/me/passkeys/options")]
    await given.with_passkey(person)
    assert await row() == [("passkey_required", "passkey", "step_up", "aal2p", "/v1/step-up")]
    await given.by_passkey(person)
    assert await row() == []


async def test_all_six_take_two_reads_and_no_write(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    ask, person = await of_everything(given)
    assert codes(await given.access(person=person, **ask)) == ["passkey_required"]
    await given.by_passkey(person)
    await given.access(person=person, **ask)
    with seen(given.world.db, monkeypatch) as statements:
        told = await given.access(person=person, **ask)
    assert told["grant"]
    assert [text.split()[0] for text in statements] == ["SELECT", "SELECT"]


async def test_it_is_a_second_factor_too_and_grows_as_old_as_one(given: Given, app: FastAPI) -> None:
    product = await given.product(requires=["second_factor", "passkey"])
    given.configured(app, second_factor_lifetime=timedelta(minutes=7))
    person = await given.with_passkey()
    await given.by_passkey(person)
    told = await given.access(product["code"], person)
    claims = jwt.decode(told["grant"], options={"verify_signature": False})
    assert (claims["exp"] - claims["iat"], claims["acr"]) == (420, "aal2")
    assert told["check_again_at"] == instant_text(given.clock.now() + timedelta(minutes=7))
    given.clock.forward(minutes=7)
    told = await given.access(product["code"], person)
    assert codes(told) == ["second_factor_required", "passkey_required"]
    assert told["session"] == {"acr": "aal1", "amr": ["hwk", "user", "mfa"]}


async def test_a_code_of_an_authenticator_is_no_passkey(given: Given) -> None:
    product = await given.product(requires=["passkey"])
    person = await given.with_passkey(await given.strong())
    given.clock.forward(seconds=30)
    await given.logged_in(person)
    assert codes(await given.access(product["code"], person)) == ["passkey_required"]
