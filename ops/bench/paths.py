"""What is measured: for each path its clients, its requests, and what a good answer says."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, cycle
from time import time  # noqa: TID251  an authenticator app reads the system's clock, not the service's
from typing import Any, TypeVar

import pyotp

from app.login.rules import PERIOD
from ops.bench.crowd import Licensed, Member
from ops.bench.load import Work, request
from ops.bench.seed import Seeded
from ops.bench.stage import Stage
from tests.given import PASSWORD

STRIDE = 7919
"""A prime, so that steps of it visit a whole list in no order that a cache would like."""
LOGINS = 4
"""Clients that log in: a server with two hash slots lets four more wait before it answers Busy."""
PAUSE = 0.005

Item = TypeVar("Item")


@dataclass(frozen=True)
class Path:
    """One line of the table. `work` is called again for each round; what runs as `load` is not measured. `server`: whose CPU."""

    name: str
    clients: int
    server: str
    work: Callable[[], Work]
    load: Callable[[], Work] | None = None

    @property
    def key(self) -> str:
        return f"{self.name} {self.clients}"


@dataclass
class Codes:
    """Logins with a code, at most one for each member and time step: the code of this step, then of the next one."""

    queue: deque[tuple[int, Member]]

    @classmethod
    def of(cls, members: Sequence[Member]) -> "Codes":
        return cls(deque((0, member) for member in members))

    def __iter__(self) -> Iterator[bytes]:
        while (step := max(self.queue[0][0] + 1, current := int(time()) // PERIOD)) <= current + 1:
            member = self.queue.popleft()[1]
            self.queue.append((step, member))
            code = pyotp.TOTP(member.secret).generate_otp(step)
            yield request("POST", "/v1/login", {"identifier": member.email, "password": PASSWORD, "totp": code})


def paths(stage: Stage, seeded: Seeded) -> list[Path]:
    """The paths in the order of a round: floors first, paths without hashing before those with it."""
    bodies = [_access_body(seeded, each.key, each.fingerprint) for each in seeded.checked]
    requests = strided([request("POST", "/v1/licenses/validate", body) for body in bodies])

    def validate(clients: int) -> Callable[[], Work]:
        return lambda: Work(stage.app.port, clients, requests, tells=b'"valid":true')

    return [
        *_floors(stage, seeded),
        Path("validate", 16, "app", validate(16)),
        Path("validate", 64, "app", validate(64)),
        *_people(stage, seeded),
        *_activations(stage, seeded),
        *_logins(stage, seeded, validate(16)),
    ]


def _floors(stage: Stage, seeded: Seeded) -> list[Path]:
    rows = strided([request("GET", f"/row/{each.digest.hex()}") for each in seeded.checked])
    ports = {"floor": stage.floor.port, "ceiling": stage.ceiling.port}

    def path(name: str, clients: int) -> Path:
        return Path(name, clients, name, lambda: Work(ports[name], clients, rows, tells=b'"key_last4":"'))

    return [path(name, clients) for clients in (16, 64) for name in ports]


def _people(stage: Stage, seeded: Seeded) -> list[Path]:
    port = stage.app.port
    grants = cycle([request("POST", "/v1/access", _access_body(seeded, each.key, each.fingerprint), each.token) for each in seeded.holders])
    sessions = cycle([request("GET", "/v1/me", token=each.token) for each in seeded.holders])
    return [
        Path("access", 16, "app", lambda: Work(port, 16, grants, tells=b'"grant":"eyJ')),
        Path("me", 16, "app", lambda: Work(port, 16, sessions, tells=b'"acr":"aal2"')),
    ]


def _access_body(seeded: Seeded, key: str, fingerprint: str) -> dict[str, Any]:
    return {"product": seeded.product, "license_key": key, "device": {"fingerprint": fingerprint}}


def _activations(stage: Stage, seeded: Seeded) -> list[Path]:
    """New seats on many licenses, and on one: a new license in each round, which counts its seats each time."""
    new, turns = count(), cycle(seeded.activated)

    def spread() -> Work:
        return _seats(stage, new, strided(seeded.activated))

    def hot() -> Work:
        return _seats(stage, new, cycle([next(turns)]))

    return [Path("activate, 2000 licenses", 16, "app", spread), Path("activate, one license", 16, "app", hot)]


def _seats(stage: Stage, new: Iterator[int], licenses: Iterator[Licensed]) -> Work:
    bodies = ({"license_key": each.key, "device": {"fingerprint": f"new-{next(new)}"}} for each in licenses)
    return Work(stage.app.port, 16, (request("POST", "/v1/activations", body) for body in bodies), 201, b'"token":"act_')


def _logins(stage: Stage, seeded: Seeded, validate: Callable[[], Work]) -> list[Path]:
    port, codes = stage.app.port, Codes.of(seeded.members)
    password = request("POST", "/v1/login", {"identifier": seeded.plain, "password": PASSWORD})

    def by_password() -> Work:
        return Work(port, LOGINS, cycle([password]), tells=b'"acr":"aal1"')

    def health() -> Work:
        return Work(port, 1, cycle([request("GET", "/healthz")]), tells=b'"ok"', pause=PAUSE)

    return [
        Path("log in, password", LOGINS, "app", by_password),
        Path("log in, with TOTP", LOGINS, "app", lambda: Work(port, LOGINS, iter(codes), tells=b'"acr":"aal2"')),
        Path("healthz during logins", 1, "app", health, by_password),
        Path("validate during logins", 16, "app", validate, by_password),
    ]


def strided(items: Sequence[Item]) -> Iterator[Item]:
    """Yield the items without end, STRIDE apart."""
    return (items[number * STRIDE % len(items)] for number in count())
