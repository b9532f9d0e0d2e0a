"""Licenses live through random lives over HTTP, and after each step they are as the plain model says. Both databases."""

import asyncio
import inspect
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any, TypeVar

import httpx
import hypothesis
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from app.base.durations import instant_text
from app.web.fields import INT_MAX
from app.world import World
from tests.clock import START
from tests.given import Given, Person
from tests.licenses.issuing.model import SOLD, Grant, Seat, Terms

EXAMPLES, STEPS = 9, 26
LIMITS = (0, 1, 2, 3, "unlimited")
SPANS = ({"minutes": 10}, {"minutes": 15}, {"minutes": 31}, {"hours": 25}, {"days": 9}, {"days": 24})
WEIGHTS = {
    "activate": 18, "heartbeat": 7, "release": 4, "use": 6, "validate": 9, "time_passes": 7, "standing": 5, "revoke": 1, "renew": 4,
    "change_limits": 4, "override": 4, "change_policy": 4,
}  # fmt: skip
DEEDS = [deed for deed, weight in WEIGHTS.items() for _ in range(weight)]


def some(chance: Any, whole: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in whole.items() if chance.random() < 0.6}


DRAWN: Mapping[str, Callable[[Any], Any]] = {
    "which": lambda chance: chance.randrange(2),
    "number": lambda chance: chance.randrange(6),
    "fingerprint": lambda chance: chance.choice(["laptop", "phone", "server"]),
    "user": lambda chance: chance.choice([None, 0, 1]),
    "by_token": lambda chance: chance.choice([True, False]),
    "amount": lambda chance: chance.randrange(4),
    "by": lambda chance: chance.choice(SPANS),
    "verb": lambda chance: chance.choice(["suspend", "reinstate", "reinstate", "rotate-key"]),
    "days": lambda chance: chance.choice([None, None, -40, 5]),
    "terms": lambda chance: chance.choice(SOLD),
    "expiry": lambda chance: chance.choice(["keep", "reset"]),
    "changes": lambda chance: some(
        chance, {"max_seats": chance.choice(LIMITS), "extra_seats": chance.randrange(2), "lease": chance.choice([None, "PT30M", "PT2H"])}
    ),
    "overrides": lambda chance: some(
        chance,
        {
            "max_seats": chance.choice(LIMITS),
            "extra_seats": chance.randrange(2),
            "lease": chance.choice(["PT30M", "PT2H"]),
            "meters": {"exports": {"limit": chance.choice(LIMITS), "per": chance.choice(["day", None])}},
        },
    ),
}
Told = TypeVar("Told")


