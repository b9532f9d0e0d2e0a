"""Erasing an end user: one call, repeatable, and what it must and must not take with it (agreements R25, P8)."""

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
from tests.privacy import life
from tests.privacy.life import Life, erase, lived, traces, verifies


async def counted(given: Given, model: Any, *where: Any) -> int:
    async with given.world.db.query() as tx:
        return int(await tx.scalar(select(func.count()).select_from(model).where(*where)) or 0)


async def shown(given: Given, person: Person) -> dict[str, Any]:
    return given.expect(await given.client.get(f"/v1/users/{person.id}", headers=given.root))


async def test_r25_nothing_names_the_person_any_more(given: Given, postbox: Postbox) -> None:
    """Every column of every table, before and after: name, address, IP, the caller's own id."""
    it = await lived(given, postbox)
    before = await traces(given)
    assert {"users", "sessions", "events", "activations", "activation_codes", "agreement_event_contexts"} <= set(before)
    told = given.expect(await erase(given, it.person))
    assert told == {"id": it.person.id, "status": "erased", "legal_hold": False, "contexts_kept": 0}
    assert await traces(given) == {}


async def test_r25_the_secrets_are_gone(given: Given, postbox: Postbox) -> None:
    it = await lived(given, postbox)
    given.expect(await erase(given, it.person))
    for model in (RefreshToken, Login, OneTimeToken, DeviceCode):
        assert await counted(given, model) == 0, model
    live = (Factor.hash.is_not(None)) | Factor.secret_sealed.is_not(None) | Factor.selector.is_not(None) | (Factor.state != "revoked")
    assert await counted(given, Factor, live) == 0
    assert await counted(given, Factor) > 0  # that there were some is known
    assert await counted(given, Activation, Activation.token_sealed != "") == 0
    assert given.expect(await given.client.get(f"/v1/users/{it.person.id}/factors", headers=given.root))["data"] == []


async def test_counters_of_the_account_are_forgotten(given: Given, postbox: Postbox) -> None:
    """A wait is not inherited by whoever gets the address next; only the counters of networks are left."""
    person = await given.person()
    for _ in range(5):
        await given.client.post("/v1/login", json={"identifier": person.email, "password": "wrong, quite wrong"})
    before = await counted(given, AttemptCounter)
    given.expect(await erase(given, person))
    assert await counted(given, AttemptCounter) == before - 1
    again = await given.person(email=person.email)
    assert (await given.logged_in(again)).token


async def test_r25_p8_profile_and_status_are_told(given: Given, postbox: Postbox) -> None:
    it = await lived(given, postbox)
    given.expect(await erase(given, it.person))
    told = await shown(given, it.person)
    assert told["status"] == "erased"
    assert told["email"] == f"{it.person.id}@erased.invalid"
    empty = ("display_name", "locale", "region", "timezone", "external_id")
    assert {name: told[name] for name in empty} == dict.fromkeys(empty)
    assert (told["email_verified"], told["age_band"], told["metadata"]) == (False, "unknown", {})
    listed = given.expect(await given.client.get("/v1/users", params={"email": it.person.email}, headers=given.root))
    assert listed["data"] == []


async def test_r59_everything_of_before_is_refused(given: Given, postbox: Postbox) -> None:
    it = await lived(given, postbox)
    code, refresh, person = given.totp(it.person), {"refresh_token": it.person.refresh}, it.person
    reset = (await postbox.letter(given.world)).token
    given.expect(await erase(given, person))
    post, login = given.client.post, {"identifier": person.email, "password": PASSWORD}
    problem(await given.client.get("/v1/me", headers=person.auth), 401, "token_invalid")
    problem(await post("/v1/token/refresh", json=refresh), 401, "token_invalid")
    problem(await post("/v1/login", json=login), 401, "invalid_credentials")
    problem(await post("/v1/login", json={**login, "identifier": f"{person.id}@erased.invalid"}), 401, "invalid_credentials")
    problem(await post("/v1/login/totp", json={"code": code}, headers=it.handle), 401, "login_over")
    problem(await post("/v1/password/reset", json={"token": reset, "new_password": PASSWORD}), 410, "one_time_token_spent")
    body = {"decision": "accept", "text_sha256": it.presentation["text"]["sha256"]}
    path = f"/v1/me/presentations/{it.presentation['id']}/decision"
    problem(await post(path, json=body, headers=person.auth), 401, "token_invalid")
    problem(await post("/v1/activations", json={"activation_code": it.code, "device": {"fingerprint": "new"}}), 401, "login_required")
    seat = {"Authorization": f"Bearer {it.seat['token']}"}
    problem(await post(f"/v1/activations/{it.seat['activation']['id']}/heartbeat", headers=seat), 401, "token_invalid")
    decided = given.expect(await post("/v1/access", json={"product": it.agreed["product"]}, headers=person.auth))
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
    """Not restored, not suspended, not renamed, not assigned."""
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
    assert (await shown(given, person))["display_name"] is None


