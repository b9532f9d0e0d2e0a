"""Housekeeping with an adjusted clock: all expired rows are deleted, in bounded batches, by any number of replicas, and no others."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI
from sqlalchemy import func, insert, select, update

from app import housekeeping
from app.agreements.models import AgreementEvent, AgreementPresentation
from app.config.settings import Settings
from app.db import pruning
from app.db.base import Base
from app.events import data_lifecycle as events
from app.events.models import Event
from app.licenses.models import Activation
from app.login import data_lifecycle as login
from app.login.device_grant.models import DeviceCode
from app.login.factors.passkey_challenges import PasskeyCeremony
from app.login.mailed_tokens import OneTimeToken
from app.login.models import Factor, Login, RefreshToken, SessionRow
from app.mail.models import Message
from app.web.models import AttemptCounter, FailureCount, StoredAnswer
from app.webhooks.models import WebhookDelivery
from app.world import World
from tests.agreements import making
from tests.assertions import wait_until
from tests.given import Given, Person
from tests.house.source import program


async def count(world: World, model: type[Base], *which: Any) -> int:
    async with world.db.query() as tx:
        return int(await tx.scalar(select(func.count()).select_from(model).where(*which)) or 0)


async def read_types(world: World) -> set[str]:
    async with world.db.query() as tx:
        return set((await tx.scalars(select(Event.type).distinct())).all())


async def create_expiring_rows(given: Given, app: FastAPI) -> Person:
    """Create a row in every table whose rows expire, and an acceptance."""
    given.taking_passkeys(app)
    hook = await given.post("/v1/webhooks", {"url": "https://hooks.example.com", "types": ["*"]})
    person, agreement = await given.with_totp(), await making.create_in_force(given)
    await making.accept(given, person, agreement)
    await making.present(given, person, agreement)
    await given.begin(person)
    await given.post("/v1/me/totp", {}, (await given.logged_in()).auth)
    await given.post("/v1/login/passkey/options", {}, {})
    await given.post("/v1/device/code", {}, {})
    await given.post("/v1/password/forgot", {"identifier": person.email}, {})
    await given.client.post("/v1/customers", json={"name": "Ola"}, headers={**given.root, "Idempotency-Key": "k"})
    await given.client.post("/v1/activations", json={"license_key": "ABCDE-FGHJK", "device": {"fingerprint": "laptop"}})
    await create_seats(given)
    given.expect(await given.client.patch(f"/v1/webhooks/{hook['id']}", json={"enabled": False}, headers=given.root))
    async with given.world.db.write() as tx:
        await tx.execute(update(Message).values(sent_at=given.clock.now()))
        row = {"slot": b"\0" * 32, "failures": 1, "until": given.clock.now() + timedelta(minutes=1)}  # as the previous release writes
        await tx.execute(insert(FailureCount), row)
    return person


async def create_seats(given: Given) -> None:
    """Create two seats for processes and two for devices, and release one of each."""
    for seat_by in ("session", "device"):
        license_ = await given.license(await given.policy(seat_by=seat_by, max_seats=5, lease="P7D"))
        first, _ = await given.activation(license_, "one"), await given.activation(license_, "two")
        given.expect(await given.client.delete(f"/v1/activations/{first['activation']['id']}", headers=given.root))


EXPIRING = (
    StoredAnswer, FailureCount, Login, RefreshToken, SessionRow, OneTimeToken, AttemptCounter, PasskeyCeremony, DeviceCode, Message,
    AgreementPresentation, WebhookDelivery,
)  # fmt: skip


async def test_expired_rows_are_deleted_and_no_others(given: Given, app: FastAPI) -> None:
    person = await create_expiring_rows(given, app)
    before = {model: await count(given.world, model) for model in EXPIRING}
    assert all(before.values()), before
    event_count, types_before = await count(given.world, AgreementEvent), await read_types(given.world)
    assert await housekeeping.delete_expired(given.world) == {}
    given.clock.forward(days=800)
    deleted = await housekeeping.delete_expired(given.world)
    assert set(deleted) == set(housekeeping.STEPS) - {"contexts"}
    assert (deleted["session_seats"], deleted["enrolments"], deleted["presentations"]) == (1, 1, 1)
    assert {model: await count(given.world, model) for model in EXPIRING} == {**dict.fromkeys(EXPIRING, 0), AgreementPresentation: 1}
    assert await count(given.world, Activation) == 3
    assert await count(given.world, Factor, Factor.user_id == UUID(person.id)) > 2
    assert await count(given.world, AgreementEvent) == event_count
    assert await read_types(given.world) == types_before - set(events.LOGIN_EVENTS) - set(events.USAGE_EVENTS)
    assert (await given.post("/v1/ledger/verify"))["valid"] is True
    assert (await given.logged_in(person)).token
    assert await housekeeping.delete_expired(given.world) == {}


@pytest.mark.parametrize(
    ("what", "setting", "lifetime"),
    [
        ("sessions", "login_retention", timedelta(days=30)),  # counted from the latest possible end of the session
        ("login_events", "login_retention", timedelta(0)),
        ("use_events", "event_retention", timedelta(0)),
        ("session_seats", "seat_retention", timedelta(0)),
    ],
)
async def test_no_row_is_deleted_before_its_setting_allows(given: Given, what: str, setting: str, lifetime: timedelta) -> None:
    await given.logged_in()
    await create_seats(given)
    given.clock.moment += lifetime + getattr(given.world.settings, setting) - timedelta(minutes=1)
    assert what not in await housekeeping.delete_expired(given.world)
    given.clock.forward(minutes=1)
    assert (await housekeeping.delete_expired(given.world))[what]


def test_p7_login_events_are_kept_for_12_months(settings: Settings) -> None:
    assert (settings.login_retention.days, settings.event_retention.days, settings.seat_retention.days) == (366, 731, 90)


async def test_batches_are_bounded_and_concurrent_rounds_delete_each_row_once(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "BATCH", 4)
    monkeypatch.setattr(housekeeping, "PAUSE", 0)
    person = await given.with_totp()
    for _ in range(10):
        await given.begin(person)
    given.clock.forward(hours=1)
    assert await login.prune_logins(given.world) == 4
    results = await asyncio.gather(*(housekeeping.delete_expired(given.world) for _ in range(3)))
    assert sum(each.get("logins", 0) for each in results) == 6


async def test_a_row_that_others_refer_to_stays(given: Given) -> None:
    """A session stays until its refresh token is deleted."""
    await given.logged_in()
    given.clock.forward(days=500)
    assert await login.prune_sessions(given.world) == 0
    assert (await login.prune_refresh_tokens(given.world), await login.prune_sessions(given.world)) == (1, 1)


async def test_a_failing_step_does_not_stop_the_others(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_: World) -> int:
        raise OSError

    monkeypatch.setattr(housekeeping, "STEPS", {"broken": broken, **housekeeping.STEPS})
    await given.logged_in()
    given.clock.forward(days=500)
    assert (await housekeeping.delete_expired(given.world))["sessions"] == 1


async def test_the_runner_deletes_expired_rows(given: Given) -> None:
    """From the start of the application; the metrics count the deleted rows."""
    await given.begin(await given.with_totp())
    given.clock.forward(days=1)

    async def is_deleted() -> bool:
        return await count(given.world, Login) == 0

    async with housekeeping.run(given.world):
        await wait_until(is_deleted)
    assert 'licentia_pruned_rows_total{what="logins"}' in (await given.client.get("/metrics")).text


def test_every_pruned_event_type_is_recorded_somewhere() -> None:
    """The rows of a misspelt type would never be deleted."""
    text = "\n".join(source.text for source in program() if source.package != "events")
    assert [name for name in (*events.LOGIN_EVENTS, *events.USAGE_EVENTS) if f'"{name}"' not in text] == []
