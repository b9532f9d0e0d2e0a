"""What an authenticator, a page or a thief may try with a passkey: every cheat is refused, with one answer, and leaves a trace."""

import contextlib
import copy
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import HealthCheck, example, settings
from hypothesis import given as drawn
from hypothesis import strategies as st
from sqlalchemy import select

from app.events.models import Event
from app.login.factors.passkey_challenges import LIFETIME
from app.login.factors.webauthn import InvalidCredential, RelyingParty, challenge_of
from tests.assertions import problem
from tests.authenticator import ORIGIN, RP_ID, UP, UV, Authenticator, b64, unb64
from tests.given import Given, Person
from tests.login.factors.test_factors import listed
from tests.login.factors.test_passkeys import options, stepping_up

Json = dict[str, Any]
LOGIN = "/v1/login/passkey"


pytestmark = pytest.mark.usefixtures("relying_party")


def forged(credential: Json) -> None:
    signature = bytearray(unb64(credential["response"]["signature"]))
    signature[-1] ^= 1
    credential["response"]["signature"] = b64(bytes(signature))


def another_signed_it(credential: Json) -> None:
    response = credential["response"]
    signed = unb64(response["authenticatorData"]) + hashlib.sha256(unb64(response["clientDataJSON"])).digest()
    response["signature"] = b64(ec.generate_private_key(ec.SECP256R1()).sign(signed, ec.ECDSA(hashes.SHA256())))


def nobody_is_named(credential: Json) -> None:
    del credential["response"]["userHandle"]


def somebody_else_is_named(credential: Json) -> None:
    credential["response"]["userHandle"] = b64(bytes(64))


def another_id_is_meant(credential: Json) -> None:
    credential["rawId"] = b64(bytes(32))


def unknown(credential: Json) -> None:
    credential["id"] = credential["rawId"] = b64(bytes(32))


CHANGED = (forged, another_signed_it, nobody_is_named, somebody_else_is_named, another_id_is_meant, unknown)
BUILT: dict[str, tuple[Json, Json]] = {
    "another page's origin": ({"origin": "https://licentia.test.evil.example"}, {}),
    "a page below ours that is not in the list": ({"origin": "https://other.licentia.test"}, {}),
    "another port": ({"origin": f"{ORIGIN}:8443"}, {}),
    "without TLS": ({"origin": ORIGIN.replace("https", "http")}, {}),
    "another relying party": ({"rp_id": "evil.example"}, {}),
    "nobody touched it": ({"flags": UV}, {}),
    "a frame of another origin": ({}, {"crossOrigin": True}),
    "a frame that says whose": ({}, {"topOrigin": "https://evil.example"}),
    "a registration in place of a login": ({}, {"type": "webauthn.create"}),
}  # fmt: skip


async def refused(given: Given, credential: Json, auth: dict[str, str] | None = None) -> None:
    problem(await given.client.post(LOGIN, json={"credential": credential}, headers=auth or {}), 401, "passkey_refused")
    async with given.world.db.query() as tx:
        failures = select(Event.data).where(Event.type == "login.failed")
        noted = list(await tx.scalars(failures))
    assert {it["factor"] for it in noted} <= {"passkey", "hwk"}
    assert noted


@pytest.mark.parametrize("cheat", CHANGED, ids=lambda it: it.__name__)
async def test_an_answer_that_was_tampered_with(given: Given, cheat: Callable[[Json], None]) -> None:
    person = await given.with_passkey()
    credential = person.authenticator.get(await options(given))
    cheat(credential)
    await refused(given, credential)
    assert (await given.by_passkey(person))["session"]["acr"] == "aal2"  # whose passkey it is loses nothing by it


@pytest.mark.parametrize("cheat", BUILT)
async def test_an_answer_that_was_made_for_somebody_else(given: Given, cheat: str) -> None:
    person = await given.with_passkey()
    like, told = BUILT[cheat]
    thief = Authenticator(**like, passkeys=person.authenticator.passkeys)
    await refused(given, thief.get(await options(given), **told))
    handle = await given.begin(person)
    await refused(given, thief.get(await options(given, handle), **told), handle)


