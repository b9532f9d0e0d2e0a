"""The real server on loopback for the fuzzer, and a stage for it: credentials of every kind and one of everything there is."""

import asyncio
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pyotp
import pytest

from app.base.clock import Clock
from app.config.settings import Settings
from app.world import World
from tests.agreements import making
from tests.clock import TurnedClock
from tests.conftest import LIMITS
from tests.given import PASSWORD, Given, Person
from tests.house.source import ROOT
from tests.random_keys import SECRETS

TIMEOUT = 30.0
Body = dict[str, Any]
METADATA = (
    {"word": "ø 漢 👩‍🚀", "true": True, "nothing": None, "number": 2**53, "part": 0.1},
    {"large": 1e300},
    {"large": -4.2e16},
    {"large": 2**63},
    {"small": 5e-324, "zero": -0.0},
)
"""Numbers that one of the databases or a reader of JSON may give back as others."""


@dataclass(frozen=True)
class Stage:
    """`credentials`: an Authorization header for each security scheme.

    `known`: values that exist, by the name of a field or parameter; as `name@end` for the calls whose path ends so.
    """

    credentials: Mapping[str, str]
    known: Mapping[str, tuple[Any, ...]]

    def of(self, call: str) -> dict[str, tuple[Any, ...]]:
        """What is known, by name, for this call."""
        special = {
            key.partition("@")[0]: values for key, values in self.known.items() if "@" in key and call.endswith(key.partition("@")[2])
        }
        return {**self.known, **special}


@dataclass
class Service:
    """A running server, its log, and the builders over it."""

    base: str
    log: Path
    given: Given


@asynccontextmanager
async def serving(database_url: str, folder: Path) -> AsyncIterator[Service]:
    """`python -m app serve`, in a process of its own, over a migrated database."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    base = f"http://127.0.0.1:{port}"
    settings = {"VAR": str(folder), "PUBLIC_URL": base, "PORT": str(port), "DATABASE_URL": database_url}
    settings |= {"SMTP_URL": "smtp://127.0.0.1:1?tls=off", "MAIL_FROM": "nobody@licentia.example", "REGISTRATION": "open"}  # nobody listens
    settings |= {"WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8"}  # nobody listens there either
    settings |= {"GUESSES_PER_ADDRESS": "1000000", "GUESSES_PER_KEY": "1000000"}  # a fuzzer guesses all day
    environment = SECRETS | LIMITS | {f"LICENTIA_{name}": value for name, value in settings.items()}
    process = _started(environment, folder / "log")
    world = World.of(Settings.load(environment))
    try:
        async with httpx.AsyncClient(base_url=base, timeout=TIMEOUT) as client:
            if not await _up(client, process):
                pytest.fail(f"the server did not come up; see {folder / 'log'}")
            yield Service(base, folder / "log", await Given.with_root_key(client, world, TurnedClock(Clock().now())))
    finally:
        process.terminate()
        process.wait(TIMEOUT)
        await world.db.close()


def _started(environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as out:
        return subprocess.Popen([sys.executable, "-m", "app", "serve"], cwd=ROOT, env=environment, stdout=out, stderr=out)


async def _up(client: httpx.AsyncClient, process: subprocess.Popen[bytes]) -> bool:
    async with asyncio.timeout(TIMEOUT):
        while process.poll() is None:
            try:
                (await client.get("/readyz")).raise_for_status()
            except httpx.HTTPError:
                await asyncio.sleep(0.05)
            else:
                return True
    return False


async def staged(service: Service) -> Stage:
    """A fresh stage. It stands on the server's own clock, so that the one-time codes in it are good now."""
    given = service.given
    agreed, open_ = await making.create_in_force(given), await making.create_in_force(given)
    license_ = await given.license(await given.policy({"code": agreed["product"]}, seat_by="device", max_seats=5, lease="P1D"))
    given.clock.moment = Clock().now()
    bystander, person = await given.person(), await given.strong()
    given.clock.moment = Clock().now()
    unfinished = await given.with_totp()
    handle = await given.post("/v1/login", {"identifier": unfinished.email, "password": PASSWORD}, {})
    given.clock.moment = Clock().now()
    beginner = await given.with_totp()
    seat = await given.activation(license_)
    credentials = {
        "operator": given.root["Authorization"],
        "end_user": f"Bearer {person.token}",
        "activation": f"Bearer {seat['token']}",
        "login": f"Login {handle['login']['token']}",
    }
    catalog = await _catalog(given, agreed, license_, bystander)
    hooks = await _webhooks(given)
    seats = {"activation_id": (seat["activation"]["id"],), "fingerprint": ("laptop",)}
    return Stage(
        credentials,
        {
            **catalog,
            **seats,
            **hooks,
            **await _agreements(given, person, agreed, open_),
            **await _codes(given, person, unfinished, beginner),
        },
    )


