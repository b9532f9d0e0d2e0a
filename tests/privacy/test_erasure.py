"""Erasure of an end user: one call, repeatable, what it deletes and what it keeps (agreements R25, P8)."""

from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import func, select

from app.agreements.models import AgreementEvent, AgreementEventContext, AgreementPresentation
from app.events.models import Event
from app.licenses.models import Activation
from app.login.device_grant.models import DeviceCode
from app.login.mailed_tokens import OneTimeToken
from app.login.models import Factor, Login, RefreshToken
from app.mail.models import Message
from app.web.models import AttemptCounter
from tests.agreements import making
from tests.assertions import problem
from tests.given import PASSWORD, Given, Person
from tests.postbox import Postbox
from tests.privacy.histories import assert_receipt_verifies, create_history, erase, find_traces, set_legal_hold


async def count_rows(given: Given, model: Any, *where: Any) -> int:
    async with given.world.db.query() as tx:
        return int(await tx.scalar(select(func.count()).select_from(model).where(*where)) or 0)


async def get_user(given: Given, person: Person) -> dict[str, Any]:
    return given.expect(await given.client.get(f"/v1/users/{person.id}", headers=given.root))


async def test_r25_no_column_names_the_person_any_more(given: Given, postbox: Postbox) -> None:
    """Every column of every table, before and after: name, e-mail address, IP address, the customer's own id."""
    history = await create_history(given, postbox)
    before = await find_traces(given)
    assert {"users", "sessions", "events", "activations", "activation_codes", "agreement_event_contexts"} <= set(before)
    result = given.expect(await erase(given, history.person))
    assert result == {"id": history.person.id, "status": "erased", "legal_hold": False, "contexts_kept": 0}
    assert await find_traces(given) == {}


async def test_r25_the_secrets_are_deleted(given: Given, postbox: Postbox) -> None:
    history = await create_history(given, postbox)
    given.expect(await erase(given, history.person))
    for model in (RefreshToken, Login, OneTimeToken, DeviceCode):
        assert await count_rows(given, model) == 0, model
    live = (Factor.hash.is_not(None)) | Factor.secret_sealed.is_not(None) | Factor.selector.is_not(None) | (Factor.state != "revoked")
    assert await count_rows(given, Factor, live) == 0
    assert await count_rows(given, Factor) > 0  # the rows stay, without secrets
    assert await count_rows(given, Activation, Activation.token_sealed != "") == 0
    assert given.expect(await given.client.get(f"/v1/users/{history.person.id}/factors", headers=given.root))["data"] == []


async def test_counters_of_the_account_are_deleted(given: Given, postbox: Postbox) -> None:
    """The next owner of the address does not inherit a wait. Only the counters of networks are left."""
    person = await given.person()
    for _ in range(5):
        await given.client.post("/v1/login", json={"identifier": person.email, "password": "wrong, quite wrong"})
    before = await count_rows(given, AttemptCounter)
    given.expect(await erase(given, person))
    assert await count_rows(given, AttemptCounter) == before - 1
    again = await given.person(email=person.email)
    assert (await given.logged_in(again)).token


async def test_r25_p8_the_profile_is_empty_and_the_status_erased(given: Given, postbox: Postbox) -> None:
    history = await create_history(given, postbox)
    given.expect(await erase(given, history.person))
    result = await get_user(given, history.person)
    assert result["status"] == "erased"
    assert result["email"] == f"{history.person.id}@erased.invalid"
    empty = ("display_name", "locale", "region", "timezone", "external_id")
    assert {name: result[name] for name in empty} == dict.fromkeys(empty)
    assert (result["email_verified"], result["age_band"], result["metadata"]) == (False, "unknown", {})
    listed = given.expect(await given.client.get("/v1/users", params={"email": history.person.email}, headers=given.root))
    assert listed["data"] == []


