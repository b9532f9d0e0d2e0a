"""No repr has a secret: a repr ends up in tracebacks, debuggers and log lines."""

from dataclasses import replace
from uuid import UUID

import pytest

from app.access import service as access
from app.access.facts import AccessRequest
from app.api_keys import service as api_keys
from app.config.settings import Settings
from app.events.service import Actor
from app.licenses.credentials import LicenseCredential
from app.licenses.issuing.details import find_by_key
from app.licenses.issuing.schemas import LicenseIn
from app.licenses.keys import generate_code, generate_key
from app.licenses.seats import activations
from app.licenses.seats import service as seats
from app.licenses.seats.rows import DeviceInfo
from app.licenses.seats.schemas import ActivationIn
from app.login.factors import service as factors
from app.login.fields import SecondFactorCodeIn
from app.login.me_schemas import IntrospectIn, PasswordChangeIn
from app.login.sessions import service as sessions
from app.login.sessions import tokens
from app.login.signing_in import service as login
from app.login.signing_in.pending import LoginChallenge
from app.login.signing_in.schemas import LoginIn, NewPasswordIn, RefreshIn, UserIn
from app.signing_keys.service import load_signer
from app.web.callers import EndUser, Origin, PendingLoginCaller
from app.world import World
from tests.given import PASSWORD, Given
from tests.random_keys import SECRETS
from tests.secrets.walk import get_setting_keys

ORIGIN = Origin(None, None)
SYSTEM = Actor.system()


async def test_the_repr_of_the_world_and_its_settings_has_no_key(world: World) -> None:
    """Not the encryption keys, the lookup key, private signing keys, or the password in the URL of the database."""
    key = (await load_signer(world)).active
    private = str(key.key.as_dict(private=True)["d"])
    address = {"LICENTIA_DATABASE_URL": "postgresql://licentia:hunter2-marker@db.example.com/licentia"}
    settings = Settings.load({**SECRETS, **address})
    text = repr([world, world.keys, world.keys.signing.signer, key, settings, replace(world, settings=settings)])
    for secret in (*get_setting_keys().values(), private, "hunter2-marker"):
        assert secret not in text
    assert all(repr(key_bytes) not in text for key_bytes in (*settings.encryption_ring().values(), settings.lookup_key_bytes()))


async def test_no_object_of_a_login_has_a_token_in_its_repr(given: Given) -> None:
    """Enrolment, pending login, session, and the caller of each."""
    world, person = given.world, await given.logged_in()
    session = await sessions.load_session(world, EndUser(UUID(person.id), await _session_of(given, person.auth)))
    opened = await login.log_in(world, ORIGIN, person.email, PASSWORD, None)
    assert isinstance(opened, tokens.IssuedTokens)
    subject = await sessions.load_subject(world, EndUser(UUID(person.id), opened.id))
    enrolment = await factors.enrol_totp(world, subject, None)
    person.secret = enrolment.secret
    added = await factors.confirm_totp(world, ORIGIN, subject, enrolment.id, given.totp(person))
    assert added.recovery_codes is not None
    unfinished = await login.log_in(world, ORIGIN, person.email, PASSWORD, None)
    assert isinstance(unfinished, LoginChallenge)
    assert unfinished.token
    caller = PendingLoginCaller(unfinished.token)
    for secret in (opened.access_token, opened.refresh_token, enrolment.secret, unfinished.token, PASSWORD, *added.recovery_codes):
        assert secret not in repr([session, opened, subject, enrolment, added, unfinished, caller])


async def _session_of(given: Given, auth: dict[str, str]) -> UUID:
    return UUID(given.expect(await given.client.get("/v1/me", headers=auth))["session"]["id"])


async def test_no_object_of_a_license_has_a_key_in_its_repr(given: Given) -> None:
    """New secrets, the seat with its token, the access request and the signed response."""
    world = given.world
    product = await given.product(requires=["activation"])
    license_ = await given.license(await given.policy(product, seat_by="device", max_seats=3))
    generated = [generate_key(world.entropy, world.keys.lookup, "X"), generate_code(world.entropy, world.keys.lookup)]
    seat = await seats.activate(world, None, None, credential=LicenseCredential(license_["key"]), code=None, device=DeviceInfo("laptop"))
    request = AccessRequest(product["code"], license_["key"], "laptop", [], None, dry_run=False)
    response = await access.decide(world, None, None, None, request)
    license_summary = await find_by_key(world, license_["key"])
    device = await activations.resolve_token(world, seat.token)
    operator = await api_keys.authenticate(world, given.root["Authorization"].removeprefix("Bearer "))
    assert response.grant
    text = repr([generated, seat, request, response, license_summary, device, operator])
    for secret in (*(each.text for each in generated), license_["key"], seat.token, response.grant):
        assert secret not in text


@pytest.mark.parametrize(
    "body",
    [
        LoginIn(identifier="a@example.com", password="hunter2-marker", totp="hunter2-marker"),
        UserIn(email="a@example.com", password="hunter2-marker"),
        UserIn(email="a@example.com", password_hash="hunter2-marker"),
        SecondFactorCodeIn(code="hunter2-marker"),
        RefreshIn(refresh_token="hunter2-marker"),
        NewPasswordIn(new="hunter2-marker"),
        PasswordChangeIn(current="hunter2-marker", new="hunter2-marker"),
        IntrospectIn(token="hunter2-marker"),
        ActivationIn(license_key="hunter2-marker"),
        ActivationIn(activation_code="hunter2-marker"),
        ActivationIn(license_key="hunter2-marker").to_credential(),
        LicenseIn(policy_id=UUID(int=1), key="hunter2-marker"),
    ],
    ids=lambda body: type(body).__name__,
)
def test_the_repr_of_a_body_has_no_secret(body: object) -> None:
    """Bodies are arguments of routes, so every traceback could show them."""
    assert "hunter2" not in repr(body)
    assert "hunter2" not in str(body)