@pytest.mark.parametrize(
    ("like", "told"),
    [
        ({"origin": "https://evil.example"}, {}),
        ({"rp_id": "evil.example"}, {}),
        ({"flags": UP}, {}),
        ({"flags": UV}, {}),
        ({}, {"type": "webauthn.get"}),
        ({}, {"crossOrigin": True}),
    ],
)  # fmt: skip
async def test_r33_a_registration_that_cheats_is_refused(given: Given, like: Json, told: Json) -> None:
    """User verification is wanted of the answer, not only asked for in the options."""
    person = await given.logged_in()
    asked = (await given.post("/v1/me/passkeys/options", {}, person.auth))["public_key"]
    body = {"credential": Authenticator(**like).create(asked, **told)}
    problem(await given.client.post("/v1/me/passkeys", json=body, headers=person.auth), 401, "passkey_refused")
    problem(await given.client.post("/v1/me/passkeys", json=body, headers=person.auth), 410, "challenge_spent")
    assert [row["kind"] for row in await listed(given, person)] == ["password"]


async def test_r35_a_credential_is_of_one_user_alone(given: Given) -> None:
    person, other = await given.with_passkey(), await given.logged_in()
    asked = (await given.post("/v1/me/passkeys/options", {}, other.auth))["public_key"]
    body = {"credential": other.authenticator.create(asked, fresh=person.authenticator.passkeys[0].id)}
    problem(await given.client.post("/v1/me/passkeys", json=body, headers=other.auth), 409, "passkey_taken")
    assert (await given.by_passkey(person))["session"]["acr"] == "aal2"


async def test_r29_a_challenge_is_spent_by_a_failure_too(given: Given) -> None:
    person = await given.with_passkey()
    asked = await options(given)
    good, bad = person.authenticator.get(asked), person.authenticator.get(asked)
    forged(bad)
    await refused(given, bad)
    problem(await given.client.post(LOGIN, json={"credential": good}), 410, "challenge_spent")


async def test_r29_a_challenge_is_bound_to_whom_it_was_given_to(given: Given) -> None:
    """Of anybody's login, of one login, of a step-up, of a session that registers: none is good in another's place."""
    person, other = await given.with_passkey(), await given.with_passkey()
    mine, theirs = await given.begin(person), await given.begin(other)
    for_anybody, for_me = await options(given), await options(given, mine)
    for asked, auth in ((for_anybody, mine), (for_me, {}), (for_me, theirs)):
        shown = person.authenticator.get(asked)
        problem(await given.client.post(LOGIN, json={"credential": shown}, headers=auth), 410, "challenge_spent")
    good = person.authenticator.get(for_me)  # nobody else's try has spent it
    given.expect(await given.client.post(LOGIN, json={"credential": good}, headers=mine))
    registering = (await given.post("/v1/me/passkeys/options", {}, (await given.logged_in()).auth))["public_key"]
    body = {"credential": person.authenticator.create(registering)}
    person = await given.logged_in()
    problem(await given.client.post("/v1/me/passkeys", json=body, headers=person.auth), 410, "challenge_spent")


async def test_a_challenge_lives_five_minutes(given: Given) -> None:
    person = await given.with_passkey()
    shown = person.authenticator.get(await options(given))
    given.clock.forward(seconds=LIFETIME.total_seconds())
    problem(await given.client.post(LOGIN, json={"credential": shown}), 410, "challenge_spent")


async def test_another_users_passkey_is_no_second_factor(given: Given) -> None:
    """Nor does it raise another's session, even with the right challenge."""
    person, thief = await given.with_passkey(), await given.with_passkey()
    handle = await given.begin(person)
    asked = await options(given, handle)
    await refused(given, thief.authenticator.get(asked, thief.authenticator.passkeys[0]), handle)
    handle = await stepping_up(given, person, "aal2p")
    shown = thief.authenticator.get(await options(given, handle), thief.authenticator.passkeys[0])
    shown["response"]["userHandle"] = b64(person.authenticator.passkeys[0].handle)
    await refused(given, shown, handle)


async def test_r49_suspended_and_unverified_users_answer_like_unknown_passkeys(given: Given) -> None:
    person = await given.with_passkey()
    for path, body in ((f"/v1/users/{person.id}", {"email_verified": False}), (f"/v1/users/{person.id}/suspend", {})):
        method = "PATCH" if body else "POST"
        given.expect(await given.client.request(method, path, json=body, headers=given.root))
        await refused(given, person.authenticator.get(await options(given)))


async def test_r32_a_counter_that_goes_back_is_a_copy(given: Given) -> None:
    """The passkey is put out of use, by whichever of the two came second; a password alone is not enough all the same."""
    person = await given.with_passkey()
    desk = Person(person.id, person.email, token=person.token)  # where a password was shown
    for _ in range(3):
        await given.by_passkey(person)
    passkey = person.authenticator.passkeys[0]
    passkey.count = 1
    await refused(given, person.authenticator.get(await options(given)))
    assert [row["state"] for row in await listed(given, desk)] == ["suspect", "active"]
    passkey.count = 50
    await refused(given, person.authenticator.get(await options(given)))
    handle = await given.begin(person)
    problem(await given.client.post(f"{LOGIN}/options", headers=handle), 409, "passkey_missing")
    told = await given.post("/v1/login/recovery-code", {"code": person.recovery[0]}, handle)
    person.token = told["access_token"]
    factor = (await listed(given, person))[0]["id"]
    assert (await given.client.delete(f"/v1/me/factors/{factor}", headers=person.auth)).status_code == 204


