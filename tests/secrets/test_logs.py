"""No log line has a secret: not in ordinary use, not when secrets are sent in the wrong place, not after errors."""

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
from tests.secrets.walk import BEARERS, Secrets, misplace_secrets, walk_main_line


async def test_ordinary_use_is_logged_without_a_secret(given: Given, debug_logs: None, capsys: pytest.CaptureFixture[str]) -> None:
    """From the operator's key to the grant, with statements and lines of the libraries."""
    secrets = await walk_main_line(given)
    output = read_output(capsys)
    assert '"path": "/v1/access"' in output
    assert "INSERT INTO factors" in output
    assert secrets.find_in(output) == []
    assert BEARERS.findall(output) == []


async def test_a_secret_in_the_wrong_place_is_not_logged(given: Given, debug_logs: None, capsys: pytest.CaptureFixture[str]) -> None:
    """A support engineer who pastes a key into a path does not publish it."""
    secrets = await walk_main_line(given)
    read_output(capsys)
    responses = await misplace_secrets(given.client, secrets)
    assert {response.status_code for response in responses} <= {401, 403, 404, 422}
    output = read_output(capsys)
    assert output.count('"status": 422') > len(secrets.known)
    assert secrets.find_in(output) == []
    assert BEARERS.findall(output) == []


async def call_with_secrets(client: httpx.AsyncClient, secrets: Secrets) -> set[int]:
    """Call every route that takes a secret; return the statuses of the responses."""
    known = secrets.known
    bodies = {
        "/v1/login": {"identifier": "kari.nordmann@example.com", "password": known["password"], "totp": "123456"},
        "/v1/licenses/validate": {"license_key": known["license key"], "product": "studio", "device": {"fingerprint": "f"}},
        "/v1/activations": {"activation_code": known["activation code"], "device": {"fingerprint": "f"}},
        "/v1/access": {"product": "studio", "license_key": known["license key"]},
    }
    responses = [await client.post(path, json=body) for path, body in bodies.items()]
    for scheme, name in (("Bearer", "root"), ("Bearer", "seat by key"), ("Bearer", "access token"), ("Login", "login handle")):
        headers = {"Authorization": f"{scheme} {known[name]}", "Idempotency-Key": "k"}
        responses.append(await client.post("/v1/login/totp", json={"code": "123456"}, headers=headers))
        responses.append(await client.post("/v1/users", json={"email": "a@example.com", "password": PASSWORD}, headers=headers))
    return {response.status_code for response in responses}


@pytest.fixture
async def world_without_tables(kind: str, settings: Settings, tmp_path: object, new_postgres: NewPostgres) -> AsyncIterator[World]:
    """A world on a database without tables: every statement fails, and its error has the parameters."""
    url = f"sqlite+aiosqlite:///{tmp_path}/hollow.db" if kind == "sqlite" else await new_postgres.empty()
    world = World.of(Settings.load({**SECRETS, "LICENTIA_DATABASE_URL": url}))
    yield world
    await world.db.close()


async def test_a_failing_statement_is_logged_without_its_parameters(
    given: Given, app: FastAPI, world_without_tables: World, debug_logs: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Errors of drivers quote their parameters."""
    secrets = await walk_main_line(given)
    read_output(capsys)
    app.state.world = world_without_tables
    assert await call_with_secrets(given.client, secrets) == {500}
    output = read_output(capsys)
    assert "DBAPIError" in output or "OperationalError" in output or "ProgrammingError" in output
    assert secrets.find_in(output) == []
    assert BEARERS.findall(output) == []


@both_formats
async def test_an_unexpected_error_is_logged_without_values(
    given: Given, app: FastAPI, debug_logs: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """A traceback has lines of code, never values."""
    secrets = await walk_main_line(given)
    read_output(capsys)
    app.state.world = replace(given.world, clock=None)  # type: ignore[arg-type]  # causes an unexpected error
    assert 500 in await call_with_secrets(given.client, secrets)
    output = read_output(capsys)
    assert "Traceback" in output
    assert secrets.find_in(output) == []
    assert BEARERS.findall(output) == []


@pytest.mark.parametrize("place", ["value", "duplicate"])
async def test_an_error_of_the_database_does_not_quote_values(
    given: Given, debug_logs: None, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    """Even for a secret in clear text: neither a violated constraint nor an invalid value is quoted."""
    secrets = await walk_main_line(given)
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
    assert "IntegrityError" in (output := read_output(capsys))
    assert secrets.find_in(output) == []


async def test_a_driver_does_not_log_e_mail_addresses(given: Given, debug_logs: None, capsys: pytest.CaptureFixture[str]) -> None:
    """An address is no secret, but a debug log should not list all users. Only the lines of SQLAlchemy, off by default, have rows."""
    user = await given.post("/v1/users", {"email": "ada.marker@example.com"})
    assert (await given.client.get(f"/v1/users/{user['id']}", headers=given.root)).status_code == 200
    lines = [line for line in read_output(capsys).splitlines() if '"logger": "sqlalchemy' not in line]
    assert any('"path": "/v1/users"' in line for line in lines)
    assert [line for line in lines if "ada.marker" in line] == []


@both_formats
@pytest.mark.parametrize("name", ["password", "Authorization", "client_secret", "license_key", "access_token"])
async def test_a_logged_secret_is_masked(settings: Settings, debug_logs: None, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """The last safeguard: a secret that code logs under its name is masked at any depth."""
    structlog.get_logger("careless").warning("event", **{name: "hunter2-marker", "deep": {"list": [{name: "hunter2-marker"}]}})
    assert "hunter2" not in read_output(capsys)
