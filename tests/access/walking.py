"""An application that knows no more than the contract: it asks, does what the answer's `action`s say at their `href`s, asks again."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyotp

from tests.given import Given, Person

Told = dict[str, Any]
MOST_STEPS = 12


@dataclass
class Walker:
    """A person at a device, with a license key or an activation code in their pocket, and what the application has by now.

    `hasty`: of several reasons it minds the last one first, and it says at the login what the login is for.
    """

    given: Given
    person: Person
    product: str
    key: str
    code: str | None = None
    hasty: bool = False
    asks: Told = field(default_factory=dict)
    token: str | None = None
    seat: str | None = None
    done: list[str] = field(default_factory=list)

    @property
    def auth(self) -> dict[str, str]:
        """The end user's token wherever there is one; else that of the seat."""
        bearer = self.token or self.seat
        return {"Authorization": f"Bearer {bearer}"} if bearer else {}

    async def ask(self, **more: Any) -> Told:
        body = {"product": self.product, **self.asks, **more}
        return await self.given.post("/v1/access", {name: value for name, value in body.items() if value is not None}, self.auth)

    async def walk(self) -> Told:
        """The allow. Everything before it was a no, and told what to do."""
        for _ in range(MOST_STEPS):
            told = await self.ask()
            if told["allow"]:
                return told
            assert told["grant"] is None
            reason = told["reasons"][-1 if self.hasty else 0]
            await ACTS[reason["action"]](self, reason)
            self.done.append(reason["action"])
        raise AssertionError(f"no end of it: {self.done}")

    def shown(self) -> str:
        """What the authenticator shows next; each code is good once."""
        self.given.clock.forward(seconds=30)
        assert self.person.secret is not None
        return pyotp.TOTP(self.person.secret).at(self.given.clock.now())

    async def finish(self, told: Told) -> None:
        """Go on with a login or a step-up by the first of the actions that each answer offers."""
        auth: dict[str, str] = {}
        while told["status"] == "incomplete":
            auth = {"Authorization": f"Login {told['login']['token']}"} if told["login"]["token"] else auth
            step = told["next"][0]["any_of"][0]
            told = await self.ways[step["action"]](step["href"], auth)
        self.token = told["access_token"]

    @property
    def ways(self) -> Mapping[str, Callable[[str, Told], Awaitable[Told]]]:
        """How each step that a login can want is taken."""
        return {
            "verify_totp": self.verify_totp, "enroll_totp": self.set_totp_up,
            "verify_passkey": self.show_passkey, "enroll_passkey": self.make_passkey,
        }  # fmt: skip

    async def verify_totp(self, href: str, auth: Told) -> Told:
        return await self.given.post(href, {"code": self.shown()}, auth)

    async def set_totp_up(self, href: str, auth: Told) -> Told:
        self.person.secret = (await self.given.post(href, {}, auth))["secret"]
        return await self.given.post("/v1/login/totp/confirm", {"code": self.shown()}, auth)

    async def show_passkey(self, href: str, auth: Told) -> Told:
        asked = await self.given.post(href, {}, auth)
        shown = self.person.authenticator.get(asked["public_key"])
        return await self.given.post("/v1/login/passkey", {"credential": shown}, auth)

    async def make_passkey(self, href: str, auth: Told) -> Told:
        asked = await self.given.post(href, {}, auth)
        made = self.person.authenticator.create(asked["public_key"])
        return await self.given.post("/v1/login/passkey/confirm", {"credential": made}, auth)


async def log_in(it: Walker, reason: Told) -> None:
    meant = {"product": it.product} if it.hasty else {}
    await it.finish(await it.given.post(reason["href"], {"identifier": it.person.email, "password": it.person.password, **meant}, {}))


async def step_up(it: Walker, reason: Told) -> None:
    await it.finish(await it.given.post(reason["href"], {"acr": reason["acr"]}, it.auth))


async def enroll_totp(it: Walker, reason: Told) -> None:
    made = await it.given.post(reason["href"], {}, it.auth)
    it.person.secret = made["secret"]
    await it.given.post(f"{reason['href']}/{made['id']}/confirm", {"code": it.shown()}, it.auth)


async def enroll_passkey(it: Walker, reason: Told) -> None:
    asked = await it.given.post(reason["href"], {}, it.auth)
    credential = it.person.authenticator.create(asked["public_key"])
    await it.given.post("/v1/me/passkeys", {"credential": credential}, it.auth)


async def enter_key(it: Walker, reason: Told) -> None:
    """The person types what they were sold: a key goes into the question, a code takes a seat."""
    if it.code is None:
        it.asks["license_key"] = it.key
        return
    user = {"Authorization": f"Bearer {it.token}"} if it.token else {}
    it.asks["device"] = {"fingerprint": it.person.id}
    made = await it.given.post("/v1/activations", {"activation_code": it.code, "device": it.asks["device"]}, user)
    it.seat = made["token"]


async def name_device(it: Walker, reason: Told) -> None:
    it.asks["device"] = {"fingerprint": it.person.id}


async def activate(it: Walker, reason: Told) -> None:
    user = {"Authorization": f"Bearer {it.token}"} if it.token else {}
    made = await it.given.post(reason["href"], {"license_key": it.key, "device": it.asks["device"]}, user)
    it.seat = made["token"]


async def accept_agreement(it: Walker, reason: Told) -> None:
    for wanted in reason["documents"]:
        shown = await it.given.post(wanted["href"], {"format": "text"}, it.auth)
        word = {"decision": "accept", "text_sha256": shown["text"]["sha256"]}
        await it.given.post(f"/v1/me/presentations/{shown['id']}/decision", word, it.auth)


ACTS: Mapping[str, Callable[[Walker, Told], Awaitable[None]]] = {
    "log_in": log_in, "step_up": step_up, "enroll_totp": enroll_totp, "enroll_passkey": enroll_passkey, "enter_key": enter_key,
    "name_device": name_device, "activate": activate, "accept_agreement": accept_agreement,
}  # fmt: skip
"""How each thing that can be asked of an application is done."""
