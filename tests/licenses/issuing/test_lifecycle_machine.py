"""Random sequences of actions over HTTP; after each step every license must match the plain model. On both databases."""

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
from tests.licenses.issuing.model import POLICIES, LicenseModel, Seat, Terms

EXAMPLES, STEPS = 9, 26
LIMITS = (0, 1, 2, 3, "unlimited")
STEPS_OF_TIME = ({"minutes": 10}, {"minutes": 15}, {"minutes": 31}, {"hours": 25}, {"days": 9}, {"days": 24})
WEIGHTS = {
    "activate": 18, "heartbeat": 7, "release": 4, "use": 6, "validate": 9, "time_passes": 7, "change_status": 5, "revoke": 1, "renew": 4,
    "change_limits": 4, "override": 4, "change_policy": 4,
}  # fmt: skip
ACTIONS = [action for action, weight in WEIGHTS.items() for _ in range(weight)]


def choose_some(chance: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if chance.random() < 0.6}


ARGUMENTS: Mapping[str, Callable[[Any], Any]] = {
    "which": lambda chance: chance.randrange(2),
    "number": lambda chance: chance.randrange(6),
    "fingerprint": lambda chance: chance.choice(["laptop", "phone", "server"]),
    "user": lambda chance: chance.choice([None, 0, 1]),
    "by_token": lambda chance: chance.choice([True, False]),
    "amount": lambda chance: chance.randrange(4),
    "by": lambda chance: chance.choice(STEPS_OF_TIME),
    "verb": lambda chance: chance.choice(["suspend", "reinstate", "reinstate", "rotate-key"]),
    "days": lambda chance: chance.choice([None, None, -40, 5]),
    "terms": lambda chance: chance.choice(POLICIES),
    "expiry": lambda chance: chance.choice(["keep", "reset"]),
    "changes": lambda chance: choose_some(
        chance, {"max_seats": chance.choice(LIMITS), "extra_seats": chance.randrange(2), "lease": chance.choice([None, "PT30M", "PT2H"])}
    ),
    "overrides": lambda chance: choose_some(
        chance,
        {
            "max_seats": chance.choice(LIMITS),
            "extra_seats": chance.randrange(2),
            "lease": chance.choice(["PT30M", "PT2H"]),
            "meters": {"exports": {"limit": chance.choice(LIMITS), "per": chance.choice(["day", None])}},
        },
    ),
}
Result = TypeVar("Result")


