"""Races for codes, tokens and unfinished logins: the same calls whether the clients reach one process or two."""

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
from tests.concurrency.seat_races import Clients, at_once, told
from tests.given import Given, Person

THIRTY, TWENTY, FIFTY = 30, 20, 50
CODES, PASSWORDS = 10, 5
"""Wrong answers that are looked at before the first lock (authentication R40)."""
LOCKED, OVER, WRONG, REFUSED = "429 too_many_attempts", "401 login_over", "401 code_refused", "401 token_invalid"
Header = dict[str, str]


def post(clients: Clients, number: int, path: str, body: dict[str, Any], auth: Header | None = None) -> Awaitable[httpx.Response]:
    return clients[number % len(clients)].post(path, json=body, headers=auth or {})


def next_code(given: Given, person: Person) -> str:
    """The code of the next step: it fits, and no step as late was ever spent, whether the clock stands or runs."""
    return given.totp(person, given.clock.now() + timedelta(seconds=30))


async def sessions(given: Given, person: Person) -> int:
    shown = await given.client.get(f"/v1/users/{person.id}/sessions?limit=100", headers=given.root)
    return len(given.expect(shown)["data"])


async def looked_at(given: Given, person: Person, factor: str) -> int:
    """How many wrong answers were judged, as the events tell it."""
    wrong = (Event.type == "login.failed", Event.user_id == UUID(person.id), Event.data["factor"].as_string() == factor)
    async with given.world.db.query() as tx:
        counted = select(func.count()).where(*wrong, Event.data["reason"].as_string() == "wrong")
        return int(await tx.scalar(counted) or 0)


async def one_totp_code(given: Given, clients: Clients) -> None:
    """Authentication R15: thirty logins are under way, and one code is shown to all of them."""
    person = await given.with_totp()
    before, handles = await sessions(given, person), [await given.begin(person) for _ in range(THIRTY)]
    code = {"code": next_code(given, person)}
    answers = await at_once([post(clients, n, "/v1/login/totp", code, handle) for n, handle in enumerate(handles)])
    assert told(answers)["200"] == 1
    assert set(told(answers)) <= {"200", WRONG, LOCKED}
    assert await sessions(given, person) == before + 1
    await one_recovery_code(given, clients, person, [*handles, await given.begin(person)])


async def one_recovery_code(given: Given, clients: Clients, person: Person, handles: Sequence[Header]) -> None:
    """Authentication R26: and then one recovery code, by the logins that are still open. It is spent once, and the others are not touched."""
    before, code = await sessions(given, person), {"code": person.recovery[0]}
    answers = await at_once([post(clients, n, "/v1/login/recovery-code", code, handle) for n, handle in enumerate(handles)])
    assert told(answers)["200"] == 1
    assert set(told(answers)) <= {"200", WRONG, LOCKED, OVER}
    assert told(answers)[OVER] == 1
    assert await sessions(given, person) == before + 1
    assert await papers_left(given, person) == len(person.recovery) - 1


async def papers_left(given: Given, person: Person) -> int:
    return int(given.expect(await given.client.get("/v1/me/recovery-codes", headers=person.auth))["remaining"])


async def one_login(given: Given, clients: Clients) -> None:
    """A login is completed once, by whichever of two proofs that both fit; the other proof is not spent on it."""
    person = await given.with_totp()
    for turn in range(2):
        handle, before = await given.begin(person), await sessions(given, person)
        codes = person.recovery[2 * turn : 2 * turn + 2]
        calls = [post(clients, n, "/v1/login/recovery-code", {"code": code}, handle) for n, code in enumerate(codes)]
        assert told(await at_once(calls)) == {"200": 1, OVER: 1}
        assert await sessions(given, person) == before + 1
        assert await papers_left(given, person) == len(person.recovery) - turn - 1
    handle, before = await given.begin(person), await sessions(given, person)
    codes = [given.totp(person), next_code(given, person)]
    answers = await at_once([post(clients, n, "/v1/login/totp", {"code": code}, handle) for n, code in enumerate(codes)])
    assert told(answers)["200"] == 1
    assert await sessions(given, person) == before + 1


