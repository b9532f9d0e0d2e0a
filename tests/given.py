"""Builders of test data, one for each noun. They call the API, as an operator or an end user does."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from itertools import count
from typing import Any, Protocol, TypeVar

import httpx
import pyotp
from fastapi import FastAPI

from app.api_keys import service as api_keys
from app.world import World
from tests.authenticator import ANDROID, ORIGIN, RP_ID, Authenticator
from tests.clock import TurnedClock

PASSWORD = "correct horse battery staple"
_numbers = count(1)
Result = TypeVar("Result")
Builder = Callable[["Given"], Awaitable[Result]]


@dataclass
class Person:
    """An end user with their password, tokens, recovery codes and authenticator."""

    id: str
    email: str
    password: str = PASSWORD
    secret: str | None = None
    token: str | None = None
    refresh: str | None = None
    recovery: list[str] = field(default_factory=list)
    authenticator: Authenticator = field(default_factory=Authenticator)

    @property
    def auth(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


class States(Protocol):
    """Stores the rows that a builder created, and restores them for later tests (`PreparedWorld` in conftest.py)."""

    async def restore(self, name: str, build: Builder[Result]) -> Result: ...

    async def is_untouched(self) -> bool: ...


@dataclass
class Given:
    """The builders of one test. `root` is the header of an operator with all scopes."""

    client: httpx.AsyncClient
    world: World
    clock: TurnedClock
    root: dict[str, str] = field(default_factory=dict)
    states: States | None = None
    requests: int = 0
    changes: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.started_at = self.clock.moment
        self._starter: asyncio.Task[Any] | None = None
        self._started = asyncio.Event()

    async def start(self, name: str, build: Builder[Result]) -> Result:
        """Return what `build` returns. As the first step of a test, the rows are restored from a copy instead of built again."""
        if self.states is None or self.requests or self.clock.moment != self.started_at:
            await self._wait_for_start()
            return await build(self)
        self.requests, self._starter = 1, asyncio.current_task()
        settings = sha256(repr(sorted(self.changes.items())).encode()).hexdigest()[:8]
        try:
            if await self.states.is_untouched():
                return await self.states.restore(f"{name}_{settings}", build)
            return await build(self)
        finally:
            self._started.set()

    async def _wait_for_start(self) -> None:
        """Wait for the rows of the first builder. Builders that it calls itself do not wait."""
        if self._starter is not None and self._starter is not asyncio.current_task():
            await self._started.wait()

    async def count_request(self, _: httpx.Request) -> None:
        """Event hook of the client: after the first request, rows can no longer be restored from a copy."""
        self.requests += 1

    @classmethod
    async def with_root_key(cls, client: httpx.AsyncClient, world: World, clock: TurnedClock) -> "Given":
        _, key = await api_keys.create_key(world, None, "root", ["*"])
        return cls(client, world, clock, {"Authorization": f"Bearer {key}"})

    async def post(self, path: str, body: dict[str, Any] | None = None, auth: dict[str, str] | None = None) -> dict[str, Any]:
        """POST as the root operator (or as `auth`) and expect success."""
        return self.expect(await self.client.post(path, json=body or {}, headers=self.root if auth is None else auth))

    def configured(self, app: FastAPI, **settings: Any) -> None:
        """Change settings until the end of the test."""
        self.changes |= settings
        self.world = app.state.world = replace(self.world, settings=self.world.settings.model_copy(update=settings))

    def taking_passkeys(self, app: FastAPI) -> None:
        """Enable passkeys until the end of the test."""
        self.configured(app, webauthn_rp_id=RP_ID, webauthn_origins=[ORIGIN, ANDROID])

    async def begin(self, person: Person, **more: Any) -> dict[str, str]:
        """Log in with the password only; return the header of the pending login."""
        body = {"identifier": person.email, "password": person.password, **more}
        response = await self.client.post("/v1/login", json=body)
        assert response.status_code == 202, response.text
        return {"Authorization": f"Login {response.json()['login']['token']}"}

    @staticmethod
    def expect(response: httpx.Response) -> dict[str, Any]:
        """Assert success and return the body."""
        assert response.is_success, f"{response.request.method} {response.request.url.path}: {response.status_code} {response.text}"
        result: dict[str, Any] = response.json() if response.content else {}
        return result

    async def operator(self, *scopes: str) -> dict[str, str]:
        created = await self.post("/v1/api-keys", {"name": "some", "scopes": list(scopes)})
        return {"Authorization": f"Bearer {created['key']}"}

    async def product(self, **more: Any) -> dict[str, Any]:
        return await self.post("/v1/products", {"code": f"product-{next(_numbers)}", "name": "Studio", **more})

    async def policy(self, product: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        product = product or await self.product()
        return await self.post("/v1/policies", {"product": product["code"], "name": "Standard", **more})

    async def license(self, policy: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
        policy = policy or await self.policy()
        return await self.post("/v1/licenses", {"policy_id": policy["id"], **more})

    async def seats(self, limit: int | str = 3, **more: Any) -> dict[str, Any]:
        """Create a license whose policy has this many device seats."""
        return await self.license(await self.policy(seat_by="device", max_seats=limit, **more))

    async def code(self, license_: dict[str, Any], **more: Any) -> str:
        created = await self.post(f"/v1/licenses/{license_['id']}/activation-codes", more)
        return str(created["data"][0]["code"])

    async def activation(self, license_: dict[str, Any], fingerprint: str = "laptop", **more: Any) -> dict[str, Any]:
        body = {"license_key": license_["key"], "device": {"fingerprint": fingerprint, **more}}
        return await self.post("/v1/activations", body, {})

    async def person(self, **more: Any) -> Person:
        """Create an end user with a verified address and a password."""
        email = f"person-{next(_numbers)}@example.com"
        created = await self.post("/v1/users", {"email": email, "password": PASSWORD, "email_verified": True, **more})
        return Person(created["id"], created["email"])

    async def logged_in(self, person: Person | None = None, **more: Any) -> Person:
        """Log in the person (or a new one) with the password, and with a code if they have an authenticator app."""
        if person is None and not more:
            return await self.start("logged_in", lambda given: given._log_in(None))
        return await self._log_in(person, **more)

    async def _log_in(self, person: Person | None, **more: Any) -> Person:
        person = person or await self.person(**more)
        body = {"identifier": person.email, "password": person.password}
        if person.secret is not None:
            body["totp"] = self.totp(person)
        result = await self.post("/v1/login", body, {})
        person.token, person.refresh = result["access_token"], result["refresh_token"]
        return person

    async def with_totp(self, person: Person | None = None, **more: Any) -> Person:
        """Log in the person (or a new one) and confirm an authenticator app. The clock advances one time step."""
        if person is None and not more:
            return await self.start("with_totp", lambda given: given._add_totp(None))
        return await self._add_totp(person, **more)

    async def _add_totp(self, person: Person | None, **more: Any) -> Person:
        person = await self.logged_in(person, **more)
        created = await self.post("/v1/me/totp", {}, person.auth)
        person.secret = created["secret"]
        result = await self.post(f"/v1/me/totp/{created['id']}/confirm", {"code": self.totp(person)}, person.auth)
        person.recovery = result["recovery_codes"] or person.recovery
        self.clock.forward(seconds=30)
        return person

    async def with_passkey(self, person: Person | None = None, **more: Any) -> Person:
        """Add a passkey to the person (or a new one). Their session stays the same."""
        if person is None and not more:
            return await self.start("with_passkey", lambda given: given._add_passkey(None))
        return await self._add_passkey(person, **more)

    async def _add_passkey(self, person: Person | None, **more: Any) -> Person:
        person = person if person is not None and person.token is not None else await self.logged_in(person, **more)
        options = await self.post("/v1/me/passkeys/options", {}, person.auth)
        credential = person.authenticator.create(options["public_key"])
        result = await self.post("/v1/me/passkeys", {"credential": credential}, person.auth)
        person.recovery = result["recovery_codes"] or person.recovery
        return person

    async def by_passkey(self, person: Person, **more: Any) -> dict[str, Any]:
        """Log in with the passkey only; return the body of the response."""
        options = await self.post("/v1/login/passkey/options", more, {})
        result = await self.post("/v1/login/passkey", {"credential": person.authenticator.get(options["public_key"])}, {})
        person.token, person.refresh = result["access_token"], result["refresh_token"]
        return result

    async def strong(self, person: Person | None = None, **more: Any) -> Person:
        """Log in the person (or a new one) with password and code."""
        if person is None and not more:
            return await self.start("strong", lambda given: given._log_in_strongly(None))
        return await self._log_in_strongly(person, **more)

    async def _log_in_strongly(self, person: Person | None, **more: Any) -> Person:
        return await self._log_in(await self.with_totp(person, **more))

    def totp(self, person: Person, at: datetime | None = None) -> str:
        """Return the code that the person's authenticator app shows now, or at another time."""
        assert person.secret is not None
        return pyotp.TOTP(person.secret).at(at or self.clock.now())

    async def access(self, product: str, person: Person | None = None, **more: Any) -> dict[str, Any]:
        """Request the access decision."""
        return await self.post("/v1/access", {"product": product, **more}, person.auth if person else {})
