"""The access decision where a passkey is required: its reasons, its statements, and how long a passkey counts."""

from datetime import timedelta
from typing import Any

import jwt
import pytest
from fastapi import FastAPI

from app.base.durations import instant_text
from tests.access.scenarios import HERE, allow_access, read_codes
from tests.access.statements import record_statements
from tests.given import Given, Person

pytestmark = pytest.mark.usefixtures("relying_party")


async def require_all_six(given: Given) -> tuple[dict[str, Any], Person]:
    """Create a product with all six requirements; return the access request and a person with a registered passkey."""
    document, license_, person = await allow_access(given, lease="P7D")
    every = ["license", "activation", "login", "second_factor", "passkey", "eula"]
    product = given.expect(await given.client.patch(f"/v1/products/{document['product']}", json={"requires": every}, headers=given.root))
    assert len(product["requires"]) == 6
    await given.with_passkey(person)
    return {"product": document["product"], "license_key": license_["key"], **HERE}, person


async def test_a_missing_passkey_gives_the_next_action(given: Given) -> None:
    product = await given.product(requires=["passkey"])
    person = await given.logged_in()

    async def read_rows() -> list[tuple[str, str, str, str, str]]:
        decision = await given.access(product["code"], person)
        return [(reason["code"], reason["requirement"], reason["action"], reason["acr"], reason["href"]) for reason in decision["reasons"]]

    assert await read_rows() == [("passkey_required", "passkey", "enroll_passkey", "aal2p", "/v1/me/passkeys/options")]
    await given.with_passkey(person)
    assert await read_rows() == [("passkey_required", "passkey", "step_up", "aal2p", "/v1/step-up")]
    await given.by_passkey(person)
    assert await read_rows() == []


async def test_all_six_requirements_take_two_reads_and_no_write(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    request, person = await require_all_six(given)
    assert read_codes(await given.access(person=person, **request)) == ["passkey_required"]
    await given.by_passkey(person)
    await given.access(person=person, **request)
    with record_statements(given.world.db, monkeypatch) as statements:
        decision = await given.access(person=person, **request)
    assert decision["grant"]
    assert [text.split()[0] for text in statements] == ["SELECT", "SELECT"]


async def test_a_passkey_is_also_a_second_factor_and_expires_like_one(given: Given, app: FastAPI) -> None:
    product = await given.product(requires=["second_factor", "passkey"])
    given.configured(app, second_factor_lifetime=timedelta(minutes=7))
    person = await given.with_passkey()
    await given.by_passkey(person)
    decision = await given.access(product["code"], person)
    claims = jwt.decode(decision["grant"], options={"verify_signature": False})
    assert (claims["exp"] - claims["iat"], claims["acr"]) == (420, "aal2")
    assert decision["check_again_at"] == instant_text(given.clock.now() + timedelta(minutes=7))
    given.clock.forward(minutes=7)
    decision = await given.access(product["code"], person)
    assert read_codes(decision) == ["second_factor_required", "passkey_required"]
    assert decision["session"] == {"acr": "aal1", "amr": ["hwk", "user", "mfa"]}


async def test_a_totp_code_does_not_count_as_a_passkey(given: Given) -> None:
    product = await given.product(requires=["passkey"])
    person = await given.with_passkey(await given.strong())
    given.clock.forward(seconds=30)
    await given.logged_in(person)
    assert read_codes(await given.access(product["code"], person)) == ["passkey_required"]
