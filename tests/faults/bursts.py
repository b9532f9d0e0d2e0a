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
"""Seconds before another try. Retry-After asks for a second; a shorter pause makes the test shorter."""
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
    async def create(cls, given: Given, size: Size) -> "Scene":
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
    """Seconds, of any response, 503 included."""
    after: int = 0
    reached: asyncio.Event = field(default_factory=asyncio.Event)
    ended: list[float] = field(default_factory=list)
    """When each call ended, on `perf_counter`."""

    async def play(self, disrupt: Callable[[], Awaitable[None]], after: int) -> float:
        """Run all calls, and `disrupt` once `after` calls have ended. Return when the disruption began, on `perf_counter`."""
        self.after = after
        calls = asyncio.gather(*self._calls())
        reached = asyncio.create_task(self.reached.wait())
        await asyncio.wait((calls, reached), return_when=asyncio.FIRST_COMPLETED)
        if not reached.done():
            reached.cancel()
            await calls  # raises the error of the call that failed
        started = perf_counter()
        await disrupt()
        await calls
        return started

    def _calls(self) -> list[Awaitable[None]]:
        scene, size = self.scene, self.scene.size
        devices = [{"license_key": scene.seats["key"], "device": {"fingerprint": f"d-{n}"}} for n in range(size.takers)]
        coded = [{"activation_code": scene.code, "device": {"fingerprint": f"c-{n}"}} for n in range(size.redeemers)]
        add = {"license_key": scene.metered["key"], "meter": "calls", "add": 1}
        return interleave(
            [self._call("seat", n, "/v1/activations", body) for n, body in enumerate(devices)],
            [self._call("code", n, "/v1/activations", body) for n, body in enumerate(coded)],
            [self._call("usage", n, "/v1/usage", add, {"Idempotency-Key": f"add-{n}"}) for n in range(size.adds)],
            [self._decide(n // 2, n) for n in range(2 * len(scene.presentations))],
            [self._refresh(person) for person in scene.people],
        )

    async def _decide(self, position: int, number: int) -> None:
        """Accept a presentation; each is accepted twice concurrently."""
        person, presentation = self.scene.presentations[position]
        body = {"decision": "accept", "text_sha256": presentation["text"]["sha256"]}
        await self._call(f"accept {position}", number, f"/v1/me/presentations/{presentation['id']}/decision", body, person.auth)

    async def _refresh(self, person: Person) -> None:
        """Refresh repeatedly, each time with the newest token. A retry has the same `Idempotency-Key`, so it does not count as reuse."""
        for n in range(self.scene.size.refreshes):
            body = {"refresh_token": person.refresh}
            result = await self._call("refresh", n, "/v1/token/refresh", body, {"Idempotency-Key": f"{person.id}-{n}"})
            person.refresh, person.token = result["refresh_token"], result["access_token"]

    async def _call(self, kind: str, number: int, path: str, body: Body, headers: dict[str, str] | None = None) -> Body:
        """Call one server after the other until a response is not 503. A refusal by a limit ends the call too."""
        until = perf_counter() + CALL_TIMEOUT
        for turn in range(number, 10_000):
            assert perf_counter() < until, f"{kind}: no final response: {self.outcomes}"
            response = await self._send(turn, path, body, headers)
            if response is not None and response.status_code != 503:
                break
            await asyncio.sleep(PAUSE)
        assert response is not None
        self.ended.append(perf_counter())
        if len(self.ended) == self.after:
            self.reached.set()
        result: Body = response.json()
        if response.is_success:
            self.granted.setdefault(kind, []).append(body | result)
        return result

    async def _send(self, turn: int, path: str, body: Body, headers: dict[str, str] | None) -> httpx.Response | None:
        start = perf_counter()
        try:
            response = await self.clients[turn % len(self.clients)].post(path, content=json.dumps(body), headers=headers)
        except httpx.HTTPError:
            self.outcomes["no response"] += 1
            return None
        finally:
            self.slowest = max(self.slowest, perf_counter() - start)
        self.outcomes[describe_outcome(response)] += 1
        if response.status_code == 503:
            assert response.headers["content-type"] == "application/problem+json"
            assert int(response.headers["retry-after"]) >= 1
        return response

    async def check(self, given: Given) -> None:
        """Assert that the database matches every response, and that no limit is exceeded."""
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
        """Each Idempotency-Key was counted once, however often it was sent."""
        size = self.scene.size
        assert sorted(result["used"] for result in self.granted["usage"]) == list(range(1, size.metered + 1))
        assert (await get_license(given, self.scene.metered))["usage"]["calls"]["used"] == size.metered

    async def _decisions(self, given: Given) -> None:
        """Both responses to a presentation name the same event, which is stored once, in a valid chain."""
        events = [{result["event"] for result in self.granted[f"accept {n}"]} for n in range(len(self.scene.presentations))]
        assert {len(each) for each in events} == {1}
        async with given.world.db.read() as tx:
            stored = (await tx.scalars(select(AgreementEvent.id).where(AgreementEvent.user_id.in_(self._people)))).all()
        assert {str(each) for each in stored} == set().union(*events)
        assert given.expect(await given.client.post("/v1/ledger/verify", json={}, headers=given.root))["valid"] is True

    async def _chains(self, given: Given) -> None:
        """Each session has one valid refresh token: the one issued last."""
        for person in self.scene.people:
            assert (await given.client.get("/v1/me", headers=person.auth)).status_code == 200
            assert given.expect(await given.client.post("/v1/token/refresh", json={"refresh_token": person.refresh}))["refresh_token"]
        valid = (RefreshToken.used_at.is_(None), RefreshToken.dropped_at.is_(None), SessionRow.user_id.in_(self._people))
        async with given.world.db.read() as tx:
            chains = select(RefreshToken.id).join(SessionRow, SessionRow.id == RefreshToken.session_id).where(*valid)
            assert len((await tx.scalars(chains)).all()) == len(self._people)

    @property
    def _people(self) -> list[UUID]:
        return [UUID(person.id) for person in self.scene.people]


EXPECTED = {
    "200", "201", "no response", "409 seat_limit_reached", "410 activation_code_spent", "409 usage_limit_reached",
    "503 busy", "503 unavailable", "503 outcome_unknown",
}  # fmt: skip


def interleave(*kinds: Sequence[Awaitable[Any]]) -> list[Awaitable[Any]]:
    """Return all calls with the kinds interleaved."""
    positions = [((n + 0.5) / len(calls), call) for calls in kinds for n, call in enumerate(calls)]
    return [call for _, call in sorted(positions, key=lambda pair: pair[0])]
