"""Attacks on passkeys by an authenticator, a page or a thief: each is refused with the same response and recorded."""

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
from hypothesis import given as examples
from hypothesis import strategies as st
from sqlalchemy import select

from app.events.models import Event
from app.login.factors.passkey_challenges import LIFETIME
from app.login.factors.webauthn import InvalidCredential, RelyingParty, read_challenge
from tests.assertions import problem
from tests.authenticator import ORIGIN, RP_ID, UP, UV, Authenticator, b64, unb64
from tests.given import Given, Person
from tests.login.factors.steps import begin_step_up, list_factors, login_options

Json = dict[str, Any]
LOGIN = "/v1/login/passkey"
pytestmark = pytest.mark.usefixtures("relying_party")


def forge_signature(credential: Json) -> None:
    signature = bytearray(unb64(credential["response"]["signature"]))
    signature[-1] ^= 1
    credential["response"]["signature"] = b64(bytes(signature))


def sign_with_another_key(credential: Json) -> None:
    response = credential["response"]
    signed = unb64(response["authenticatorData"]) + hashlib.sha256(unb64(response["clientDataJSON"])).digest()
    response["signature"] = b64(ec.generate_private_key(ec.SECP256R1()).sign(signed, ec.ECDSA(hashes.SHA256())))


def remove_user_handle(credential: Json) -> None:
    del credential["response"]["userHandle"]


def replace_user_handle(credential: Json) -> None:
    credential["response"]["userHandle"] = b64(bytes(64))


def replace_raw_id(credential: Json) -> None:
    credential["rawId"] = b64(bytes(32))


def replace_id(credential: Json) -> None:
    credential["id"] = credential["rawId"] = b64(bytes(32))


TAMPERINGS = (forge_signature, sign_with_another_key, remove_user_handle, replace_user_handle, replace_raw_id, replace_id)
FORGERIES: dict[str, tuple[Json, Json]] = {
    "another page's origin": ({"origin": "https://licentia.test.evil.example"}, {}),
    "a subdomain that is not in the list": ({"origin": "https://other.licentia.test"}, {}),
    "another port": ({"origin": f"{ORIGIN}:8443"}, {}),
    "without TLS": ({"origin": ORIGIN.replace("https", "http")}, {}),
    "another relying party": ({"rp_id": "evil.example"}, {}),
    "the user was not present": ({"flags": UV}, {}),
    "a frame of another origin": ({}, {"crossOrigin": True}),
    "a frame with its top origin": ({}, {"topOrigin": "https://evil.example"}),
    "a registration instead of a login": ({}, {"type": "webauthn.create"}),
}  # fmt: skip


async def expect_refused(given: Given, credential: Json, auth: dict[str, str] | None = None) -> None:
    problem(await given.client.post(LOGIN, json={"credential": credential}, headers=auth or {}), 401, "passkey_refused")
    async with given.world.db.query() as tx:
        failures = select(Event.data).where(Event.type == "login.failed")
        recorded = list(await tx.scalars(failures))
    assert {data["factor"] for data in recorded} <= {"passkey", "hwk"}
    assert recorded


@pytest.mark.parametrize("tamper", TAMPERINGS, ids=lambda tampering: tampering.__name__)
async def test_a_tampered_response_is_refused(given: Given, tamper: Callable[[Json], None]) -> None:
    person = await given.with_passkey()
    credential = person.authenticator.get(await login_options(given))
    tamper(credential)
    await expect_refused(given, credential)
    assert (await given.by_passkey(person))["session"]["acr"] == "aal2"  # the owner can still log in


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_a_response_made_for_another_site_is_refused(given: Given, forgery: str) -> None:
    person = await given.with_passkey()
    authenticator, client_data = FORGERIES[forgery]
    thief = Authenticator(**authenticator, passkeys=person.authenticator.passkeys)
    await expect_refused(given, thief.get(await login_options(given), **client_data))
    handle = await given.begin(person)
    await expect_refused(given, thief.get(await login_options(given, handle), **client_data), handle)


@pytest.mark.parametrize(
    ("authenticator", "client_data"),
    [
        ({"origin": "https://evil.example"}, {}),
        ({"rp_id": "evil.example"}, {}),
        ({"flags": UP}, {}),
        ({"flags": UV}, {}),
        ({}, {"type": "webauthn.get"}),
        ({}, {"crossOrigin": True}),
    ],
)  # fmt: skip
async def test_r33_a_forged_registration_is_refused(given: Given, authenticator: Json, client_data: Json) -> None:
    """User verification is checked in the response, not only requested in the options."""
    person = await given.logged_in()
    options = (await given.post("/v1/me/passkeys/options", {}, person.auth))["public_key"]
    body = {"credential": Authenticator(**authenticator).create(options, **client_data)}
    problem(await given.client.post("/v1/me/passkeys", json=body, headers=person.auth), 401, "passkey_refused")
    problem(await given.client.post("/v1/me/passkeys", json=body, headers=person.auth), 410, "challenge_spent")
    assert [row["kind"] for row in await list_factors(given, person)] == ["password"]


