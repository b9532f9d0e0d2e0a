"""No input causes a crash, an undocumented response or a leak of internals: Schemathesis against the real server.

Every call gets the boundary cases of its schemas and some generated ones, the same in each run. Most are sent by a caller that may make the
call, with ids, keys and codes that exist, so that not every case ends at the first refusal.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from fnmatch import fnmatch
from itertools import islice
from typing import Any, TypeAlias

import hypothesis.errors
import pytest
import requests
import schemathesis
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode, openapi
from schemathesis.checks import CheckContext, not_a_server_error
from schemathesis.core.parameters import ParameterLocation
from schemathesis.core.transport import Response
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance

from tests import databases, snapshots
from tests.conftest import NewPostgres
from tests.contract.operations import CODE, OPERATIONS
from tests.contract.served import Service, Stage, serving, staged

Sent: TypeAlias = Case[Any]
DRAWN = 4
"""Generated cases for each call and database, in addition to the boundary cases."""
CONFIG = {"seed": 1, "generation": {"with-security-parameters": False}, "phases": {"coverage": {"unexpected-methods": ["trace"]}}}
SCHEMA = openapi.from_dict(snapshots.document(), config=schemathesis.Config.from_dict(CONFIG))
ANY_PATH = {"route_not_found", "method_not_allowed"}
"""Codes that no call documents: a path parameter with a slash makes another path."""
ENDING = (
    "*/publish",
    "POST /v1/me/totp",
    "DELETE *",
    "*/suspend",
    "*/revoke",
    "*/logout",
    "*/erase",
    "POST /v1/me/erasure",
    "DELETE /v1/me",
)
"""Calls after which something of the stage is dead or frozen; they come last, in this order; of two that fit, the later one counts."""
EITHER = ("license_key", "activation_code")
GOOD, BAD = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
EDGES = {"sqlite": (GOOD, BAD), "postgresql": (GOOD,)}
"""What does not fit its shape is refused before any database is asked, so one of them is enough for that."""
DRAW = {"sqlite": BAD, "postgresql": GOOD}
"""PostgreSQL is the stricter one: it gets the wild texts and numbers that are allowed."""
OFTEN = 6
TURNS = 60


@dataclass
class Probe:
    """Sends the cases of one call: fed with what exists, by one caller or another, and looks at what comes back."""

    service: Service
    stage: Stage
    name: str
    session: requests.Session

    def __call__(self, case: Sent, turn: int) -> None:
        """`turn` chooses caller and values; the same turn chooses the same."""
        self._feed(case, turn)
        checks = [
            not_a_server_error,
            status_code_conformance,
            content_type_conformance,
            response_schema_conformance,
            codes_are_documented,
            nothing_of_the_inside,
        ]
        case.call_and_validate(self.service.base, self.session, self._headers(turn), checks, timeout=30)

    def _headers(self, turn: int) -> dict[str, str]:
        security = OPERATIONS[self.name].get("security", [{}])
        wanted = [next(iter(scheme), "") for scheme in security] * OFTEN
        credential = self.stage.credentials.get([*wanted, "", *self.stage.credentials][turn % (len(wanted) + 5)], "")
        headers = {"Authorization": credential} if credential else {}
        return headers | ({"Idempotency-Key": f"key-{turn // 10}"} if turn % 5 == 4 else {})

    def _feed(self, case: Sent, turn: int) -> None:
        """Put what exists in the place of what was drawn, in every part of the case that is meant to be good."""
        if turn % 4 == 3:
            return
        known = self.stage.of(self.name)
        if good(case, ParameterLocation.PATH):
            case.path_parameters = fed(case.path_parameters, known, turn)
        if good(case, ParameterLocation.QUERY):
            case.query = fed(case.query, known, turn)
        if good(case, ParameterLocation.BODY):
            case.body = fed(one_of(case.body, EITHER[turn % 2]), known, turn)


def good(case: Sent, place: ParameterLocation) -> bool:
    """Whether this part of the case was made to fit its shape."""
    component = case.meta.components.get(place) if case.meta else None
    return component is not None and component.mode is GOOD


def fed(value: Any, known: Mapping[str, tuple[Any, ...]], turn: int) -> Any:
    """The value with known ones in the place of members that have their name, at any depth."""
    if isinstance(value, list):
        return [fed(item, known, turn) for item in value]
    if not isinstance(value, dict):
        return value
    return {name: known[name][turn % len(known[name])] if name in known else fed(item, known, turn) for name, item in value.items()}


def one_of(body: Any, wanted: str) -> Any:
    """The body with one credential where there are two of which a call takes one."""
    if isinstance(body, dict) and all(body.get(name) for name in EITHER):
        return {name: value for name, value in body.items() if name == wanted or name not in EITHER}
    return body


def codes_are_documented(_context: CheckContext, response: Response, case: Sent) -> None:
    """A client that reads the document knows every code that it can meet."""
    if response.headers.get("content-type") == ["application/problem+json"]:
        code = response.json()["code"]
        documented = case.operation.definition.raw["responses"].get(str(response.status_code), {}).get("description", "")
        assert code in {*CODE.findall(documented), *ANY_PATH}, f"{response.status_code} {code} is not documented"


def nothing_of_the_inside(_context: CheckContext, response: Response, _case: Sent) -> None:
    """No trace, no module, no statement, no address of an object."""
    for mark in ("Traceback", 'File "', "sqlalchemy", "asyncpg", "sqlite", "pydantic", " object at 0x"):
        assert mark not in response.text, f"the answer says {mark}"


class Servers:
    """One server for each database, started when it is first wanted, each with a stage."""

    def __init__(self, hold: AsyncExitStack, start: Mapping[str, Callable[[], Any]]) -> None:
        self._hold = hold
        self._start = start
        self._running: dict[str, tuple[Service, Stage]] = {}
        self._session = hold.enter_context(requests.Session())
        self._session.trust_env = False  # or it looks for proxies and passwords of its own before each request

    async def probe(self, kind: str, name: str) -> Probe:
        if kind not in self._running:
            service = await self._hold.enter_async_context(await self._start[kind]())
            self._running[kind] = service, await staged(service)
        return Probe(*self._running[kind], name, self._session)


@pytest.fixture(scope="session")
async def servers(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Any, new_postgres: NewPostgres) -> AsyncIterator[Servers]:
    folders = {kind: tmp_path_factory.mktemp(kind) for kind in databases.KINDS}

    async def sqlite() -> Any:
        return serving(databases.copy_template(sqlite_template, folders["sqlite"] / "fuzz.db"), folders["sqlite"])

    async def postgresql() -> Any:
        return serving(await new_postgres.migrated(), folders["postgresql"])

    async with AsyncExitStack() as hold:
        yield Servers(hold, {"sqlite": sqlite, "postgresql": postgresql})


@pytest.fixture
async def probe(servers: Servers, kind: str, name: str) -> Probe:
    return await servers.probe(kind, name)


@pytest.fixture(scope="session")
def step(request: pytest.FixtureRequest) -> int:
    """Of the cases that do not fit their schema, how many there are to each one that is sent."""
    return 1 if request.config.getoption("all") else 6


def order(name: str) -> int:
    return max((place for place, pattern in enumerate(ENDING, 1) if fnmatch(name, pattern)), default=0)


NAMES: list[str] = sorted(OPERATIONS, key=order)


@pytest.mark.parametrize("name", NAMES)
def test_a_call_keeps_its_contract(probe: Probe, kind: str, name: str, step: int) -> None:
    """No 5xx, no undocumented status, code, content type or body."""
    operation = SCHEMA.find_operation_by_label(name)
    assert operation is not None
    for mode in EDGES[kind]:
        for turn, case in enumerate(boundaries(operation, mode, step)):
            probe(case, turn)
    drawn(probe, operation.as_strategy(DRAW[kind]))


def boundaries(operation: Any, mode: GenerationMode, step: int) -> Iterator[Sent]:
    """Every case that fits at the edges of the shapes, and some of the many that just do not."""
    generation = SCHEMA.config.generation_for(operation=operation)
    cases = SCHEMA.iter_coverage_cases(operation, generation_modes=[mode], generation_config=generation)
    return islice(cases, 0, None, 1 if mode is GOOD else step)


def drawn(probe: Probe, cases: st.SearchStrategy[Sent]) -> None:
    @hypothesis.settings(
        max_examples=DRAWN, derandomize=True, database=None, deadline=None, suppress_health_check=[*hypothesis.HealthCheck]
    )
    @hypothesis.given(cases, st.integers(0, TURNS))
    def one(case: Sent, turn: int) -> None:
        probe(case, turn)

    with suppress(hypothesis.errors.Unsatisfiable):  # a call without parameters and body has nothing that could be spoilt
        one()
