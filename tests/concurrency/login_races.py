"""Races for codes, tokens and pending logins, against one process or two."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import cycle
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import func, select

from app.events.models import Event
from app.login.models import RefreshToken
from tests.concurrency.seat_races import Clients, count_outcomes, run_at_once
from tests.given import Given, Person

THIRTY, TWENTY, FIFTY = 30, 20, 50
CODES, PASSWORDS = 10, 5
"""Wrong attempts that are checked before the first lock (authentication R40)."""
LOCKED, OVER, WRONG, REFUSED = "429 too_many_attempts", "401 login_over", "401 code_refused", "401 token_invalid"
Header = dict[str, str]


def post(clients: Clients, number: int, path: str, body: dict[str, Any], auth: Header | None = None) -> Awaitable[httpx.Response]:
    return clients[number % len(clients)].post(path, json=body, headers=auth or {})


def next_code(given: Given, person: Person) -> str:
    """Return the code of the next time step: it is accepted, and no step as late was spent before."""
    return given.totp(person, given.clock.now() + timedelta(seconds=30))


async def count_sessions(given: Given, person: Person) -> int:
    response = await given.client.get(f"/v1/users/{person.id}/sessions?limit=100", headers=given.root)
    return len(given.expect(response)["data"])


async def count_checked(given: Given, person: Person, factor: str) -> int:
    """Count the wrong attempts that were checked, from their events."""
    failures = (Event.type == "login.failed", Event.user_id == UUID(person.id), Event.data["factor"].as_string() == factor)
    async with given.world.db.query() as tx:
        statement = select(func.count()).where(*failures, Event.data["reason"].as_string() == "wrong")
        return int(await tx.scalar(statement) or 0)


async def one_totp_code(given: Given, clients: Clients) -> None:
    """Thirty pending logins present the same code (authentication R15)."""
    person = await given.with_totp()
    before, handles = await count_sessions(given, person), [await given.begin(person) for _ in range(THIRTY)]
    code = {"code": next_code(given, person)}
    responses = await run_at_once([post(clients, n, "/v1/login/totp", code, handle) for n, handle in enumerate(handles)])
    assert count_outcomes(responses)["200"] == 1
    assert set(count_outcomes(responses)) <= {"200", WRONG, LOCKED}
    assert await count_sessions(given, person) == before + 1
    await one_recovery_code(given, clients, person, [*handles, await given.begin(person)])


async def one_recovery_code(given: Given, clients: Clients, person: Person, handles: Sequence[Header]) -> None:
    """The logins that are still pending present the same recovery code; it is spent once (authentication R26)."""
    before, code = await count_sessions(given, person), {"code": person.recovery[0]}
    responses = await run_at_once([post(clients, n, "/v1/login/recovery-code", code, handle) for n, handle in enumerate(handles)])
    assert count_outcomes(responses)["200"] == 1
    assert set(count_outcomes(responses)) <= {"200", WRONG, LOCKED, OVER}
    assert count_outcomes(responses)[OVER] == 1
    assert await count_sessions(given, person) == before + 1
    assert await count_recovery_codes(given, person) == len(person.recovery) - 1


async def count_recovery_codes(given: Given, person: Person) -> int:
    return int(given.expect(await given.client.get("/v1/me/recovery-codes", headers=person.auth))["remaining"])


async def one_login(given: Given, clients: Clients) -> None:
    """Two valid proofs for one login complete it once; the other proof is not spent."""
    person = await given.with_totp()
    for turn in range(2):
        handle, before = await given.begin(person), await count_sessions(given, person)
        codes = person.recovery[2 * turn : 2 * turn + 2]
        calls = [post(clients, n, "/v1/login/recovery-code", {"code": code}, handle) for n, code in enumerate(codes)]
        assert count_outcomes(await run_at_once(calls)) == {"200": 1, OVER: 1}
        assert await count_sessions(given, person) == before + 1
        assert await count_recovery_codes(given, person) == len(person.recovery) - turn - 1
    handle, before = await given.begin(person), await count_sessions(given, person)
    codes = [given.totp(person), next_code(given, person)]
    responses = await run_at_once([post(clients, n, "/v1/login/totp", {"code": code}, handle) for n, code in enumerate(codes)])
    assert count_outcomes(responses)["200"] == 1
    assert await count_sessions(given, person) == before + 1


async def wrong_codes(given: Given, clients: Clients) -> None:
    """Of fifty wrong codes over ten logins the first ten are checked; afterwards even the right code is refused (authentication R43)."""
    person = await given.with_totp()
    handles = [await given.begin(person) for _ in range(FIFTY // 5 + 1)]
    calls = [post(clients, n, "/v1/login/totp", {"code": "wrong"}, handles[n % (FIFTY // 5)]) for n in range(FIFTY)]
    assert count_outcomes(await run_at_once(calls)) == {WRONG: CODES, LOCKED: FIFTY - CODES}
    assert await count_checked(given, person, "otp") == CODES
    right = await post(clients, 1, "/v1/login/totp", {"code": next_code(given, person)}, handles[-1])
    assert count_outcomes([right]) == {LOCKED: 1}


async def wrong_codes_of_one_login(given: Given, clients: Clients) -> None:
    """Of fifty wrong codes for one login five are checked, and the login is over (authentication R40)."""
    person = await given.with_totp()
    handle = await given.begin(person)
    responses = await run_at_once([post(clients, n, "/v1/login/totp", {"code": "wrong"}, handle) for n in range(FIFTY)])
    assert count_outcomes(responses) == {WRONG: 5, OVER: FIFTY - 5}
    assert await count_checked(given, person, "otp") == 5
    assert count_outcomes([await post(clients, 1, "/v1/login/totp", {"code": next_code(given, person)}, handle)]) == {OVER: 1}


async def wrong_passwords(given: Given, clients: Clients) -> None:
    """Of fifty wrong passwords five are checked; afterwards even the right one is refused (authentication R43)."""
    person = await given.person()
    body = {"identifier": person.email, "password": "a wholly wrong staple"}
    responses = await run_at_once([post(clients, n, "/v1/login", body) for n in range(FIFTY)])
    assert count_outcomes(responses) == {"401 invalid_credentials": PASSWORDS, LOCKED: FIFTY - PASSWORDS}
    assert await count_checked(given, person, "password") == PASSWORDS
    assert count_outcomes([await post(clients, 1, "/v1/login", {**body, "password": person.password})]) == {LOCKED: 1}


async def one_refresh_token(given: Given, clients: Clients) -> None:
    """Every concurrent exchange gets a token, because responses may be lost.

    One of the tokens is valid; using any other ends the session (authentication R57).
    """
    person = await given.logged_in()
    responses = await run_at_once([exchange(clients, n, str(person.refresh)) for n in range(TWENTY)])
    assert count_outcomes(responses) == {"200": TWENTY}
    children = [response.json()["refresh_token"] for response in responses]
    alive = [child for child in children if (await given.post("/v1/introspect", {"token": child}))["active"]]
    assert len(alive) == await count_unspent(given, person) == 1
    assert (await exchange(clients, 1, alive[0])).status_code == 200
    rest = [exchange(clients, n, child) for n, child in enumerate(children) if child not in alive]
    assert count_outcomes(await run_at_once(rest)) == {REFUSED: TWENTY - 1}
    assert await count_sessions(given, person) == 0


def exchange(clients: Clients, number: int, token: str) -> Awaitable[httpx.Response]:
    return post(clients, number, "/v1/token/refresh", {"refresh_token": token})


async def count_unspent(given: Given, person: Person) -> int:
    """Count the refresh tokens of the person's session that could still be exchanged."""
    session_id = (await given.post("/v1/introspect", {"token": person.token}))["sid"]
    usable = (RefreshToken.session_id == UUID(session_id), RefreshToken.used_at.is_(None), RefreshToken.dropped_at.is_(None))
    async with given.world.db.query() as tx:
        return int(await tx.scalar(select(func.count()).where(*usable)) or 0)