async def test_r35_a_credential_belongs_to_one_user_only(given: Given) -> None:
    person, other = await given.with_passkey(), await given.logged_in()
    options = (await given.post("/v1/me/passkeys/options", {}, other.auth))["public_key"]
    body = {"credential": other.authenticator.create(options, fresh=person.authenticator.passkeys[0].id)}
    problem(await given.client.post("/v1/me/passkeys", json=body, headers=other.auth), 409, "passkey_taken")
    assert (await given.by_passkey(person))["session"]["acr"] == "aal2"


async def test_r29_a_failed_attempt_spends_the_challenge(given: Given) -> None:
    person = await given.with_passkey()
    options = await login_options(given)
    good, bad = person.authenticator.get(options), person.authenticator.get(options)
    forge_signature(bad)
    await expect_refused(given, bad)
    problem(await given.client.post(LOGIN, json={"credential": good}), 410, "challenge_spent")


async def test_r29_a_challenge_is_valid_only_for_its_owner(given: Given) -> None:
    """A challenge for any user, for one pending login or for a registering session is refused anywhere else."""
    person, other = await given.with_passkey(), await given.with_passkey()
    own_handle, other_handle = await given.begin(person), await given.begin(other)
    for_anybody, for_me = await login_options(given), await login_options(given, own_handle)
    for options, auth in ((for_anybody, own_handle), (for_me, {}), (for_me, other_handle)):
        assertion = person.authenticator.get(options)
        problem(await given.client.post(LOGIN, json={"credential": assertion}, headers=auth), 410, "challenge_spent")
    good = person.authenticator.get(for_me)  # the attempts of others have not spent it
    given.expect(await given.client.post(LOGIN, json={"credential": good}, headers=own_handle))
    registering = (await given.post("/v1/me/passkeys/options", {}, (await given.logged_in()).auth))["public_key"]
    body = {"credential": person.authenticator.create(registering)}
    person = await given.logged_in()
    problem(await given.client.post("/v1/me/passkeys", json=body, headers=person.auth), 410, "challenge_spent")


async def test_a_challenge_expires_after_five_minutes(given: Given) -> None:
    person = await given.with_passkey()
    assertion = person.authenticator.get(await login_options(given))
    given.clock.forward(seconds=LIFETIME.total_seconds())
    problem(await given.client.post(LOGIN, json={"credential": assertion}), 410, "challenge_spent")


async def test_the_passkey_of_another_user_is_not_a_second_factor(given: Given) -> None:
    """It cannot step up another user's session either, even with the right challenge."""
    person, thief = await given.with_passkey(), await given.with_passkey()
    handle = await given.begin(person)
    options = await login_options(given, handle)
    await expect_refused(given, thief.authenticator.get(options, thief.authenticator.passkeys[0]), handle)
    handle = await begin_step_up(given, person, "aal2p")
    assertion = thief.authenticator.get(await login_options(given, handle), thief.authenticator.passkeys[0])
    assertion["response"]["userHandle"] = b64(person.authenticator.passkeys[0].handle)
    await expect_refused(given, assertion, handle)


async def test_r49_passkeys_of_suspended_and_unverified_users_are_refused_like_unknown_ones(given: Given) -> None:
    person = await given.with_passkey()
    for path, body in ((f"/v1/users/{person.id}", {"email_verified": False}), (f"/v1/users/{person.id}/suspend", {})):
        method = "PATCH" if body else "POST"
        given.expect(await given.client.request(method, path, json=body, headers=given.root))
        await expect_refused(given, person.authenticator.get(await login_options(given)))