async def _catalog(given: Given, agreed: Body, license_: Body, bystander: Person) -> dict[str, tuple[Any, ...]]:
    customer = await given.post("/v1/customers", {"name": "Ola"})
    key = await given.post("/v1/api-keys", {"name": "some", "scopes": ["catalog:read"]})
    code = await given.post(f"/v1/licenses/{license_['id']}/activation-codes", {"max_uses": 100})
    products = agreed["product"], (await given.product())["code"]
    return {
        "product": products,
        "code@/products/{code}": products,
        "code@/problems/{code}": ("busy",),
        "policy_id": (license_["policy_id"],),
        "customer_id": (customer["id"],),
        "customer": (customer["id"],),
        "license_id": (license_["id"],),
        "license": (license_["id"],),
        "license_key": (license_["key"],),
        "key_last4": (license_["key_last4"],),
        "activation_code": (code["data"][0]["code"],),
        "code_id": (code["data"][0]["id"],),
        "key_id": (key["id"],),
        "user_id": (bystander.id,),
        "user": (bystander.id,),
        "users": ([bystander.id], []),
        "metadata": METADATA,
        "email": (*(f"new-{number}-{bystander.email}" for number in range(4)), bystander.email),
    }


async def _webhooks(given: Given) -> dict[str, tuple[Any, ...]]:
    """Two webhooks for all events; one of them may be deleted."""
    nowhere = {"url": "http://127.0.0.1:1/", "types": ["*"]}
    first, doomed = await given.post("/v1/webhooks", nowhere), await given.post("/v1/webhooks", nowhere)
    delivery = await given.post(f"/v1/webhooks/{first['id']}/test")
    return {
        "webhook_id": (first["id"],),
        "webhook_id@DELETE /v1/webhooks/{webhook_id}": (doomed["id"],),
        "delivery_id": (delivery["id"],),
        "event_id@/v1/events/{event_id}": (delivery["id"],),
        "url": (nowhere["url"],),
        "types": (["license.*"], ["*"]),
        "type@/v1/events": ("license.*", "user.created"),
    }


async def _agreements(given: Given, person: Person, agreed: Body, open_: Body) -> dict[str, tuple[Any, ...]]:
    """A document that is accepted and one that is only shown, and a draft."""
    accepted = await making.accept(given, person, agreed)
    presentation = await making.present(given, person, open_)
    draft = await making.create_version(given, agreed, "en", "nb")
    ready = await making.create_version(given, agreed, "en")
    scheduled = await making.create_published(given, open_, effective_at=making.days_from_now(given, 3))
    doomed = await making.create_version(given, agreed, "en", "nb")
    return {
        "document_id": (agreed["id"], open_["id"]),
        "version_id": (draft["id"], presentation["version"]),
        "version_id@/publish": (ready["id"], presentation["version"]),
        "version_id@/cancel": (scheduled["id"], presentation["version"], draft["id"]),
        "version_id@DELETE /v1/agreement-versions/{version_id}": (doomed["id"], scheduled["id"]),
        "against": (presentation["version"], ready["id"]),
        "region": ("CA-QC", "EU", "NO"),
        "required_locales": ([], ["en"], ["en", "nb"]),
        "version": (presentation["version"],),
        "text_id": (presentation["text"]["id"],),
        "presentation_id": (presentation["id"],),
        "text_sha256": (presentation["text"]["sha256"],),
        "event_id": (accepted["event"],),
        "locale": ("nb", "zh-Hans-CN"),
    }


async def _codes(given: Given, person: Person, unfinished: Person, beginner: Person) -> dict[str, tuple[Any, ...]]:
    """What the authenticators show: of who has begun to log in, of a device that is not confirmed yet, and of who has not begun."""
    pending = await given.post("/v1/me/totp", {}, person.auth)
    fresh = pyotp.TOTP(pending["secret"]).at(Clock().now())
    return {
        "factor_id": (pending["id"],),
        "code": (given.totp(unfinished), fresh),
        "totp": (given.totp(beginner),),
        "identifier": (beginner.email,),
        "password": (PASSWORD,),
        **await _device_codes(given, person),
    }


async def _device_codes(given: Given, person: Person) -> dict[str, tuple[Any, ...]]:
    """One that the end user has opened, one that nobody has, and one that is approved."""
    opened, fresh, good = [await given.post("/v1/device/code", {}, {}) for _ in range(3)]
    for entry in (opened, good):
        given.expect(await given.client.get("/v1/device", params={"user_code": entry["user_code"]}, headers=person.auth))
    await given.post("/v1/device/approve", {"user_code": good["user_code"]}, person.auth)
    return {
        "user_code": (opened["user_code"], fresh["user_code"], good["user_code"]),
        "device_code": (fresh["device_code"], good["device_code"]),
    }