@pytest.fixture
def world(world: World) -> World:
    """Old keys are tried on purpose, and often: the wall against guessing is not what is looked at here."""
    patient = {"guesses_per_address": INT_MAX // 4096, "guesses_per_key": INT_MAX // 4096}
    return replace(world, settings=world.settings.model_copy(update=patient))


class Lives(RuleBasedStateMachine):
    """Rules are plain functions in a thread; what they ask runs on the loop of the test."""

    given: Given
    loop: asyncio.AbstractEventLoop
    product: dict[str, Any]
    people: list[Person]
    logged_in_at: dict[str, datetime]

    def __init__(self) -> None:
        super().__init__()
        self.given.clock.moment = START
        self.grants: list[tuple[Grant, dict[str, Any]]] = []

    @property
    def now(self) -> datetime:
        return self.given.clock.now()

    def wait(self, asked: Coroutine[Any, Any, Told]) -> Told:
        return asyncio.run_coroutine_threadsafe(asked, self.loop).result(60)

    def ask(self, method: str, path: str, body: object = None, auth: Mapping[str, str] | None = None) -> httpx.Response:
        headers = self.given.root if auth is None else auth
        return self.wait(self.given.client.request(method, path, json=body, headers=dict(headers)))

    def policy(self, terms: Terms) -> str:
        return str(self.wait(self.given.policy(self.product, **asdict(terms)))["id"])

    def pick(self, which: int) -> tuple[Grant, dict[str, Any]]:
        return self.grants[which]

    def seats(self) -> list[tuple[Grant, Seat]]:
        return [(grant, seat) for grant, _ in self.grants for seat in grant.seats]

    def person(self, user: int | None) -> tuple[str | None, dict[str, str]]:
        """The user's id and a token that lives. A clock that jumps has ended the old one's."""
        if user is None:
            return None, {}
        person = self.people[user]
        if not timedelta() <= self.now - self.logged_in_at.get(person.id, self.now + timedelta(1)) < timedelta(minutes=5):
            self.wait(self.given.logged_in(person))
            self.logged_in_at[person.id] = self.now
        return person.id, person.auth

    @initialize(chance=st.randoms(use_true_random=True))
    def begin(self, chance: Any) -> None:
        self.chance = chance
        for _ in range(2):
            self.issue(chance.choice(SOLD))

    def issue(self, terms: Terms) -> None:
        policy = self.policy(terms)
        made = self.wait(self.given.post("/v1/licenses", {"policy_id": policy}))
        self.grants.append((Grant(terms, self.now), {"id": made["id"], "key": made["key"], "policy": policy, "old": None}))

    @rule()
    def step(self) -> None:
        """One deed, drawn evenly from the seed of this life: left to itself, Hypothesis repeats few of them over and over."""
        deed = getattr(self, self.chance.choice(DEEDS))
        drawn = {name: DRAWN[name](self.chance) for name in inspect.signature(deed).parameters}
        hypothesis.note(f"{deed.__name__}({drawn})")
        deed(**drawn)

    def time_passes(self, by: dict[str, float]) -> None:
        self.given.clock.forward(**by)

    def activate(self, which: int, fingerprint: str, user: int | None) -> None:
        grant, made = self.pick(which)
        user_id, auth = self.person(user)
        body = {"license_key": made["key"], "device": {"fingerprint": fingerprint}}
        answer = self.ask("POST", "/v1/activations", body, auth)
        expected, seat = grant.activate(self.now, fingerprint, user_id)
        assert said(answer) == expected
        if seat is not None:
            told = answer.json()
            assert expected == "201" or (told["activation"]["id"], told["token"]) == (seat.id, seat.token)
            assert seat.id in {"", told["activation"]["id"]}
            assert told["token"] != seat.token or expected == "200"
            seat.id, seat.token = told["activation"]["id"], told["token"]
            assert told["activation"]["lease_expires_at"] == text(seat.ends)
            assert told["seats"] == {"used": grant.used(self.now, user_id), "limit": grant.limit}
            assert told["license"]["expires_at"] == text(grant.expires)

    def heartbeat(self, number: int) -> None:
        seats = self.seats()
        if not seats:
            return
        grant, seat = seats[number % len(seats)]
        auth = {"Authorization": f"Bearer {seat.token}"}
        answer = self.ask("POST", f"/v1/activations/{seat.id}/heartbeat", auth=auth)
        assert said(answer) == grant.heartbeat(self.now, seat)
        if answer.is_success:
            told = answer.json()
            assert (told["token"], told["activation"]["lease_expires_at"]) == (seat.token, text(seat.ends))
            assert told["seats"] == {"used": grant.used(self.now, seat.own), "limit": grant.limit}

    def release(self, number: int, by_token: bool) -> None:
        seats = self.seats()
        if not seats:
            return
        _, seat = seats[number % len(seats)]
        auth = {"Authorization": f"Bearer {seat.token}"} if by_token else None
        assert said(self.ask("DELETE", f"/v1/activations/{seat.id}", auth=auth)) == "204"
        seat.released = True

    def use(self, which: int, amount: int) -> None:
        grant, made = self.pick(which)
        answer = self.ask("POST", "/v1/usage", {"license_key": made["key"], "meter": "exports", "add": amount}, {})
        assert said(answer) == grant.add(self.now, amount)

    def validate(self, which: int, fingerprint: str, user: int | None) -> None:
        grant, made = self.pick(which)
        user_id, auth = self.person(user)
        body = {"license_key": made["key"], "product": self.product["code"], "device": {"fingerprint": fingerprint}}
        told = self.ask("POST", "/v1/licenses/validate", body, auth).json()
        reasons = grant.reasons(self.now, fingerprint, user_id)
        assert [reason["code"] for reason in told["reasons"]] == reasons
        assert (told["valid"], told["code"]) == (not reasons, reasons[0] if reasons else "ok")
        assert [warned["code"] for warned in told["warnings"]] == grant.warnings(self.now, fingerprint, user_id)
        assert told["license"]["seats"] == {"used": grant.used(self.now, user_id), "limit": grant.limit}
        if made["old"]:
            told = self.ask("POST", "/v1/licenses/validate", {**body, "license_key": made["old"]}, {}).json()
            assert told["code"] == "license_not_found"

    def standing(self, which: int, verb: str) -> None:
        grant, made = self.pick(which)
        answer = self.ask("POST", f"/v1/licenses/{made['id']}/{verb}")
        assert said(answer) == ("403 license_revoked" if grant.revoked else "200")
        if answer.is_success and verb == "rotate-key":
            made["old"], made["key"] = made["key"], answer.json()["key"]
        elif answer.is_success:
            grant.suspended = verb == "suspend"

    def revoke(self, which: int) -> None:
        grant, made = self.pick(which)
        assert said(self.ask("POST", f"/v1/licenses/{made['id']}/revoke")) == "200"
        grant.revoked = True

    def renew(self, which: int, days: int | None) -> None:
        grant, made = self.pick(which)
        until = self.now + timedelta(days=days) if days is not None else None
        answer = self.ask("POST", f"/v1/licenses/{made['id']}/renew", {"expires_at": text(until)} if until else {})
        assert said(answer) == grant.renew(self.now, until)

    def change_limits(self, which: int, changes: dict[str, Any]) -> None:
        grant, made = self.pick(which)
        refused = grant.terms.contradiction(changes)
        answer = self.ask("PATCH", f"/v1/policies/{made['policy']}", changes)
        assert said(answer) == ("422 policy_contradiction" if refused else "200")
        grant.terms = grant.terms if refused else replace(grant.terms, **changes)

    def override(self, which: int, overrides: dict[str, Any]) -> None:
        grant, made = self.pick(which)
        refused = grant.revoked or grant.terms.contradiction(overrides)
        answer = self.ask("PATCH", f"/v1/licenses/{made['id']}", {"overrides": overrides})
        assert said(answer) == ("403 license_revoked" if grant.revoked else "422 policy_contradiction" if refused else "200")
        grant.overrides = grant.overrides if refused else overrides

    def change_policy(self, which: int, terms: Terms, expiry: str) -> None:
        grant, made = self.pick(which)
        policy = self.policy(terms)
        answer = self.ask("POST", f"/v1/licenses/{made['id']}/change-policy", {"policy_id": policy, "expiry": expiry})
        assert said(answer) == grant.change_policy(self.now, terms, reset=expiry == "reset")
        made["policy"] = policy if answer.is_success else made["policy"]

    @invariant()
    def as_the_model_says(self) -> None:
        for grant, made in self.grants:
            told = self.ask("GET", f"/v1/licenses/{made['id']}").json()
            assert told["status"] == grant.status(self.now)
            assert [told[name] for name in ("starts_at", "expires_at", "grace_until")] == [
                text(moment) for moment in (grant.starts, grant.expires, grant.graced)
            ]
            assert told["seats"] == {"used": grant.used(self.now), "limit": grant.limit}
            assert {meter: it["used"] for meter, it in told["usage"].items()} == self.meters(grant)

    def meters(self, grant: Grant) -> dict[str, int]:
        counting = grant.meter()
        return {"exports": grant.counted_now(self.now, counting)} if counting is not None else {}

    def teardown(self) -> None:
        for grant, made in self.grants:
            rows = self.ask("GET", f"/v1/licenses/{made['id']}/activations?live=true&limit=100").json()["data"]
            assert {row["id"] for row in rows} == {seat.id for seat in grant.live(self.now)}


def said(answer: httpx.Response) -> str:
    return str(answer.status_code) if answer.is_success else f"{answer.status_code} {answer.json()['code']}"


def text(moment: datetime | None) -> str | None:
    return instant_text(moment) if moment is not None else None


async def test_a_license_lives_as_the_model_says(given: Given) -> None:
    people = [await given.logged_in() for _ in range(2)]
    told = {"given": given, "loop": asyncio.get_running_loop(), "product": await given.product(), "people": people, "logged_in_at": {}}
    machine: type[Lives] = type("Machine", (Lives,), told)
    settings = hypothesis.settings(
        max_examples=EXAMPLES, stateful_step_count=STEPS, derandomize=True, database=None, deadline=None,
        suppress_health_check=[*hypothesis.HealthCheck],
    )  # fmt: skip
    await asyncio.to_thread(run_state_machine_as_test, machine, settings=settings)
