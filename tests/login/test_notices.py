"""Whoever owns the account is told of what happens to it, by mail, in their language (authentication R21, R27, R28, R59)."""

from collections.abc import Sequence
from uuid import UUID

import pytest
from sqlalchemy import select

from app.mail.models import Message
from tests.given import PASSWORD, Given, Person


async def letters(given: Given, person: Person) -> Sequence[str]:
    async with given.world.db.query() as tx:
        told = await tx.scalars(select(Message.template).where(Message.user_id == UUID(person.id)).order_by(Message.id))
        return told.all()


async def test_r21_r22_factors_that_come_and_go_are_told(given: Given) -> None:
    person = await given.strong(locale="nb")
    assert "factor_added" in await letters(given, person)
    listed = given.expect(await given.client.get("/v1/me/factors", headers=person.auth))["data"]
    device = next(it["id"] for it in listed if it["kind"] == "totp")
    assert (await given.client.delete(f"/v1/me/factors/{device}", headers=person.auth)).status_code == 204
    assert (await letters(given, person))[-1] == "factor_removed"


async def test_r27_new_recovery_codes_are_told_and_so_is_the_operators_reset(given: Given) -> None:
    person = await given.strong()
    given.expect(await given.client.post("/v1/me/recovery-codes", headers=person.auth))
    assert (await letters(given, person))[-1] == "recovery_codes_renewed"
    assert (await given.client.post(f"/v1/users/{person.id}/reset-factors", headers=given.root)).status_code == 204
    assert (await letters(given, person))[-1] == "factors_reset_by_operator"


async def test_r59_a_changed_password_is_told(given: Given) -> None:
    person = await given.logged_in()
    body = {"current": PASSWORD, "new": "a wholly different staple"}
    assert (await given.client.post("/v1/me/password", json=body, headers=person.auth)).is_success
    assert (await letters(given, person))[-1] == "password_changed"


@pytest.mark.parametrize(("agent", "told"), [("Desk/1", []), ("Elsewhere/9", ["new_login"])])
async def test_a_login_from_where_there_never_was_one_is_told(given: Given, agent: str, told: list[str]) -> None:
    person = await given.person()
    body = {"identifier": person.email, "password": PASSWORD}
    for used in ("Desk/1", agent):
        given.expect(await given.client.post("/v1/login", json=body, headers={"User-Agent": used}))
    assert await letters(given, person) == told