async def wrong_codes(given: Given, clients: Clients) -> None:
    """Authentication R43: fifty wrong codes over ten logins. The budget's worth is looked at; after it not even the right code is."""
    person = await given.with_totp()
    handles = [await given.begin(person) for _ in range(FIFTY // 5 + 1)]
    calls = [post(clients, n, "/v1/login/totp", {"code": "wrong"}, handles[n % (FIFTY // 5)]) for n in range(FIFTY)]
    assert told(await at_once(calls)) == {WRONG: CODES, LOCKED: FIFTY - CODES}
    assert await looked_at(given, person, "otp") == CODES
    right = await post(clients, 1, "/v1/login/totp", {"code": next_code(given, person)}, handles[-1])
    assert told([right]) == {LOCKED: 1}


async def wrong_codes_of_one_login(given: Given, clients: Clients) -> None:
    """Authentication R40: fifty wrong codes on one login. Five are looked at, and the login is over, whatever comes then."""
    person = await given.with_totp()
    handle = await given.begin(person)
    answers = await at_once([post(clients, n, "/v1/login/totp", {"code": "wrong"}, handle) for n in range(FIFTY)])
    assert told(answers) == {WRONG: 5, OVER: FIFTY - 5}
    assert await looked_at(given, person, "otp") == 5
    assert told([await post(clients, 1, "/v1/login/totp", {"code": next_code(given, person)}, handle)]) == {OVER: 1}


async def wrong_passwords(given: Given, clients: Clients) -> None:
    """Authentication R43: fifty wrong passwords. The budget's worth is looked at; after it not even the right one is."""
    person = await given.person()
    body = {"identifier": person.email, "password": "a wholly wrong staple"}
    answers = await at_once([post(clients, n, "/v1/login", body) for n in range(FIFTY)])
    assert told(answers) == {"401 invalid_credentials": PASSWORDS, LOCKED: FIFTY - PASSWORDS}
    assert await looked_at(given, person, "password") == PASSWORDS
    assert told([await post(clients, 1, "/v1/login", {**body, "password": person.password})]) == {LOCKED: 1}


async def one_refresh_token(given: Given, clients: Clients) -> None:
    """Authentication R57: everybody gets a child, for an answer may be lost; one of the children lives, and the rest end the session."""
    person = await given.logged_in()
    answers = await at_once([exchange(clients, n, str(person.refresh)) for n in range(TWENTY)])
    assert told(answers) == {"200": TWENTY}
    children = [answer.json()["refresh_token"] for answer in answers]
    alive = [child for child in children if (await given.post("/v1/introspect", {"token": child}))["active"]]
    assert len(alive) == await unspent(given, person) == 1
    assert (await exchange(clients, 1, alive[0])).status_code == 200
    rest = [exchange(clients, n, child) for n, child in enumerate(children) if child not in alive]
    assert told(await at_once(rest)) == {REFUSED: TWENTY - 1}
    assert await sessions(given, person) == 0


def exchange(clients: Clients, number: int, token: str) -> Awaitable[httpx.Response]:
    return post(clients, number, "/v1/token/refresh", {"refresh_token": token})


async def unspent(given: Given, person: Person) -> int:
    """Refresh tokens of the person's session that the chain would still take."""
    session_id = (await given.post("/v1/introspect", {"token": person.token}))["sid"]
    good = (RefreshToken.session_id == UUID(session_id), RefreshToken.used_at.is_(None), RefreshToken.dropped_at.is_(None))
    async with given.world.db.query() as tx:
        return int(await tx.scalar(select(func.count()).where(*good)) or 0)


@dataclass
class Loop:
    """A client that never stops refreshing, each time on the next server, until it is refused."""

    clients: Iterator[httpx.AsyncClient]
    refresh: str
    access: list[str] = field(default_factory=list)
    asked: bool = False
    answered: bool = False
    going: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> None:
        while True:
            late, client = self.answered, next(self.clients)
            answer = await client.post("/v1/token/refresh", json={"refresh_token": self.refresh})
            if answer.status_code != 200:
                assert told([answer]) == {REFUSED: 1}
                assert self.asked, "refused before anybody revoked"
                return
            assert not late, "refreshed after the revoke was answered"
            self.refresh = answer.json()["refresh_token"]
            self.access.append(answer.json()["access_token"])
            if len(self.access) == 3:
                self.going.set()


async def revoked_loop(given: Given, clients: Clients, *, elsewhere: bool) -> None:
    """One session that refreshes without end, ended from within or from another session: nothing it was given lives on."""
    person = await given.logged_in()
    loop = Loop(cycle(clients), str(person.refresh), [str(person.token)])
    path, auth = "/v1/logout", person.auth
    if elsewhere:
        sid = (await given.post("/v1/introspect", {"token": person.token}))["sid"]
        path, auth = f"/v1/me/sessions/{sid}", (await given.logged_in(person)).auth

    async def revoke() -> None:
        await loop.going.wait()
        loop.asked = True
        answer = await clients[-1].request("DELETE" if elsewhere else "POST", path, headers=auth)
        loop.answered = True
        assert answer.status_code == 204, answer.text

    await asyncio.gather(loop.run(), revoke())
    assert told([await exchange(clients, 0, loop.refresh)]) == {REFUSED: 1}
    bearers = [{"Authorization": f"Bearer {token}"} for token in loop.access]
    answers = await at_once([clients[n % len(clients)].get("/v1/me", headers=bearer) for n, bearer in enumerate(bearers)])
    assert told(answers) == {REFUSED: len(bearers)}


async def revoke_against_refresh(given: Given, clients: Clients) -> None:
    """Authentication R58: several at a time, so that the revokes fall on different moments of a rotation."""
    await asyncio.gather(*(revoked_loop(given, clients, elsewhere=n % 2 == 0) for n in range(4)))


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
