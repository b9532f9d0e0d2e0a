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
from tests.login.factors.test_factors import list_factors
from tests.login.factors.test_passkeys import begin_step_up, login_options

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
    "a page below ours that is not in the list": ({"origin": "https://other.licentia.test"}, {}),
    "another port": ({"origin": f"{ORIGIN}:8443"}, {}),
    "without TLS": ({"origin": ORIGIN.replace("https", "http")}, {}),
    "another relying party": ({"rp_id": "evil.example"}, {}),
    "nobody touched it": ({"flags": UV}, {}),
    "a frame of another origin": ({}, {"crossOrigin": True}),
    "a frame that says whose": ({}, {"topOrigin": "https://evil.example"}),
    "a registration in place of a login": ({}, {"type": "webauthn.create"}),
}  # fmt: skip


async def expect_refused(given: Given, credential: Json, auth: dict[str, str] | None = None) -> None:
    problem(await given.client.post(LOGIN, json={"credential": credential}, headers=auth or {}), 401, "passkey_refused")
    async with given.world.db.query() as tx:
        failures = select(Event.data).where(Event.type == "login.failed")
        noted = list(await tx.scalars(failures))
    assert {it["factor"] for it in noted} <= {"passkey", "hwk"}
    assert noted


@pytest.mark.parametrize("cheat", TAMPERINGS, ids=lambda it: it.__name__)
async def test_a_tampered_response_is_refused(given: Given, cheat: Callable[[Json], None]) -> None:
    person = await given.with_passkey()
    credential = person.authenticator.get(await login_options(given))
    cheat(credential)
    await expect_refused(given, credential)
    assert (await given.by_passkey(person))["session"]["acr"] == "aal2"  # whose passkey it is loses nothing by it


@pytest.mark.parametrize("cheat", FORGERIES)
async def test_a_response_made_for_another_site_is_refused(given: Given, cheat: str) -> None:
    person = await given.with_passkey()
    like, told = FORGERIES[cheat]
    thief = Authenticator(**like, passkeys=person.authenticator.passkeys)
    await expect_refused(given, thief.get(await login_options(given), **told))
    handle = await given.begin(person)
    await expect_refused(given, thief.get(await login_options(given, handle), **told), handle)


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
async def test_r33_a_forged_registration_is_refused(given: Given, like: Json, told: Json) -> None:
    """User verification is wanted of the answer, not only asked for in the options."""
    person = await given.logged_in()
    asked = (await given.post("/v1/me/passkeys/options", {}, person.auth))["public_key"]
    body = {"credential": Authenticator(**like).create(asked, **told)}
    problem(await given.client.post("/v1/me/passkeys", json=body, headers=person.auth), 401, "passkey_refused")
    problem(await given.client.post("/v1/me/passkeys", json=body, headers=person.auth), 410, "challenge_spent")
    assert [row["kind"] for row in await list_factors(given, person)] == ["password"]


async def test_r35_a_credential_belongs_to_one_user_only(given: Given) -> None:
    person, other = await given.with_passkey(), await given.logged_in()
    asked = (await given.post("/v1/me/passkeys/options", {}, other.auth))["public_key"]
    body = {"credential": other.authenticator.create(asked, fresh=person.authenticator.passkeys[0].id)}
    problem(await given.client.post("/v1/me/passkeys", json=body, headers=other.auth), 409, "passkey_taken")
    assert (await given.by_passkey(person))["session"]["acr"] == "aal2"


async def test_r29_a_failed_attempt_spends_the_challenge(given: Given) -> None:
    person = await given.with_passkey()
    asked = await login_options(given)
    good, bad = person.authenticator.get(asked), person.authenticator.get(asked)
    forge_signature(bad)
    await expect_refused(given, bad)
    problem(await given.client.post(LOGIN, json={"credential": good}), 410, "challenge_spent")


async def test_r29_a_challenge_is_valid_only_for_its_owner(given: Given) -> None:
    """Of anybody's login, of one login, of a step-up, of a session that registers: none is good in another's place."""
    person, other = await given.with_passkey(), await given.with_passkey()
    mine, theirs = await given.begin(person), await given.begin(other)
    for_anybody, for_me = await login_options(given), await login_options(given, mine)
    for asked, auth in ((for_anybody, mine), (for_me, {}), (for_me, theirs)):
        shown = person.authenticator.get(asked)
        problem(await given.client.post(LOGIN, json={"credential": shown}, headers=auth), 410, "challenge_spent")
    good = person.authenticator.get(for_me)  # nobody else's try has spent it
    given.expect(await given.client.post(LOGIN, json={"credential": good}, headers=mine))
    registering = (await given.post("/v1/me/passkeys/options", {}, (await given.logged_in()).auth))["public_key"]
    body = {"credential": person.authenticator.create(registering)}
    person = await given.logged_in()
    problem(await given.client.post("/v1/me/passkeys", json=body, headers=person.auth), 410, "challenge_spent")