async def test_r79_no_code_is_mailed_to_an_erased_user(given: Given, postbox: Postbox) -> None:
    person = await given.person()
    given.expect(await erase(given, person))
    await postbox.collected(given.world)
    answer = await given.client.post(f"/v1/users/{person.id}/login-code", headers=given.root)
    assert problem(answer, 409, "login_code_impossible")["because"] == "erased"
    given.expect(await given.client.post(f"/v1/users/{person.id}/reset-factors", headers=given.root))
    given.expect(await given.client.post("/v1/password/forgot", json={"identifier": f"{person.id}@erased.invalid"}))
    assert await postbox.collected(given.world) == []


async def test_the_address_is_free_again(given: Given, postbox: Postbox) -> None:
    it = await lived(given, postbox)
    given.expect(await erase(given, it.person))
    again = await given.person(email=it.person.email, external_id="crm-77")
    assert again.id != it.person.id
    await given.logged_in(again)
    told = given.expect(await given.client.get("/v1/me/receipts", headers=again.auth))
    assert told["data"] == []
    assert given.expect(await given.client.get("/v1/me/licenses", headers=again.auth))["data"] == []


async def test_r25_events_receipts_and_chain_stay_and_verify(given: Given, postbox: Postbox) -> None:
    it = await lived(given, postbox)
    given.expect(await erase(given, it.person))
    async with given.world.db.query() as tx:
        (row,) = (await tx.execute(select(AgreementEvent.seq, AgreementEvent.receipt, AgreementEvent.user_id))).all()
    assert (row.seq, row.receipt, row.user_id) == (1, it.receipt, UUID(it.person.id))
    await verifies(given, it)
    assert await counted(given, AgreementEventContext) == 0
    assert await counted(given, AgreementPresentation) == 1  # the one that the event rests on


async def test_r25_a_legal_hold_keeps_the_contexts_until_it_is_lifted(given: Given, postbox: Postbox) -> None:
    it = await lived(given, postbox)
    await life.hold(given, it.person, held=True)
    told = given.expect(await erase(given, it.person))
    assert (told["legal_hold"], told["contexts_kept"]) == (True, 1)
    assert set(await traces(given)) == {"agreement_event_contexts", "agreement_presentations"}
    await life.hold(given, it.person, held=False)
    told = given.expect(await erase(given, it.person))
    assert (told["legal_hold"], told["contexts_kept"]) == (False, 0)
    assert await traces(given) == {}
    await verifies(given, it)


async def test_p8_it_may_be_called_again(given: Given, postbox: Postbox) -> None:
    it = await lived(given, postbox)
    first, again = given.expect(await erase(given, it.person)), given.expect(await erase(given, it.person))
    assert first == again
    assert await counted(given, Event, Event.type == "user.erased") == 1
    letters = await postbox.collected(given.world)
    assert [letter.message["Subject"] for letter in letters] == ["Kontoen din hos Licentia er slettet"]


async def test_the_last_letter_goes_to_the_address_and_then_nothing_of_it_is_left(given: Given, postbox: Postbox) -> None:
    it = await lived(given, postbox)
    given.expect(await erase(given, it.person))
    sealed = (Message.recipient_sealed.is_not(None)) | Message.facts_sealed.is_not(None)
    assert await counted(given, Message, sealed) == 1
    (letter,) = await postbox.collected(given.world)
    assert letter.to == [it.person.email]
    assert await counted(given, Message, sealed) == 0


async def test_the_last_letter_does_not_wait_for_ever(given: Given, postbox: Postbox) -> None:
    it = await lived(given, postbox)
    given.expect(await erase(given, it.person))
    given.clock.forward(hours=24)
    assert await postbox.collected(given.world) == []
    assert await counted(given, Message, Message.recipient_sealed.is_not(None)) == 0