@pytest.fixture
def world(world: World) -> World:
    """Raise the limits for wrong guesses: this test validates replaced keys on purpose."""
    limits = {"guesses_per_address": INT_MAX // 4096, "guesses_per_key": INT_MAX // 4096}
    return replace(world, settings=world.settings.model_copy(update=limits))


class LicenseMachine(RuleBasedStateMachine):
    """The rules run as plain functions in a thread; their requests run on the event loop of the test."""

    given: Given
    loop: asyncio.AbstractEventLoop
    product: dict[str, Any]
    people: list[Person]
    logged_in_at: dict[str, datetime]

    def __init__(self) -> None:
        super().__init__()
        self.given.clock.moment = START
        self.licenses: list[tuple[LicenseModel, dict[str, Any]]] = []

    @property
    def now(self) -> datetime:
        return self.given.clock.now()

    def wait(self, coroutine: Coroutine[Any, Any, Result]) -> Result:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(60)

    def ask(self, method: str, path: str, body: object = None, auth: Mapping[str, str] | None = None) -> httpx.Response:
        headers = self.given.root if auth is None else auth
        return self.wait(self.given.client.request(method, path, json=body, headers=dict(headers)))

    def policy(self, terms: Terms) -> str:
        return str(self.wait(self.given.policy(self.product, **asdict(terms)))["id"])

    def pick(self, which: int) -> tuple[LicenseModel, dict[str, Any]]:
        return self.licenses[which]

    def seats(self) -> list[tuple[LicenseModel, Seat]]:
        return [(model, seat) for model, _ in self.licenses for seat in model.seats]

    def person(self, user: int | None) -> tuple[str | None, dict[str, str]]:
        """Return the user's id and headers with a valid token; log in again if the clock moved past the old token."""
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
            self.issue(chance.choice(POLICIES))

    def issue(self, terms: Terms) -> None:
        policy = self.policy(terms)
        license_ = self.wait(self.given.post("/v1/licenses", {"policy_id": policy}))
        self.licenses.append((LicenseModel(terms, self.now), {"id": license_["id"], "key": license_["key"], "policy": policy, "old": None}))

    @rule()
    def step(self) -> None:
        """Perform one action, chosen evenly by the seed of this run; Hypothesis alone would repeat a few of them too often."""
        action = getattr(self, self.chance.choice(ACTIONS))
        arguments = {name: ARGUMENTS[name](self.chance) for name in inspect.signature(action).parameters}
        hypothesis.note(f"{action.__name__}({arguments})")
        action(**arguments)

    def time_passes(self, by: dict[str, float]) -> None:
        self.given.clock.forward(**by)

    def activate(self, which: int, fingerprint: str, user: int | None) -> None:
        model, license_ = self.pick(which)
        user_id, auth = self.person(user)
        body = {"license_key": license_["key"], "device": {"fingerprint": fingerprint}}
        answer = self.ask("POST", "/v1/activations", body, auth)
        expected, seat = model.activate(self.now, fingerprint, user_id)
        assert status_and_code(answer) == expected
        if seat is not None:
            result = answer.json()
            assert expected == "201" or (result["activation"]["id"], result["token"]) == (seat.id, seat.token)
            assert seat.id in {"", result["activation"]["id"]}
            assert result["token"] != seat.token or expected == "200"
            seat.id, seat.token = result["activation"]["id"], result["token"]
            assert result["activation"]["lease_expires_at"] == to_text(seat.ends)
            assert result["seats"] == {"used": model.count_used(self.now, user_id), "limit": model.limit}
            assert result["license"]["expires_at"] == to_text(model.expires)

    def heartbeat(self, number: int) -> None:
        seats = self.seats()
        if not seats:
            return
        model, seat = seats[number % len(seats)]
        auth = {"Authorization": f"Bearer {seat.token}"}
        answer = self.ask("POST", f"/v1/activations/{seat.id}/heartbeat", auth=auth)
        assert status_and_code(answer) == model.heartbeat(self.now, seat)
        if answer.is_success:
            result = answer.json()
            assert (result["token"], result["activation"]["lease_expires_at"]) == (seat.token, to_text(seat.ends))
            assert result["seats"] == {"used": model.count_used(self.now, seat.own), "limit": model.limit}

    def release(self, number: int, by_token: bool) -> None:
        seats = self.seats()
        if not seats:
            return
        _, seat = seats[number % len(seats)]
        auth = {"Authorization": f"Bearer {seat.token}"} if by_token else None
        assert status_and_code(self.ask("DELETE", f"/v1/activations/{seat.id}", auth=auth)) == "204"
        seat.released = True

    def use(self, which: int, amount: int) -> None:
        model, license_ = self.pick(which)
        answer = self.ask("POST", "/v1/usage", {"license_key": license_["key"], "meter": "exports", "add": amount}, {})
        assert status_and_code(answer) == model.add(self.now, amount)

    def validate(self, which: int, fingerprint: str, user: int | None) -> None:
        model, license_ = self.pick(which)
        user_id, auth = self.person(user)
        body = {"license_key": license_["key"], "product": self.product["code"], "device": {"fingerprint": fingerprint}}
        result = self.ask("POST", "/v1/licenses/validate", body, auth).json()
        reasons = model.reasons(self.now, fingerprint, user_id)
        assert [reason["code"] for reason in result["reasons"]] == reasons
        assert (result["valid"], result["code"]) == (not reasons, reasons[0] if reasons else "ok")
        assert [warned["code"] for warned in result["warnings"]] == model.warnings(self.now, fingerprint, user_id)
        assert result["license"]["seats"] == {"used": model.count_used(self.now, user_id), "limit": model.limit}
        if license_["old"]:
            result = self.ask("POST", "/v1/licenses/validate", {**body, "license_key": license_["old"]}, {}).json()
            assert result["code"] == "license_not_found"

    def change_status(self, which: int, verb: str) -> None:
        model, license_ = self.pick(which)
        answer = self.ask("POST", f"/v1/licenses/{license_['id']}/{verb}")
        assert status_and_code(answer) == ("403 license_revoked" if model.revoked else "200")
        if answer.is_success and verb == "rotate-key":
            license_["old"], license_["key"] = license_["key"], answer.json()["key"]
        elif answer.is_success:
            model.suspended = verb == "suspend"

    def revoke(self, which: int) -> None:
        model, license_ = self.pick(which)
        assert status_and_code(self.ask("POST", f"/v1/licenses/{license_['id']}/revoke")) == "200"
        model.revoked = True

    def renew(self, which: int, days: int | None) -> None:
        model, license_ = self.pick(which)
        until = self.now + timedelta(days=days) if days is not None else None
        answer = self.ask("POST", f"/v1/licenses/{license_['id']}/renew", {"expires_at": to_text(until)} if until else {})
        assert status_and_code(answer) == model.renew(self.now, until)

    def change_limits(self, which: int, changes: dict[str, Any]) -> None:
        model, license_ = self.pick(which)
        is_refused = model.terms.contradicts(changes)
        answer = self.ask("PATCH", f"/v1/policies/{license_['policy']}", changes)
        assert status_and_code(answer) == ("422 policy_contradiction" if is_refused else "200")
        model.terms = model.terms if is_refused else replace(model.terms, **changes)

    def override(self, which: int, overrides: dict[str, Any]) -> None:
        model, license_ = self.pick(which)
        is_refused = model.revoked or model.terms.contradicts(overrides)
        answer = self.ask("PATCH", f"/v1/licenses/{license_['id']}", {"overrides": overrides})
        assert status_and_code(answer) == ("403 license_revoked" if model.revoked else "422 policy_contradiction" if is_refused else "200")
        model.overrides = model.overrides if is_refused else overrides

    def change_policy(self, which: int, terms: Terms, expiry: str) -> None:
        model, license_ = self.pick(which)
        policy = self.policy(terms)
        answer = self.ask("POST", f"/v1/licenses/{license_['id']}/change-policy", {"policy_id": policy, "expiry": expiry})
        assert status_and_code(answer) == model.change_policy(self.now, terms, reset=expiry == "reset")
        license_["policy"] = policy if answer.is_success else license_["policy"]

    @invariant()
    def matches_the_model(self) -> None:
        for model, license_ in self.licenses:
            result = self.ask("GET", f"/v1/licenses/{license_['id']}").json()
            assert result["status"] == model.status(self.now)
            assert [result[name] for name in ("starts_at", "expires_at", "grace_until")] == [
                to_text(moment) for moment in (model.starts, model.expires, model.grace_until)
            ]
            assert result["seats"] == {"used": model.count_used(self.now), "limit": model.limit}
            assert {name: meter_usage["used"] for name, meter_usage in result["usage"].items()} == self.meters(model)

    def meters(self, model: LicenseModel) -> dict[str, int]:
        rule = model.meter()
        return {"exports": model.used_now(self.now, rule)} if rule is not None else {}

    def teardown(self) -> None:
        for model, license_ in self.licenses:
            rows = self.ask("GET", f"/v1/licenses/{license_['id']}/activations?live=true&limit=100").json()["data"]
            assert {row["id"] for row in rows} == {seat.id for seat in model.live_seats(self.now)}


def status_and_code(answer: httpx.Response) -> str:
    return str(answer.status_code) if answer.is_success else f"{answer.status_code} {answer.json()['code']}"


def to_text(moment: datetime | None) -> str | None:
    return instant_text(moment) if moment is not None else None


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)], indirect=True)
async def test_every_license_matches_the_model_after_random_actions(given: Given) -> None:
    people = [await given.logged_in() for _ in range(2)]
    attributes = {
        "given": given,
        "loop": asyncio.get_running_loop(),
        "product": await given.product(),
        "people": people,
        "logged_in_at": {},
    }
    machine: type[LicenseMachine] = type("Machine", (LicenseMachine,), attributes)
    settings = hypothesis.settings(
        max_examples=EXAMPLES, stateful_step_count=STEPS, derandomize=True, database=None, deadline=None,
        suppress_health_check=[*hypothesis.HealthCheck],
    )  # fmt: skip
    await asyncio.to_thread(run_state_machine_as_test, machine, settings=settings)