async def test_r32_a_passkey_whose_counter_goes_back_is_suspended(given: Given) -> None:
    """The passkey is suspended, and the account still requires a second factor after the password."""
    person = await given.with_passkey()
    desk = Person(person.id, person.email, token=person.token)  # a session opened with a password
    for _ in range(3):
        await given.by_passkey(person)
    passkey = person.authenticator.passkeys[0]
    passkey.count = 1
    await expect_refused(given, person.authenticator.get(await login_options(given)))
    assert [row["state"] for row in await list_factors(given, desk)] == ["suspect", "active"]
    passkey.count = 50
    await expect_refused(given, person.authenticator.get(await login_options(given)))
    handle = await given.begin(person)
    problem(await given.client.post(f"{LOGIN}/options", headers=handle), 409, "passkey_missing")
    result = await given.post("/v1/login/recovery-code", {"code": person.recovery[0]}, handle)
    person.token = result["access_token"]
    factor = (await list_factors(given, person))[0]["id"]
    assert (await given.client.delete(f"/v1/me/factors/{factor}", headers=person.auth)).status_code == 204


async def test_r32_the_counter_is_checked_for_a_second_factor_too(given: Given) -> None:
    person = await given.with_passkey()
    handle = await given.begin(person)
    options = await login_options(given, handle)
    given.expect(await given.client.post(LOGIN, json={"credential": person.authenticator.get(options)}, headers=handle))
    person.authenticator.passkeys[0].count = 0
    handle = await given.begin(person)
    await expect_refused(given, person.authenticator.get(await login_options(given, handle)), handle)
    assert (await list_factors(given, await given.logged_in()))[0]["state"] == "active"
    async with given.world.db.query() as tx:
        kinds = list(await tx.scalars(select(Event.type).where(Event.type == "factor.suspected")))
    assert kinds == ["factor.suspected"]


async def test_five_refused_passkeys_end_a_login(given: Given) -> None:
    person = await given.with_passkey()
    handle = await given.begin(person)
    for _ in range(5):
        assertion = person.authenticator.get(await login_options(given, handle))
        forge_signature(assertion)
        await expect_refused(given, assertion, handle)
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
async def test_a_body_without_a_valid_credential_is_malformed(given: Given, body: Json) -> None:
    """The response contains nothing of the credential."""
    error = problem(await given.client.post(LOGIN, json=body), 422, "malformed")
    assert "a+b" not in json.dumps(error)


PARTY = RelyingParty(RP_ID, "Licentia", [ORIGIN])
CHALLENGE = bytes(range(32))
OPTIONS = {"challenge": b64(CHALLENGE), "user": {"id": b64(bytes(64))}}
DEVICE = Authenticator(ed25519=True)
REGISTRATION = DEVICE.create(OPTIONS)
ASSERTION = DEVICE.get(OPTIONS)
FIELDS = [
    (REGISTRATION, "attestationObject"),
    (REGISTRATION, "clientDataJSON"),
    (ASSERTION, "authenticatorData"),
    (ASSERTION, "clientDataJSON"),
    (ASSERTION, "signature"),
]
KEY = DEVICE.passkeys[0].cose()


def verify(credential: Json) -> None:
    if "attestationObject" in credential["response"]:
        PARTY.verify_registration(credential, CHALLENGE)
    else:
        PARTY.verify_assertion(credential, CHALLENGE, KEY)


def test_genuine_credentials_pass() -> None:
    verify(REGISTRATION)
    verify(ASSERTION)
    assert PARTY.verify_registration(REGISTRATION, CHALLENGE).public_key == KEY


def change_bytes(data: bytes, where: int, change: int | bytes) -> bytes:
    """Change one byte, or replace the rest."""
    at = where % len(data)
    return data[:at] + (bytes([data[at] ^ change]) + data[at + 1 :] if isinstance(change, int) else change)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@examples(st.sampled_from(FIELDS), st.integers(0, 10_000), st.integers(1, 255) | st.binary(max_size=40))
@example((REGISTRATION, "attestationObject"), 0, b"\x9f" * 40)
def test_a_credential_with_any_changed_byte_is_refused(part: tuple[Json, str], where: int, change: int | bytes) -> None:
    """A changed credential raises nothing but InvalidCredential. Without attestation, an authenticator's statements about itself are not
    verified, so a changed registration may also pass."""
    original, field = part
    original_bytes = unb64(original["response"][field])
    credential = copy.deepcopy(original)
    credential["response"][field] = b64(change_bytes(original_bytes, where, change))
    if unb64(credential["response"][field]) == original_bytes:
        return
    with contextlib.suppress(InvalidCredential) if original is REGISTRATION else pytest.raises(InvalidCredential):
        verify(credential)


@examples(
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
)
def test_client_data_of_any_shape_returns_a_challenge_or_is_refused(data: object) -> None:
    with contextlib.suppress(InvalidCredential):
        assert isinstance(read_challenge({"response": {"clientDataJSON": b64(json.dumps(data).encode())}}), bytes)
