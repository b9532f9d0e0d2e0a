"""An upgrade strands nobody: what an earlier release stored and handed out, this one still reads and honours."""

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

FROZEN = old_rows.frozen()


@dataclass
class Old:
    """The service over an upgraded database, and what its customers hold."""

    client: httpx.AsyncClient
    clock: TurnedClock
    held: dict[str, Any]

    async def told(self, method: str, path: str, auth: str = "", **more: Any) -> Any:
        """The body of an answer that must be a success."""
        headers = {"Authorization": auth} if auth else {}
        answer = await self.client.request(method, path, headers=headers, **more)
        assert answer.is_success, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    @property
    def device(self) -> dict[str, Any]:
        return {"license_key": self.held["license_key"], "device": {"fingerprint": "laptop"}}


class Upgraded:
    """Databases migrated to the release that left the rows, filled with them, and upgraded: made once, then copied."""

    def __init__(self, folder: Path, server: NewPostgres) -> None:
        self.folder = folder
        self.server = server
        self.made: dict[tuple[str, str], str] = {}

    async def copied(self, kind: str, left: str, target: Path) -> str:
        """The address of a copy with the rows that `left` left."""
        if (kind, left) not in self.made:
            empty = databases.sqlite_url(self.folder / f"{left}.db") if kind == "sqlite" else await self.server.empty()
            config = revision.alembic_config(empty)
            await trees.up(config, left)
            await old_rows.insert(empty, FROZEN[left]["tables"])
            await trees.up(config)
            self.made[kind, left] = empty
        made = str(make_url(self.made[kind, left]).database)
        return databases.copy_template(Path(made), target) if kind == "sqlite" else await self.server.empty(like=made)


@pytest.fixture(scope="session")
def upgraded(tmp_path_factory: pytest.TempPathFactory, new_postgres: NewPostgres) -> Upgraded:
    return Upgraded(tmp_path_factory.mktemp("upgraded"), new_postgres)


@pytest.fixture(params=sorted(FROZEN))
async def old(request: pytest.FixtureRequest, kind: str, upgraded: Upgraded, tmp_path: Path, shared_app: FastAPI) -> AsyncIterator[Old]:
    url, held = await upgraded.copied(kind, request.param, tmp_path / "old.db"), FROZEN[request.param]["held"]
    clock = TurnedClock(held["at"])
    shared_app.state.world = world = World.of(Settings.load({**old_rows.HELD_SECRETS, "LICENTIA_DATABASE_URL": url}), clock=clock)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(shared_app), base_url="http://licentia.test") as client:
        yield Old(client, clock, held)
    await world.db.close()


async def test_an_operator_and_the_catalog(old: Old) -> None:
    """The key of then opens the back office, and everything is in it."""
    auth = old.held["operator"]["Authorization"]
    found = await old.told("POST", "/v1/licenses/lookup", auth, json={"license_key": old.held["license_key"]})
    seats = await old.told("GET", f"/v1/licenses/{found['id']}/activations", auth)
    assert [seat["id"] for seat in seats["data"]] == [old.held["seat"]["id"]]
    for path in ("products", "policies", "customers", "users", "agreements", "api-keys"):
        await old.told("GET", f"/v1/{path}", auth)


async def test_a_device_keeps_its_seat(old: Old) -> None:
    """Its key is still valid, its token still speaks for it, and asking again gives the same seat and token."""
    seat = old.held["seat"]
    verdict = await old.told("POST", "/v1/licenses/validate", json={**old.device, "product": old.held["product"]})
    assert verdict["valid"], verdict
    again = await old.told("POST", "/v1/activations", json=old.device)
    assert (again["activation"]["id"], again["token"]) == (seat["id"], seat["token"])
    await old.told("POST", f"/v1/activations/{seat['id']}/heartbeat", f"Bearer {seat['token']}")


async def test_an_unused_code_still_gives_a_seat(old: Old) -> None:
    body = {"activation_code": old.held["activation_code"], "device": {"fingerprint": "tablet"}}
    assert (await old.told("POST", "/v1/activations", json=body))["seats"]["used"] == 2


async def test_a_user_is_still_logged_in_and_can_log_in(old: Old) -> None:
    """The session of then lives; password and authenticator still fit, the code that was used is still spent."""
    person = old.held["person"]
    assert (await old.told("GET", "/v1/me", f"Bearer {person['token']}"))["user"]["email"] == person["email"]
    body = {"identifier": person["email"], "password": person["password"]}
    spent = await old.client.post("/v1/login", json={**body, "totp": pyotp.TOTP(person["totp"]).at(old.clock.now())})
    assert spent.json()["code"] == "code_refused"
    fresh = pyotp.TOTP(person["totp"]).at(old.clock.forward(seconds=30))
    assert (await old.told("POST", "/v1/login", json={**body, "totp": fresh}))["session"]["acr"] == "aal2"


async def test_the_decision_is_the_same(old: Old) -> None:
    """License, seat, login, second factor and acceptance together."""
    body = {**old.device, "product": old.held["product"]}
    told = await old.told("POST", "/v1/access", f"Bearer {old.held['person']['token']}", json=body)
    assert told["allow"], told


async def test_the_ledger_is_whole(old: Old) -> None:
    """What is checked today is what was written then."""
    told = await old.told("POST", "/v1/ledger/verify", old.held["operator"]["Authorization"], json={})
    assert (told["valid"], told["events"] > 0) == (True, True), told


async def test_a_receipt_is_the_same_byte_for_byte_and_verifies(old: Old) -> None:
    """The keys of then are still published."""
    receipt, auth = old.held["receipt"], f"Bearer {old.held['person']['token']}"
    told, keys = await asyncio.gather(old.told("GET", f"/v1/me/receipts/{receipt['id']}", auth), old.told("GET", "/.well-known/jwks.json"))
    assert told["jws"] == receipt["jws"]
    assert read_with_key_set(told["jws"], keys)[0] == "acceptance-receipt+jwt"


def test_there_are_rows_of_the_first_revision() -> None:
    assert trees.revisions()[0] in FROZEN
