"""One pass through ordinary use that collects every secret, and requests that send each secret in the wrong place."""

import re
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.agreements import making
from tests.given import PASSWORD, Given, Person
from tests.random_keys import SECRETS

TYPO = "wrong horse battery staple"
NEW = "a wholly different staple"
BEARERS = re.compile(r"\b(?:op|act|lgn|rt|vfy|rst|dvc)_[A-Za-z0-9_-]{20,}|\beyJ[A-Za-z0-9_-]{10,}\.")
"""Any token, by its format."""


@dataclass
class Secrets:
    """Secrets by their names; `private` has personal data, which is no secret but does not belong into logs."""

    known: dict[str, str] = field(default_factory=dict)
    private: dict[str, str] = field(default_factory=dict)

    def find_in(self, text: str) -> list[str]:
        """Return the names of the secrets in the text, in any case, with or without their dashes."""
        lowered, bare = text.lower(), text.lower().replace("-", "")
        return [name for name, value in self.known.items() if value.lower() in lowered or value.lower().replace("-", "") in bare]


def get_setting_keys() -> dict[str, str]:
    """Return the keys of the installation in base64, as they are configured."""
    return {name: value.rpartition(":")[2] for name, value in SECRETS.items()}


async def walk_main_line(given: Given) -> Secrets:
    """Use the API from the operator's key to the grant; return the secrets that occurred."""
    secrets = Secrets({**get_setting_keys(), "root": _token(given.root), "operator": _token(await given.operator("*"))})
    agreed = await making.create_in_force(given)
    requires = {"requires": ["activation", "second_factor", "eula"]}
    given.expect(await given.client.patch(f"/v1/products/{agreed['product']}", json=requires, headers=given.root))
    customer = await given.post("/v1/customers", {"name": "Kari Nordmann", "email": "kari.nordmann@example.com"})
    policy = await given.policy({"code": agreed["product"]}, seat_by="device", max_seats=3)
    license_ = await given.license(policy, customer_id=customer["id"])
    secrets.known |= {"license key": license_["key"], "activation code": await given.code(license_)}
    secrets.private = {"customer": "Kari Nordmann", "address": "kari.nordmann@example.com"}
    hook = await given.post("/v1/webhooks", {"url": "https://hooks.example/", "types": ["*"]})
    rotated = await given.post(f"/v1/webhooks/{hook['id']}/rotate-secret")
    secrets.known |= {"webhook secret": rotated["secret"], "earlier webhook secret": hook["secret"]}
    await _seats(given, secrets)
    await _login(given, secrets, agreed)
    return secrets


def _token(headers: dict[str, str]) -> str:
    return headers["Authorization"].removeprefix("Bearer ")


async def _seats(given: Given, secrets: Secrets) -> None:
    """Take one seat by the key and one by the code, each repeated with an Idempotency-Key."""
    key, code = secrets.known["license key"], secrets.known["activation code"]
    for name, body in (("key", {"license_key": key}), ("code", {"activation_code": code})):
        for _ in range(2):
            created = await given.post("/v1/activations", {**body, "device": {"fingerprint": name}}, {"Idempotency-Key": name})
            secrets.known[f"seat by {name}"] = created["token"]


async def _login(given: Given, secrets: Secrets, agreed: dict[str, Any]) -> None:
    """Log in with password and code, accept the agreement, and get a grant."""
    person = await given.with_totp(display_name="Ola Nordmann")
    assert person.secret is not None
    secrets.known |= {"password": PASSWORD, "typo": TYPO, "totp secret": person.secret, "first token": str(person.token)}
    secrets.private |= {"name": "Ola Nordmann", "e-mail": person.email}
    await given.client.post("/v1/login", json={"identifier": person.email, "password": TYPO})
    body = {"identifier": person.email, "password": PASSWORD}
    handle = (await given.post("/v1/login", body, {"Idempotency-Key": "login"}))["login"]["token"]
    secrets.known["login handle"] = handle
    code, auth = given.totp(person), {"Authorization": f"Login {handle}"}
    await given.client.post("/v1/login/totp", json={"code": "000000"}, headers=auth)
    result = await given.post("/v1/login/totp", {"code": code}, auth)
    person.token, person.refresh = result["access_token"], result["refresh_token"]
    secrets.known["access token"] = person.token
    await _tokens(given, secrets, person)
    await _device(given, secrets, person)
    await making.accept(given, person, agreed)
    key = secrets.known["license key"]
    result = await given.access(agreed["product"], person, license_key=key, device={"fingerprint": "key"})
    assert result["allow"], result
    secrets.known["grant"] = result["grant"]


async def _tokens(given: Given, secrets: Secrets, person: Person) -> None:
    """Refresh and introspect tokens, use a recovery code, and change a password."""
    secrets.known |= {"refresh token": str(person.refresh), "recovery code": person.recovery[0], "spare code": person.recovery[1]}
    body = {"refresh_token": person.refresh}
    fresh = await given.post("/v1/token/refresh", body, {"Idempotency-Key": "refresh"})
    await given.post("/v1/introspect", {"token": fresh["refresh_token"]})
    handle = await given.begin(person)
    await given.client.post("/v1/login/recovery-code", json={"code": "0000-0000-0000-0000-0000"}, headers=handle)
    await given.post("/v1/login/recovery-code", {"code": person.recovery[0]}, handle)
    secrets.known |= {"second refresh token": fresh["refresh_token"], "new password": NEW}
    other = await given.logged_in()
    await given.client.post("/v1/me/password", json={"current": TYPO, "new": NEW}, headers=other.auth)
    await given.client.post("/v1/me/password", json={"current": PASSWORD, "new": NEW}, headers=other.auth)


async def _device(given: Given, secrets: Secrets, person: Person) -> None:
    """Approve one device grant, and leave another one pending."""
    grant, idle = [await given.post("/v1/device/code", {"device": {"fingerprint": "tv"}}, {}) for _ in range(2)]
    code = {"user_code": grant["user_code"]}
    given.expect(await given.client.get("/v1/device", params=code, headers=person.auth))
    await given.post("/v1/device/approve", code, person.auth)
    result = await given.post("/v1/device/token", {"device_code": grant["device_code"]}, {"Idempotency-Key": "device"})
    await given.client.post("/v1/device/token", json={"device_code": idle["device_code"]})
    secrets.known |= {"device code": grant["device_code"], "idle device code": idle["device_code"]}
    secrets.known |= {
        "user code": grant["user_code"],
        "device's token": result["access_token"],
        "device's refresh token": result["refresh_token"],
    }


PATHS = ("/v1/licenses/{}", "/v1/products/{}", "/v1/agreement-texts/{}", "/problems/{}", "/nowhere/{}", "/v1/products?limit={}")


async def misplace_secrets(client: httpx.AsyncClient, secrets: Secrets) -> list[httpx.Response]:
    """Send every secret in the wrong place: in paths and queries, as a credential of another kind, in malformed bodies."""
    responses: list[httpx.Response] = []
    for value in secrets.known.values():
        headers = {"Authorization": f"Bearer {value}"}
        responses += [await client.get(path.format(value.replace("/", "_")), headers=headers) for path in PATHS]
        for body in ({"license_key": [value]}, {value: value}, [value], value):
            responses += [await client.post(path, json=body) for path in ("/v1/login", "/v1/activations")]
    return responses
