"""A client that knows only the API contract: it requests access, performs the `action` at its `href`, and requests again."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyotp

from tests.given import Given, Person

Json = dict[str, Any]
MAX_STEPS = 12


@dataclass
class Walker:
    """A person at a device with a license key or an activation code, and the tokens that the client has so far.

    `hasty`: it acts on the last of several reasons first, and names the product at the login.
    """

    given: Given
    person: Person
    product: str
    key: str
    code: str | None = None
    hasty: bool = False
    request: Json = field(default_factory=dict)
    token: str | None = None
    seat: str | None = None
    done: list[str] = field(default_factory=list)

    @property
    def auth(self) -> dict[str, str]:
        """The end user's token if there is one; else the activation token."""
        bearer = self.token or self.seat
        return {"Authorization": f"Bearer {bearer}"} if bearer else {}

    async def ask(self, **changes: Any) -> Json:
        body = {"product": self.product, **self.request, **changes}
        return await self.given.post("/v1/access", {name: value for name, value in body.items() if value is not None}, self.auth)

    async def walk(self) -> Json:
        """Act on one reason after another until access is allowed, and return that decision."""
        for _ in range(MAX_STEPS):
            decision = await self.ask()
            if decision["allow"]:
                return decision
            assert decision["grant"] is None
            reason = decision["reasons"][-1 if self.hasty else 0]
            await ACTIONS[reason["action"]](self, reason)
            self.done.append(reason["action"])
        raise AssertionError(f"no access after {MAX_STEPS} steps: {self.done}")

    def next_totp(self) -> str:
        """Return the next code of the authenticator; each code works once."""
        self.given.clock.forward(seconds=30)
        assert self.person.secret is not None
        return pyotp.TOTP(self.person.secret).at(self.given.clock.now())

    async def finish(self, response: Json) -> None:
        """Complete a login or a step-up with the first action that each response offers."""
        auth: dict[str, str] = {}
        while response["status"] == "incomplete":
            auth = {"Authorization": f"Login {response['login']['token']}"} if response["login"]["token"] else auth
            step = response["next"][0]["any_of"][0]
            response = await self.login_steps[step["action"]](step["href"], auth)
        self.token = response["access_token"]

    @property
    def login_steps(self) -> Mapping[str, Callable[[str, Json], Awaitable[Json]]]:
        """The method for each step that a login can require."""
        return {
            "verify_totp": self.verify_totp, "enroll_totp": self.set_up_totp,
            "verify_passkey": self.verify_passkey, "enroll_passkey": self.enroll_passkey,
        }  # fmt: skip

    async def verify_totp(self, href: str, auth: Json) -> Json:
        return await self.given.post(href, {"code": self.next_totp()}, auth)

    async def set_up_totp(self, href: str, auth: Json) -> Json:
        self.person.secret = (await self.given.post(href, {}, auth))["secret"]
        return await self.given.post("/v1/login/totp/confirm", {"code": self.next_totp()}, auth)

    async def verify_passkey(self, href: str, auth: Json) -> Json:
        options = await self.given.post(href, {}, auth)
        credential = self.person.authenticator.get(options["public_key"])
        return await self.given.post("/v1/login/passkey", {"credential": credential}, auth)

    async def enroll_passkey(self, href: str, auth: Json) -> Json:
        options = await self.given.post(href, {}, auth)
        credential = self.person.authenticator.create(options["public_key"])
        return await self.given.post("/v1/login/passkey/confirm", {"credential": credential}, auth)


async def log_in(walker: Walker, reason: Json) -> None:
    product = {"product": walker.product} if walker.hasty else {}
    await walker.finish(
        await walker.given.post(reason["href"], {"identifier": walker.person.email, "password": walker.person.password, **product}, {})
    )


async def step_up(walker: Walker, reason: Json) -> None:
    await walker.finish(await walker.given.post(reason["href"], {"acr": reason["acr"]}, walker.auth))


async def enroll_totp(walker: Walker, reason: Json) -> None:
    created = await walker.given.post(reason["href"], {}, walker.auth)
    walker.person.secret = created["secret"]
    await walker.given.post(f"{reason['href']}/{created['id']}/confirm", {"code": walker.next_totp()}, walker.auth)


async def enroll_passkey(walker: Walker, reason: Json) -> None:
    options = await walker.given.post(reason["href"], {}, walker.auth)
    credential = walker.person.authenticator.create(options["public_key"])
    await walker.given.post("/v1/me/passkeys", {"credential": credential}, walker.auth)


async def enter_key(walker: Walker, reason: Json) -> None:
    """Enter the key into the request, or take a seat with the code."""
    if walker.code is None:
        walker.request["license_key"] = walker.key
        return
    user = {"Authorization": f"Bearer {walker.token}"} if walker.token else {}
    walker.request["device"] = {"fingerprint": walker.person.id}
    created = await walker.given.post("/v1/activations", {"activation_code": walker.code, "device": walker.request["device"]}, user)
    walker.seat = created["token"]


async def name_device(walker: Walker, reason: Json) -> None:
    walker.request["device"] = {"fingerprint": walker.person.id}


async def activate(walker: Walker, reason: Json) -> None:
    user = {"Authorization": f"Bearer {walker.token}"} if walker.token else {}
    created = await walker.given.post(reason["href"], {"license_key": walker.key, "device": walker.request["device"]}, user)
    walker.seat = created["token"]


async def accept_agreement(walker: Walker, reason: Json) -> None:
    for document in reason["documents"]:
        presentation = await walker.given.post(document["href"], {"format": "text"}, walker.auth)
        body = {"decision": "accept", "text_sha256": presentation["text"]["sha256"]}
        await walker.given.post(f"/v1/me/presentations/{presentation['id']}/decision", body, walker.auth)


ACTIONS: Mapping[str, Callable[[Walker, Json], Awaitable[None]]] = {
    "log_in": log_in, "step_up": step_up, "enroll_totp": enroll_totp, "enroll_passkey": enroll_passkey, "enter_key": enter_key,
    "name_device": name_device, "activate": activate, "accept_agreement": accept_agreement,
}  # fmt: skip
"""The function for each action that a decision can return."""
