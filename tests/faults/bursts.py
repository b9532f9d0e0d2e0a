"""A burst of every kind of guarded write over HTTP, from clients that retry. Afterwards the database must match every
response, and no limit may be exceeded."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import select

from app.agreements.models import AgreementEvent
from app.login.models import RefreshToken, SessionRow
from tests.agreements import making
from tests.concurrency.seat_races import Clients, describe_outcome, get_license, list_code_uses, list_live_activations
from tests.given import Given, Person

PAUSE = 0.4
"""Seconds before another try: a second, as Retry-After asks for, would only be a longer test."""
CALL_TIMEOUT = 300.0
Body = dict[str, Any]


@dataclass(frozen=True)
class Size:
    """The number of calls: more than there are seats, uses of a code, and units of a meter."""

    seats: int = 10
    takers: int = 24
    uses: int = 5
    redeemers: int = 12
    metered: int = 20
    adds: int = 30
    people: int = 3
    terms: int = 2
    refreshes: int = 6

    def times(self, factor: int) -> "Size":
        return Size(**{name: value * factor for name, value in vars(self).items()})

    @property
    def calls(self) -> int:
        return self.takers + self.redeemers + self.adds + self.people * (2 * self.terms + self.refreshes)


@dataclass
class Scene:
    """The rows that the burst needs, created before it over HTTP."""

    size: Size
    seats: Body
    coded: Body
    code: str
    metered: Body
    people: list[Person]
    presentations: list[tuple[Person, Body]]

    @classmethod
    async def made(cls, given: Given, size: Size) -> "Scene":
        coded = await given.seats("unlimited")
        meters = {"calls": {"limit": size.metered, "per": None}}
        people = [await given.logged_in() for _ in range(size.people)]
        terms = [await making.create_in_force(given) for _ in range(size.terms)]
        return cls(
            size,
            await given.seats(size.seats),
            coded,
            await given.code(coded, max_uses=size.uses),
            await given.license(await given.policy(meters=meters)),
            people,
            [(person, await making.present(given, person, agreement)) for person in people for agreement in terms],
        )


@dataclass
class Burst:
    """All calls at once. `outcomes` counts the responses, `granted` has the successful ones by kind of call."""

    clients: Clients
    scene: Scene
    outcomes: Counter[str] = field(default_factory=Counter)
    granted: dict[str, list[Body]] = field(default_factory=dict)
    slowest: float = 0
    """Seconds; also of an answer that was a 503."""
    after: int = 0
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    ended: list[float] = field(default_factory=list)
    """When each call had its last word."""

    async def play(self, disrupt: Callable[[], Awaitable[None]], after: int) -> float:
        """All calls to their ends, `disrupt` in the middle, once so many have ended; when it began (on `perf_counter`)."""
        self.after = after
        calls = asyncio.gather(*self._calls())
        await self.reached.wait()
        started = perf_counter()
        await disrupt()
        await calls
        return started

    def _calls(self) -> list[Awaitable[None]]:
        scene, size = self.scene, self.scene.size
        devices = [{"license_key": scene.seats["key"], "device": {"fingerprint": f"d-{n}"}} for n in range(size.takers)]
        coded = [{"activation_code": scene.code, "device": {"fingerprint": f"c-{n}"}} for n in range(size.redeemers)]
        add = {"license_key": scene.metered["key"], "meter": "calls", "add": 1}
        return mixed(
            [self._call("seat", n, "/v1/activations", body) for n, body in enumerate(devices)],
            [self._call("code", n, "/v1/activations", body) for n, body in enumerate(coded)],
            [self._call("usage", n, "/v1/usage", add, {"Idempotency-Key": f"add-{n}"}) for n in range(size.adds)],
            [self._decide(n // 2, n) for n in range(2 * len(scene.presentations))],
            [self._refresh(person) for person in scene.people],
        )

    async def _decide(self, which: int, number: int) -> None:
        """Each presentation is answered twice at once."""
        person, presentation = self.scene.presentations[which]
        body = {"decision": "accept", "text_sha256": presentation["text"]["sha256"]}
        await self._call(f"accept {which}", number, f"/v1/me/presentations/{presentation['id']}/decision", body, person.auth)

    async def _refresh(self, person: Person) -> None:
        """One after the other, each time with the newest token; a retry has the same `Idempotency-Key`, so that none looks like a thief."""
        for n in range(self.scene.size.refreshes):
            body = {"refresh_token": person.refresh}
            result = await self._call("refresh", n, "/v1/token/refresh", body, {"Idempotency-Key": f"{person.id}-{n}"})
            person.refresh, person.token = result["refresh_token"], result["access_token"]

    async def _call(self, kind: str, number: int, path: str, body: Body, headers: dict[str, str] | None = None) -> Body:
        """Until there is an answer that is not 503, by one server after the other. A refusal by a limit is an answer."""
        until = perf_counter() + CALL_TIMEOUT
        for turn in range(number, 10_000):
            assert perf_counter() < until, f"{kind}: no answer but {self.outcomes}"
            answer = await self._sent(turn, path, body, headers)
            if answer is not None and answer.status_code != 503:
                break
            await asyncio.sleep(PAUSE)
        assert answer is not None
        self.ended.append(perf_counter())
        if len(self.ended) == self.after:
            self.reached.set()
        result: Body = answer.json()
        if answer.is_success:
            self.granted.setdefault(kind, []).append(body | result)
        return result

    async def _sent(self, turn: int, path: str, body: Body, headers: dict[str, str] | None) -> httpx.Response | None:
        start = perf_counter()
        try:
            answer = await self.clients[turn % len(self.clients)].post(path, content=json.dumps(body), headers=headers)
        except httpx.HTTPError:
            self.outcomes["no answer"] += 1
            return None
        finally:
            self.slowest = max(self.slowest, perf_counter() - start)
        self.outcomes[describe_outcome(answer)] += 1
        if answer.status_code == 503:
            assert answer.headers["content-type"] == "application/problem+json"
            assert int(answer.headers["retry-after"]) >= 1
        return answer

    async def check(self, given: Given) -> None:
        """Every answer that was given is in the database, and no limit is exceeded."""
        unexpected = self.outcomes.keys() - EXPECTED
        assert not unexpected, self.outcomes
        await self._seats(given)
        await self._usage(given)
        await self._decisions(given)
        await self._chains(given)

    async def _seats(self, given: Given) -> None:
        scene, size = self.scene, self.scene.size
        for license_, kind, limit in ((scene.seats, "seat", size.seats), (scene.coded, "code", size.uses)):
            fingerprints = {row["fingerprint"] for row in await list_live_activations(given, license_)}
            assert {result["device"]["fingerprint"] for result in self.granted[kind]} == fingerprints
            assert len(fingerprints) == limit
        assert await list_code_uses(given, scene.coded) == [size.uses]

    async def _usage(self, given: Given) -> None:
        """Each key was counted once, whatever became of its first answers."""
        size = self.scene.size
        assert sorted(result["used"] for result in self.granted["usage"]) == list(range(1, size.metered + 1))
        assert (await get_license(given, self.scene.metered))["usage"]["calls"]["used"] == size.metered

    async def _decisions(self, given: Given) -> None:
        """Both answers about a presentation name one event, and it is there, once, in a chain that verifies."""
        events = [{result["event"] for result in self.granted[f"accept {n}"]} for n in range(len(self.scene.presentations))]
        assert {len(each) for each in events} == {1}
        async with given.world.db.read() as tx:
            stored = (await tx.scalars(select(AgreementEvent.id).where(AgreementEvent.user_id.in_(self._people)))).all()
        assert {str(each) for each in stored} == set().union(*events)
        assert given.expect(await given.client.post("/v1/ledger/verify", json={}, headers=given.root))["valid"] is True

    async def _chains(self, given: Given) -> None:
        """Each session has one token that is good, it is the one that was handed out last, and the chain has no fork."""
        for person in self.scene.people:
            assert (await given.client.get("/v1/me", headers=person.auth)).status_code == 200
            assert given.expect(await given.client.post("/v1/token/refresh", json={"refresh_token": person.refresh}))["refresh_token"]
        good = (RefreshToken.used_at.is_(None), RefreshToken.dropped_at.is_(None), SessionRow.user_id.in_(self._people))
        async with given.world.db.read() as tx:
            chains = select(RefreshToken.id).join(SessionRow, SessionRow.id == RefreshToken.session_id).where(*good)
            assert len((await tx.scalars(chains)).all()) == len(self._people)

    @property
    def _people(self) -> list[UUID]:
        return [UUID(person.id) for person in self.scene.people]


EXPECTED = {
    "200", "201", "no answer", "409 seat_limit_reached", "410 activation_code_spent", "409 usage_limit_reached",
    "503 busy", "503 unavailable", "503 outcome_unknown",
}  # fmt: skip


def mixed(*kinds: Sequence[Awaitable[Any]]) -> list[Awaitable[Any]]:
    """All of them, the kinds among each other."""
    placed = [((n + 0.5) / len(calls), call) for calls in kinds for n, call in enumerate(calls)]
    return [call for _, call in sorted(placed, key=lambda pair: pair[0])]
