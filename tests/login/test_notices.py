"""Account owners are notified by mail, in their language, about changes to their account (authentication R21, R27, R28, R59)."""

import pytest

from tests.given import PASSWORD, Given
from tests.login.mail_queries import list_mail_templates


async def test_r21_r22_added_and_removed_factors_are_reported_by_mail(given: Given) -> None:
    person = await given.strong(locale="nb")
    assert "factor_added" in await list_mail_templates(given, person)
    listed = given.expect(await given.client.get("/v1/me/factors", headers=person.auth))["data"]
    totp = next(row["id"] for row in listed if row["kind"] == "totp")
    assert (await given.client.delete(f"/v1/me/factors/{totp}", headers=person.auth)).status_code == 204
    assert (await list_mail_templates(given, person))[-1] == "factor_removed"


async def test_r27_new_recovery_codes_and_a_reset_by_the_operator_are_reported_by_mail(given: Given) -> None:
    person = await given.strong()
    given.expect(await given.client.post("/v1/me/recovery-codes", headers=person.auth))
    assert (await list_mail_templates(given, person))[-1] == "recovery_codes_renewed"
    assert (await given.client.post(f"/v1/users/{person.id}/reset-factors", headers=given.root)).status_code == 204
    assert (await list_mail_templates(given, person))[-1] == "factors_reset_by_operator"


async def test_r59_a_changed_password_is_reported_by_mail(given: Given) -> None:
    person = await given.logged_in()
    body = {"current": PASSWORD, "new": "a wholly different staple"}
    assert (await given.client.post("/v1/me/password", json=body, headers=person.auth)).is_success
    assert (await list_mail_templates(given, person))[-1] == "password_changed"


@pytest.mark.parametrize(("agent", "templates"), [("Desk/1", []), ("Elsewhere/9", ["new_login"])])
async def test_a_login_with_an_unknown_user_agent_is_reported_by_mail(given: Given, agent: str, templates: list[str]) -> None:
    person = await given.person()
    body = {"identifier": person.email, "password": PASSWORD}
    for user_agent in ("Desk/1", agent):
        given.expect(await given.client.post("/v1/login", json=body, headers={"User-Agent": user_agent}))
    assert await list_mail_templates(given, person) == templates
