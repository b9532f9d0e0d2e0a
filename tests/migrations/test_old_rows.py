"""An upgrade breaks nothing: this release still reads and honours what earlier releases stored and issued."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pyotp
import pytest
from fastapi import FastAPI
from sqlalchemy.engine import make_url

from app.config.settings import Settings
from app.db import revision
from app.security.signing import read_with_key_set
from app.world import World
from tests import databases
from tests.clock import TurnedClock
from tests.conftest import NewPostgres
from tests.migrations import old_rows, trees

FROZEN = old_rows.load_frozen()


@dataclass
class OldService:
    """The service over an upgraded database, and the credentials of its users."""

    client: httpx.AsyncClient
    clock: TurnedClock
    credentials: dict[str, Any]

    async def call(self, method: str, path: str, auth: str = "", **more: Any) -> Any:
        """Return the body of the response, which must be a success."""
        headers = {"Authorization": auth} if auth else {}
        answer = await self.client.request(method, path, headers=headers, **more)
        assert answer.is_success, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    @property
    def device(self) -> dict[str, Any]:
        return {"license_key": self.credentials["license_key"], "device": {"fingerprint": "laptop"}}


class UpgradedDatabases:
    """Databases that were migrated to an old release, filled with its rows and upgraded. Built once, then copied."""

    def __init__(self, folder: Path, server: NewPostgres) -> None:
        self.folder = folder
        self.server = server
        self.databases: dict[tuple[str, str], str] = {}

    async def copy(self, kind: str, release: str, target: Path) -> str:
        """Return the URL of a copy with the rows of the release."""
        if (kind, release) not in self.databases:
            empty = databases.sqlite_url(self.folder / f"{release}.db") if kind == "sqlite" else await self.server.empty()
            config = revision.alembic_config(empty)
            await trees.up(config, release)
            await old_rows.insert(empty, FROZEN[release]["tables"])
            await trees.up(config)
            self.databases[kind, release] = empty
        source = str(make_url(self.databases[kind, release]).database)
        return databases.copy_template(Path(source), target) if kind == "sqlite" else await self.server.empty(like=source)


@pytest.fixture(scope="session")
def upgraded(tmp_path_factory: pytest.TempPathFactory, new_postgres: NewPostgres) -> UpgradedDatabases:
    return UpgradedDatabases(tmp_path_factory.mktemp("upgraded"), new_postgres)


@pytest.fixture(params=sorted(FROZEN))
async def old(
    request: pytest.FixtureRequest, kind: str, upgraded: UpgradedDatabases, tmp_path: Path, shared_app: FastAPI
) -> AsyncIterator[OldService]:
    url, possessions = await upgraded.copy(kind, request.param, tmp_path / "old.db"), FROZEN[request.param]["held"]
    clock = TurnedClock(possessions["at"])
    shared_app.state.world = world = World.of(Settings.load({**old_rows.FROZEN_SECRETS, "LICENTIA_DATABASE_URL": url}), clock=clock)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(shared_app), base_url="http://licentia.test") as client:
        yield OldService(client, clock, possessions)
    await world.db.close()


async def test_an_operator_and_the_catalog(old: OldService) -> None:
    """The old operator key still works, and all data is there."""
    auth = old.credentials["operator"]["Authorization"]
    license_ = await old.call("POST", "/v1/licenses/lookup", auth, json={"license_key": old.credentials["license_key"]})
    seats = await old.call("GET", f"/v1/licenses/{license_['id']}/activations", auth)
    assert [seat["id"] for seat in seats["data"]] == [old.credentials["seat"]["id"]]
    for path in ("products", "policies", "customers", "users", "agreements", "api-keys"):
        await old.call("GET", f"/v1/{path}", auth)


async def test_a_device_keeps_its_seat(old: OldService) -> None:
    """License key and token are still valid, and activating again returns the same seat and token."""
    seat = old.credentials["seat"]
    verdict = await old.call("POST", "/v1/licenses/validate", json={**old.device, "product": old.credentials["product"]})
    assert verdict["valid"], verdict
    again = await old.call("POST", "/v1/activations", json=old.device)
    assert (again["activation"]["id"], again["token"]) == (seat["id"], seat["token"])
    await old.call("POST", f"/v1/activations/{seat['id']}/heartbeat", f"Bearer {seat['token']}")


async def test_an_unused_code_still_gives_a_seat(old: OldService) -> None:
    body = {"activation_code": old.credentials["activation_code"], "device": {"fingerprint": "tablet"}}
    assert (await old.call("POST", "/v1/activations", json=body))["seats"]["used"] == 2


async def test_a_user_is_still_logged_in_and_can_log_in(old: OldService) -> None:
    """The old session, password and authenticator still work, and the used code is still refused."""
    person = old.credentials["person"]
    assert (await old.call("GET", "/v1/me", f"Bearer {person['token']}"))["user"]["email"] == person["email"]
    body = {"identifier": person["email"], "password": person["password"]}
    spent = await old.client.post("/v1/login", json={**body, "totp": pyotp.TOTP(person["totp"]).at(old.clock.now())})
    assert spent.json()["code"] == "code_refused"
    fresh = pyotp.TOTP(person["totp"]).at(old.clock.forward(seconds=30))
    assert (await old.call("POST", "/v1/login", json={**body, "totp": fresh}))["session"]["acr"] == "aal2"


async def test_the_decision_is_the_same(old: OldService) -> None:
    """License, seat, login, second factor and acceptance together."""
    body = {**old.device, "product": old.credentials["product"]}
    result = await old.call("POST", "/v1/access", f"Bearer {old.credentials['person']['token']}", json=body)
    assert result["allow"], result


async def test_the_ledger_is_valid(old: OldService) -> None:
    """Today's verification accepts what the old release wrote."""
    body = await old.call("POST", "/v1/ledger/verify", old.credentials["operator"]["Authorization"], json={})
    assert (body["valid"], body["events"] > 0) == (True, True), body


async def test_a_receipt_is_the_same_byte_for_byte_and_verifies(old: OldService) -> None:
    """The old keys are still published."""
    frozen, auth = old.credentials["receipt"], f"Bearer {old.credentials['person']['token']}"
    body, keys = await asyncio.gather(old.call("GET", f"/v1/me/receipts/{frozen['id']}", auth), old.call("GET", "/.well-known/jwks.json"))
    assert body["jws"] == frozen["jws"]
    assert read_with_key_set(body["jws"], keys)[0] == "acceptance-receipt+jwt"


def test_there_are_rows_of_the_first_revision() -> None:
    assert trees.revisions()[0] in FROZEN