async def test_seats_come_free_and_their_history_keeps_the_id(given: Given, postbox: Postbox) -> None:
    it = await lived(given, postbox)
    given.expect(await erase(given, it.person))
    told = given.expect(await given.client.get(f"/v1/licenses/{it.license['id']}", headers=given.root))
    assert (told["seats"]["used"], told["users"]) == (0, [])
    path = f"/v1/licenses/{it.license['id']}/activations?live=false"
    (seat,) = given.expect(await given.client.get(path, headers=given.root))["data"]
    assert (seat["user_id"], seat["release_reason"], seat["name"]) == (it.person.id, "user_erased", None)
    listed = given.expect(await given.client.get("/v1/activations?fingerprint=kari-laptop", headers=given.root))
    assert listed["data"] == []


async def test_the_history_tells_who_erased_and_names_nobody(given: Given, postbox: Postbox) -> None:
    it = await lived(given, postbox)
    given.expect(await erase(given, it.person))
    async with given.world.db.query() as tx:
        mine = select(Event.type, Event.actor_type, Event.data).where(Event.user_id == UUID(it.person.id)).order_by(Event.id)
        rows = (await tx.execute(mine)).all()
    assert (rows[-1].type, rows[-1].actor_type) == ("user.erased", "operator")
    failed = [row.data for row in rows if row.type == "login.failed"]
    assert failed == [{"factor": "password", "reason": "wrong"}]


async def test_only_who_may_write_users_erases(given: Given) -> None:
    person = await given.logged_in()
    path = f"/v1/users/{person.id}/erase"
    problem(await given.client.post(path, headers=await given.operator("users:read")), 403, "scope_missing")
    problem(await given.client.post(path, headers=person.auth), 403, "operator_key_required")
    problem(await given.client.post(f"/v1/users/{given.world.entropy.identifier()}/erase", headers=given.root), 404, "user_not_found")
    problem(await given.client.delete("/v1/me", headers=given.root), 403, "subject_token_required")


@pytest.mark.parametrize(("method", "path"), [("DELETE", "/v1/me"), ("POST", "/v1/me/erasure")])
async def test_r25_an_account_is_its_owners_to_end(given: Given, postbox: Postbox, method: str, path: str) -> None:
    person = await given.logged_in()
    answer = await given.client.request(method, path, headers=person.auth)
    assert given.expect(answer)["id"] == person.id
    problem(await given.client.request(method, path, headers=person.auth), 401, "token_invalid")
    assert (await shown(given, person))["status"] == "erased"
    assert (await postbox.letter(given.world)).to == [person.email]


@pytest.mark.parametrize(("method", "path"), [("DELETE", "/v1/me"), ("POST", "/v1/me/erasure")])
async def test_r21_the_owner_shows_who_they_are_first(given: Given, method: str, path: str) -> None:
    """A password of more than five minutes ago will not do; nor a password alone where there is a second factor."""
    plain = await given.logged_in()
    given.clock.forward(minutes=5, milliseconds=1)
    told = problem(await given.client.request(method, path, headers=plain.auth), 401, "step_up_required")
    assert told["acr_values"] == "aal1"
    guarded = await given.with_totp()
    told = problem(await given.client.request(method, path, headers=guarded.auth), 401, "step_up_required")
    assert told["acr_values"] == "aal2"
    await given.logged_in(guarded)
    given.expect(await given.client.request(method, path, headers=guarded.auth))
    assert (await shown(given, plain))["status"] == "active"


async def test_r28_a_recovery_code_alone_ends_no_account(given: Given) -> None:
    person = await given.with_totp()
    handle = await given.begin(person)
    told = await given.post("/v1/login/recovery-code", {"code": person.recovery[0]}, handle)
    auth = {"Authorization": f"Bearer {told['access_token']}"}
    problem(await given.client.delete("/v1/me", headers=auth), 401, "step_up_required")
    problem(await given.client.post("/v1/me/erasure", headers=auth), 401, "step_up_required")


async def test_without_mail_and_without_a_proven_address_there_is_no_letter(given: Given, postbox: Postbox) -> None:
    person = await given.person(email_verified=False)
    given.expect(await erase(given, person))
    assert await postbox.collected(given.world) == []


async def test_an_erased_users_document_still_asks_others(given: Given, postbox: Postbox) -> None:
    """Nothing of the products is touched: the next user is shown and accepts as before."""
    it: Life = await lived(given, postbox)
    given.expect(await erase(given, it.person))
    other = await given.logged_in()
    assert (await making.accept(given, other, it.agreed))["result"] == "created"