async def test_a_challenge_expires_after_five_minutes(given: Given) -> None:
    person = await given.with_passkey()
    shown = person.authenticator.get(await login_options(given))
    given.clock.forward(seconds=LIFETIME.total_seconds())
    problem(await given.client.post(LOGIN, json={"credential": shown}), 410, "challenge_spent")


async def test_the_passkey_of_another_user_is_not_a_second_factor(given: Given) -> None:
    """Nor does it raise another's session, even with the right challenge."""
    person, thief = await given.with_passkey(), await given.with_passkey()
    handle = await given.begin(person)
    asked = await login_options(given, handle)
    await expect_refused(given, thief.authenticator.get(asked, thief.authenticator.passkeys[0]), handle)
    handle = await begin_step_up(given, person, "aal2p")
    shown = thief.authenticator.get(await login_options(given, handle), thief.authenticator.passkeys[0])
    shown["response"]["userHandle"] = b64(person.authenticator.passkeys[0].handle)
    await expect_refused(given, shown, handle)


async def test_r49_passkeys_of_suspended_and_unverified_users_are_refused_like_unknown_ones(given: Given) -> None:
    person = await given.with_passkey()
    for path, body in ((f"/v1/users/{person.id}", {"email_verified": False}), (f"/v1/users/{person.id}/suspend", {})):
        method = "PATCH" if body else "POST"
        given.expect(await given.client.request(method, path, json=body, headers=given.root))
        await expect_refused(given, person.authenticator.get(await login_options(given)))


async def test_r32_a_passkey_whose_counter_goes_back_is_suspended(given: Given) -> None:
    """The passkey is put out of use, by whichever of the two came second; a password alone is not enough all the same."""
    person = await given.with_passkey()
    desk = Person(person.id, person.email, token=person.token)  # where a password was shown
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
    told = await given.post("/v1/login/recovery-code", {"code": person.recovery[0]}, handle)
    person.token = told["access_token"]
    factor = (await list_factors(given, person))[0]["id"]
    assert (await given.client.delete(f"/v1/me/factors/{factor}", headers=person.auth)).status_code == 204


async def test_r32_the_counter_is_checked_for_a_second_factor_too(given: Given) -> None:
    person = await given.with_passkey()
    handle = await given.begin(person)
    asked = await login_options(given, handle)
    given.expect(await given.client.post(LOGIN, json={"credential": person.authenticator.get(asked)}, headers=handle))
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
        shown = person.authenticator.get(await login_options(given, handle))
        forge_signature(shown)
        await expect_refused(given, shown, handle)
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
    """And nothing of it comes back in the answer."""
    told = problem(await given.client.post(LOGIN, json=body), 422, "malformed")
    assert "a+b" not in json.dumps(told)


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


def change_bytes(octets: bytes, where: int, change: int | bytes) -> bytes:
    """One octet turned into another, or the rest replaced."""
    at = where % len(octets)
    return octets[:at] + (bytes([octets[at] ^ change]) + octets[at + 1 :] if isinstance(change, int) else change)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@drawn(st.sampled_from(FIELDS), st.integers(0, 10_000), st.integers(1, 255) | st.binary(max_size=40))
@example((REGISTRATION, "attestationObject"), 0, b"\x9f" * 40)
def test_a_credential_with_any_changed_byte_is_refused(which: tuple[Json, str], where: int, change: int | bytes) -> None:
    """Nothing that somebody makes up brings anything else about than a refusal. What an authenticator says of itself when it is
    registered nobody vouches for, without attestation: it may pass when it is changed, as whatever it says it is."""
    original, field = which
    octets = unb64(original["response"][field])
    credential = copy.deepcopy(original)
    credential["response"][field] = b64(change_bytes(octets, where, change))
    if unb64(credential["response"][field]) == octets:
        return
    with contextlib.suppress(InvalidCredential) if original is REGISTRATION else pytest.raises(InvalidCredential):
        verify(credential)


@drawn(
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
)
def test_client_data_of_any_shape_returns_a_challenge_or_is_refused(data: object) -> None:
    with contextlib.suppress(InvalidCredential):
        assert isinstance(challenge_of({"response": {"clientDataJSON": b64(json.dumps(data).encode())}}), bytes)