@dataclass
class RefreshLoop:
    """A client that keeps refreshing, each time on the next server, until it is refused."""

    clients: Iterator[httpx.AsyncClient]
    refresh: str
    access: list[str] = field(default_factory=list)
    revocation_sent: bool = False
    revocation_answered: bool = False
    running: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        while True:
            late, client = self.revocation_answered, next(self.clients)
            response = await client.post("/v1/token/refresh", json={"refresh_token": self.refresh})
            if response.status_code != 200:
                assert count_outcomes([response]) == {REFUSED: 1}
                assert self.revocation_sent, "refused before the revocation"
                return
            assert not late, "refreshed after the revocation was answered"
            self.refresh = response.json()["refresh_token"]
            self.access.append(response.json()["access_token"])
            if len(self.access) == 3:
                self.running.set()


async def revoke_during_refresh(given: Given, clients: Clients, *, elsewhere: bool) -> None:
    """Revoke a session that keeps refreshing, from itself or another session; none of its tokens stays valid."""
    person = await given.logged_in()
    loop = RefreshLoop(cycle(clients), str(person.refresh), [str(person.token)])
    path, auth = "/v1/logout", person.auth
    if elsewhere:
        sid = (await given.post("/v1/introspect", {"token": person.token}))["sid"]
        path, auth = f"/v1/me/sessions/{sid}", (await given.logged_in(person)).auth

    async def revoke() -> None:
        await loop.running.wait()
        loop.revocation_sent = True
        response = await clients[-1].request("DELETE" if elsewhere else "POST", path, headers=auth)
        loop.revocation_answered = True
        assert response.status_code == 204, response.text

    await asyncio.gather(loop.run(), revoke())
    assert count_outcomes([await exchange(clients, 0, loop.refresh)]) == {REFUSED: 1}
    bearers = [{"Authorization": f"Bearer {token}"} for token in loop.access]
    responses = await run_at_once([clients[n % len(clients)].get("/v1/me", headers=bearer) for n, bearer in enumerate(bearers)])
    assert count_outcomes(responses) == {REFUSED: len(bearers)}


async def revoke_against_refresh(given: Given, clients: Clients) -> None:
    """Several revocations at a time, so that they meet different moments of a rotation (authentication R58)."""
    await asyncio.gather(*(revoke_during_refresh(given, clients, elsewhere=n % 2 == 0) for n in range(4)))


Race = Callable[[Given, Clients], Awaitable[None]]
RACES: tuple[Race, ...] = (
    one_totp_code,
    one_login,
    wrong_codes,
    wrong_codes_of_one_login,
    wrong_passwords,
    one_refresh_token,
    revoke_against_refresh,
)