async def test_r59_all_earlier_credentials_are_refused(given: Given, postbox: Postbox) -> None:
    history = await create_history(given, postbox)
    code, refresh, person = given.totp(history.person), {"refresh_token": history.person.refresh}, history.person
    reset = (await postbox.letter(given.world)).token
    given.expect(await erase(given, person))
    post, login = given.client.post, {"identifier": person.email, "password": PASSWORD}
    problem(await given.client.get("/v1/me", headers=person.auth), 401, "token_invalid")
    problem(await post("/v1/token/refresh", json=refresh), 401, "token_invalid")
    problem(await post("/v1/login", json=login), 401, "invalid_credentials")
    problem(await post("/v1/login", json={**login, "identifier": f"{person.id}@erased.invalid"}), 401, "invalid_credentials")
    problem(await post("/v1/login/totp", json={"code": code}, headers=history.handle), 401, "login_over")
    problem(await post("/v1/password/reset", json={"token": reset, "new_password": PASSWORD}), 410, "one_time_token_spent")
    body = {"decision": "accept", "text_sha256": history.presentation["text"]["sha256"]}
    path = f"/v1/me/presentations/{history.presentation['id']}/decision"
    problem(await post(path, json=body, headers=person.auth), 401, "token_invalid")
    problem(await post("/v1/activations", json={"activation_code": history.code, "device": {"fingerprint": "new"}}), 401, "login_required")
    seat = {"Authorization": f"Bearer {history.seat['token']}"}
    problem(await post(f"/v1/activations/{history.seat['activation']['id']}/heartbeat", headers=seat), 401, "token_invalid")
    decided = given.expect(await post("/v1/access", json={"product": history.agreement["product"]}, headers=person.auth))
    assert (decided["allow"], decided["code"]) in {(False, "login_required"), (False, "user_disabled")}


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/v1/users/{user}/restore", None),
        ("POST", "/v1/users/{user}/suspend", None),
        ("PATCH", "/v1/users/{user}", {"display_name": "Kari", "email_verified": True}),
        ("PUT", "/v1/licenses/{license}/users/{user}", None),
        ("POST", "/v1/licenses", {"policy_id": "{policy}", "users": ["{user}"]}),
    ],
)
async def test_an_erased_user_stays_erased(given: Given, postbox: Postbox, method: str, path: str, body: dict[str, Any] | None) -> None:
    """It cannot be restored, suspended, renamed or assigned."""
    person, license_ = await given.person(), await given.license()
    given.expect(await erase(given, person))
    names = {"user": person.id, "license": license_["id"], "policy": license_["policy_id"]}
    filled = {
        name: value.format(**names) if isinstance(value, str) else [each.format(**names) for each in value] if value else value
        for name, value in (body or {}).items()
        if not isinstance(value, bool)
    }
    answer = await given.client.request(method, path.format(**names), json=filled or None, headers=given.root)
    problem(answer, 409, "user_erased")
    assert (await get_user(given, person))["display_name"] is None


async def test_r79_no_code_is_mailed_to_an_erased_user(given: Given, postbox: Postbox) -> None:
    person = await given.person()
    given.expect(await erase(given, person))
    await postbox.collected(given.world)
    answer = await given.client.post(f"/v1/users/{person.id}/login-code", headers=given.root)
    assert problem(answer, 409, "login_code_impossible")["because"] == "erased"
    given.expect(await given.client.post(f"/v1/users/{person.id}/reset-factors", headers=given.root))
    given.expect(await given.client.post("/v1/password/forgot", json={"identifier": f"{person.id}@erased.invalid"}))
    assert await postbox.collected(given.world) == []


async def test_the_address_can_be_used_again(given: Given, postbox: Postbox) -> None:
    history = await create_history(given, postbox)
    given.expect(await erase(given, history.person))
    again = await given.person(email=history.person.email, external_id="crm-77")
    assert again.id != history.person.id
    await given.logged_in(again)
    result = given.expect(await given.client.get("/v1/me/receipts", headers=again.auth))
    assert result["data"] == []
    assert given.expect(await given.client.get("/v1/me/licenses", headers=again.auth))["data"] == []


async def test_r25_events_receipts_and_chain_stay_and_verify(given: Given, postbox: Postbox) -> None:
    history = await create_history(given, postbox)
    given.expect(await erase(given, history.person))
    async with given.world.db.query() as tx:
        (row,) = (await tx.execute(select(AgreementEvent.seq, AgreementEvent.receipt, AgreementEvent.user_id))).all()
    assert (row.seq, row.receipt, row.user_id) == (1, history.receipt, UUID(history.person.id))
    await assert_receipt_verifies(given, history)
    assert await count_rows(given, AgreementEventContext) == 0
    assert await count_rows(given, AgreementPresentation) == 1  # the one that the event refers to


async def test_r25_a_legal_hold_keeps_the_contexts_until_it_is_released(given: Given, postbox: Postbox) -> None:
    history = await create_history(given, postbox)
    await set_legal_hold(given, active=True)
    result = given.expect(await erase(given, history.person))
    assert (result["legal_hold"], result["contexts_kept"]) == (True, 1)
    assert set(await find_traces(given)) == {"agreement_event_contexts", "agreement_presentations"}
    await set_legal_hold(given, active=False)
    result = given.expect(await erase(given, history.person))
    assert (result["legal_hold"], result["contexts_kept"]) == (False, 0)
    assert await find_traces(given) == {}
    await assert_receipt_verifies(given, history)


async def test_p8_it_may_be_called_again(given: Given, postbox: Postbox) -> None:
    history = await create_history(given, postbox)
    first, again = given.expect(await erase(given, history.person)), given.expect(await erase(given, history.person))
    assert first == again
    assert await count_rows(given, Event, Event.type == "user.erased") == 1
    letters = await postbox.collected(given.world)
    assert [letter.message["Subject"] for letter in letters] == ["Kontoen din hos Licentia er slettet"]


async def test_the_notice_is_sent_and_then_its_address_is_deleted(given: Given, postbox: Postbox) -> None:
    history = await create_history(given, postbox)
    given.expect(await erase(given, history.person))
    sealed = (Message.recipient_sealed.is_not(None)) | Message.facts_sealed.is_not(None)
    assert await count_rows(given, Message, sealed) == 1
    (message,) = await postbox.collected(given.world)
    assert message.to == [history.person.email]
    assert await count_rows(given, Message, sealed) == 0


