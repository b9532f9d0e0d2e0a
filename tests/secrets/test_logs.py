"""No log line holds a secret: not on the main line, not when secrets are put where they do not belong, not when something breaks."""

from collections.abc import AsyncIterator
from dataclasses import replace

import httpx
import pytest
import structlog
from fastapi import FastAPI
from sqlalchemy import insert
from sqlalchemy.exc import DBAPIError

from app.catalog.models import Product
from app.config.settings import Settings
from app.db.base import table
from app.web import errors
from app.world import World
from tests.conftest import NewPostgres
from tests.given import PASSWORD, Given
from tests.random_keys import SECRETS
from tests.secrets.output import both_formats, read_output
from tests.secrets.walk import BEARERS, Secrets, misplaced, walked


async def test_the_main_line_is_logged_without_a_secret(given: Given, talkative: None, capsys: pytest.CaptureFixture[str]) -> None:
    """From the operator's key to the grant, with statements and library chatter in the log."""
    secrets = await walked(given)
    said = read_output(capsys)
    assert '"path": "/v1/access"' in said
    assert "INSERT INTO factors" in said
    assert secrets.found_in(said) == []
    assert BEARERS.findall(said) == []


async def test_a_secret_in_the_wrong_place_is_not_logged(given: Given, talkative: None, capsys: pytest.CaptureFixture[str]) -> None:
    """A support engineer who pastes a key into a path has not published it."""
    secrets = await walked(given)
    read_output(capsys)
    answers = await misplaced(given.client, secrets)
    assert {answer.status_code for answer in answers} <= {401, 403, 404, 422}
    said = read_output(capsys)
    assert said.count('"status": 422') > len(secrets.known)
    assert secrets.found_in(said) == []
    assert BEARERS.findall(said) == []


async def broken_calls(client: httpx.AsyncClient, secrets: Secrets) -> set[int]:
    """Every call that takes a secret, over whatever is broken."""
    known = secrets.known
    bodies = {
        "/v1/login": {"identifier": "kari.nordmann@example.com", "password": known["password"], "totp": "123456"},
        "/v1/licenses/validate": {"license_key": known["license key"], "product": "studio", "device": {"fingerprint": "f"}},
        "/v1/activations": {"activation_code": known["activation code"], "device": {"fingerprint": "f"}},
        "/v1/access": {"product": "studio", "license_key": known["license key"]},
    }
    answers = [await client.post(path, json=body) for path, body in bodies.items()]
    for scheme, name in (("Bearer", "root"), ("Bearer", "seat by key"), ("Bearer", "access token"), ("Login", "login handle")):
        headers = {"Authorization": f"{scheme} {known[name]}", "Idempotency-Key": "k"}
        answers.append(await client.post("/v1/login/totp", json={"code": "123456"}, headers=headers))
        answers.append(await client.post("/v1/users", json={"email": "a@example.com", "password": PASSWORD}, headers=headers))
    return {answer.status_code for answer in answers}


@pytest.fixture
async def hollow(kind: str, settings: Settings, tmp_path: object, new_postgres: NewPostgres) -> AsyncIterator[World]:
    """A world over a database without tables: every statement fails, with its parameters in hand."""
    url = f"sqlite+aiosqlite:///{tmp_path}/hollow.db" if kind == "sqlite" else await new_postgres.empty()
    world = World.of(Settings.load({**SECRETS, "LICENTIA_DATABASE_URL": url}))
    yield world
    await world.db.close()


async def test_a_failing_statement_is_logged_without_its_parameters(
    given: Given, app: FastAPI, hollow: World, talkative: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Drivers like to quote what they were given."""
    secrets = await walked(given)
    read_output(capsys)
    app.state.world = hollow
    assert await broken_calls(given.client, secrets) == {500}
    said = read_output(capsys)
    assert "DBAPIError" in said or "OperationalError" in said or "ProgrammingError" in said
    assert secrets.found_in(said) == []
    assert BEARERS.findall(said) == []


@both_formats
async def test_a_crash_in_the_program_is_logged_without_its_values(
    given: Given, app: FastAPI, talkative: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """A trace names lines, never values."""
    secrets = await walked(given)
    read_output(capsys)
    app.state.world = replace(given.world, clock=None)  # type: ignore[arg-type]  # so that something unforeseen happens
    assert 500 in await broken_calls(given.client, secrets)
    said = read_output(capsys)
    assert "Traceback" in said
    assert secrets.found_in(said) == []
    assert BEARERS.findall(said) == []


@pytest.mark.parametrize("place", ["value", "duplicate"])
async def test_an_error_of_the_database_itself_hides_what_it_was_given(
    given: Given, talkative: None, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    """Even if a secret were ever stored in clear: neither a broken constraint nor a value that does not fit is quoted."""
    secrets = await walked(given)
    read_output(capsys)
    key = secrets.known["license key"]
    row = {"id": given.world.entropy.identifier(), "code": key, "name": key, "requires": [], "default_locale": "en", "metadata": {}}
    row |= {"created_at": given.world.clock.now()} if place == "duplicate" else {}
    for _ in range(2):
        try:
            async with given.world.db.write() as tx:
                await tx.execute(insert(table(Product)).values({**row, "id": given.world.entropy.identifier()}))
        except DBAPIError as error:
            errors.log_unexpected(error)
            break
    assert "IntegrityError" in (said := read_output(capsys))
    assert secrets.found_in(said) == []


async def test_a_driver_does_not_tell_whom_it_stores(given: Given, talkative: None, capsys: pytest.CaptureFixture[str]) -> None:
    """An address is no secret, but nobody who debugs asked for those of all users; SQLAlchemy's rows are shown on demand alone."""
    user = await given.post("/v1/users", {"email": "ada.marker@example.com"})
    assert (await given.client.get(f"/v1/users/{user['id']}", headers=given.root)).status_code == 200
    lines = [line for line in read_output(capsys).splitlines() if '"logger": "sqlalchemy' not in line]
    assert any('"path": "/v1/users"' in line for line in lines)
    assert [line for line in lines if "ada.marker" in line] == []


@both_formats
@pytest.mark.parametrize("name", ["password", "Authorization", "client_secret", "license_key", "access_token"])
async def test_a_careless_line_is_masked(settings: Settings, talkative: None, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """The last safeguard: a secret that code logs under its name, at any depth."""
    structlog.get_logger("careless").warning("event", **{name: "hunter2-marker", "deep": {"list": [{name: "hunter2-marker"}]}})
    assert "hunter2" not in read_output(capsys)