async def test_r32_the_counter_is_kept_and_judged_as_a_second_factor_too(given: Given) -> None:
    person = await given.with_passkey()
    handle = await given.begin(person)
    asked = await options(given, handle)
    given.expect(await given.client.post(LOGIN, json={"credential": person.authenticator.get(asked)}, headers=handle))
    person.authenticator.passkeys[0].count = 0
    handle = await given.begin(person)
    await refused(given, person.authenticator.get(await options(given, handle)), handle)
    assert (await listed(given, await given.logged_in()))[0]["state"] == "active"
    async with given.world.db.query() as tx:
        kinds = list(await tx.scalars(select(Event.type).where(Event.type == "factor.suspected")))
    assert kinds == ["factor.suspected"]


async def test_five_wrong_ones_end_a_login(given: Given) -> None:
    person = await given.with_passkey()
    handle = await given.begin(person)
    for _ in range(5):
        shown = person.authenticator.get(await options(given, handle))
        forged(shown)
        await refused(given, shown, handle)
    problem(await given.client.post(f"{LOGIN}/options", headers=handle), 401, "login_over")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"credential": {}},
        {"credential": {"id": "a+b", "rawId": "a", "type": "public-key", "response": {}}},
        {"credential": {"id": "a" * 1366, "rawId": "a", "type": "public-key", "response": {}}},
        {"credential": {"id": "a", "rawId": "a", "type": "password", "response": {}}},
    ],
)
async def test_what_is_no_credential_is_malformed(given: Given, body: Json) -> None:
    """And nothing of it comes back in the answer."""
    told = problem(await given.client.post(LOGIN, json=body), 422, "malformed")
    assert "a+b" not in json.dumps(told)


PARTY = RelyingParty(RP_ID, "Licentia", [ORIGIN])
CHALLENGE = bytes(range(32))
ASKED = {"challenge": b64(CHALLENGE), "user": {"id": b64(bytes(64))}}
DEVICE = Authenticator(ed25519=True)
MADE = DEVICE.create(ASKED)
SHOWN = DEVICE.get(ASKED)
FIELDS = [
    (MADE, "attestationObject"),
    (MADE, "clientDataJSON"),
    (SHOWN, "authenticatorData"),
    (SHOWN, "clientDataJSON"),
    (SHOWN, "signature"),
]
KEY = DEVICE.passkeys[0].cose()


def judge(credential: Json) -> None:
    if "attestationObject" in credential["response"]:
        PARTY.verify_registration(credential, CHALLENGE)
    else:
        PARTY.verify_assertion(credential, CHALLENGE, KEY)


def test_the_genuine_ones_pass() -> None:
    judge(MADE)
    judge(SHOWN)
    assert PARTY.verify_registration(MADE, CHALLENGE).public_key == KEY


def changed(octets: bytes, where: int, change: int | bytes) -> bytes:
    """One octet turned into another, or the rest replaced."""
    at = where % len(octets)
    return octets[:at] + (bytes([octets[at] ^ change]) + octets[at + 1 :] if isinstance(change, int) else change)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@drawn(st.sampled_from(FIELDS), st.integers(0, 10_000), st.integers(1, 255) | st.binary(max_size=40))
@example((MADE, "attestationObject"), 0, b"\x9f" * 40)
def test_a_changed_octet_anywhere_is_not_genuine(which: tuple[Json, str], where: int, change: int | bytes) -> None:
    """Nothing that somebody makes up brings anything else about than a refusal. What an authenticator says of itself when it is
    registered nobody vouches for, without attestation: it may pass when it is changed, as whatever it says it is."""
    original, field = which
    octets = unb64(original["response"][field])
    credential = copy.deepcopy(original)
    credential["response"][field] = b64(changed(octets, where, change))
    if unb64(credential["response"][field]) == octets:
        return
    with contextlib.suppress(InvalidCredential) if original is MADE else pytest.raises(InvalidCredential):
        judge(credential)


@drawn(
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
)
def test_client_data_of_any_shape_has_a_challenge_or_none(data: object) -> None:
    with contextlib.suppress(InvalidCredential):
        assert isinstance(challenge_of({"response": {"clientDataJSON": b64(json.dumps(data).encode())}}), bytes)