async def test_an_unsent_notice_is_deleted_after_a_day(given: Given, postbox: Postbox) -> None:
    history = await create_history(given, postbox)
    given.expect(await erase(given, history.person))
    given.clock.forward(hours=24)
    assert await postbox.collected(given.world) == []
    assert await count_rows(given, Message, Message.recipient_sealed.is_not(None)) == 0


async def test_seats_are_released_and_their_history_keeps_the_id(given: Given, postbox: Postbox) -> None:
    history = await create_history(given, postbox)
    given.expect(await erase(given, history.person))
    result = given.expect(await given.client.get(f"/v1/licenses/{history.license['id']}", headers=given.root))
    assert (result["seats"]["used"], result["users"]) == (0, [])
    path = f"/v1/licenses/{history.license['id']}/activations?live=false"
    (seat,) = given.expect(await given.client.get(path, headers=given.root))["data"]
    assert (seat["user_id"], seat["release_reason"], seat["name"]) == (history.person.id, "user_erased", None)
    listed = given.expect(await given.client.get("/v1/activations?fingerprint=kari-laptop", headers=given.root))
    assert listed["data"] == []


async def test_the_history_shows_the_erasure_and_no_personal_data(given: Given, postbox: Postbox) -> None:
    history = await create_history(given, postbox)
    given.expect(await erase(given, history.person))
    async with given.world.db.query() as tx:
        query = select(Event.type, Event.actor_type, Event.data).where(Event.user_id == UUID(history.person.id)).order_by(Event.id)
        rows = (await tx.execute(query)).all()
    assert (rows[-1].type, rows[-1].actor_type) == ("user.erased", "operator")
    failed = [row.data for row in rows if row.type == "login.failed"]
    assert failed == [{"factor": "password", "reason": "wrong"}]


async def test_erasing_requires_the_scope_and_an_operator_key(given: Given) -> None:
    person = await given.logged_in()
    path = f"/v1/users/{person.id}/erase"
    problem(await given.client.post(path, headers=await given.operator("users:read")), 403, "scope_missing")
    problem(await given.client.post(path, headers=person.auth), 403, "operator_key_required")
    problem(await given.client.post(f"/v1/users/{given.world.entropy.identifier()}/erase", headers=given.root), 404, "user_not_found")
    problem(await given.client.delete("/v1/me", headers=given.root), 403, "subject_token_required")


@pytest.mark.parametrize(("method", "path"), [("DELETE", "/v1/me"), ("POST", "/v1/me/erasure")])
async def test_r25_users_may_erase_their_own_account(given: Given, postbox: Postbox, method: str, path: str) -> None:
    person = await given.logged_in()
    answer = await given.client.request(method, path, headers=person.auth)
    assert given.expect(answer)["id"] == person.id
    problem(await given.client.request(method, path, headers=person.auth), 401, "token_invalid")
    assert (await get_user(given, person))["status"] == "erased"
    assert (await postbox.letter(given.world)).to == [person.email]


@pytest.mark.parametrize(("method", "path"), [("DELETE", "/v1/me"), ("POST", "/v1/me/erasure")])
async def test_r21_erasing_ones_own_account_requires_a_recent_proof(given: Given, method: str, path: str) -> None:
    """A password older than five minutes is not enough, nor a password alone for a user with a second factor."""
    plain = await given.logged_in()
    given.clock.forward(minutes=5, milliseconds=1)
    result = problem(await given.client.request(method, path, headers=plain.auth), 401, "step_up_required")
    assert result["acr_values"] == "aal1"
    protected = await given.with_totp()
    result = problem(await given.client.request(method, path, headers=protected.auth), 401, "step_up_required")
    assert result["acr_values"] == "aal2"
    await given.logged_in(protected)
    given.expect(await given.client.request(method, path, headers=protected.auth))
    assert (await get_user(given, plain))["status"] == "active"


async def test_r28_a_recovery_code_alone_erases_no_account(given: Given) -> None:
    person = await given.with_totp()
    handle = await given.begin(person)
    result = await given.post("/v1/login/recovery-code", {"code": person.recovery[0]}, handle)
    auth = {"Authorization": f"Bearer {result['access_token']}"}
    problem(await given.client.delete("/v1/me", headers=auth), 401, "step_up_required")
    problem(await given.client.post("/v1/me/erasure", headers=auth), 401, "step_up_required")


async def test_an_unverified_address_gets_no_notice(given: Given, postbox: Postbox) -> None:
    person = await given.person(email_verified=False)
    given.expect(await erase(given, person))
    assert await postbox.collected(given.world) == []


async def test_an_agreement_of_an_erased_user_still_works_for_others(given: Given, postbox: Postbox) -> None:
    """An erasure changes no product: the next user is shown the agreement and accepts it as before."""
    history = await create_history(given, postbox)
    given.expect(await erase(given, history.person))
    other = await given.logged_in()
    assert (await making.accept(given, other, history.agreement))["result"] == "created"
