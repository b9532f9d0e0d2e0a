"""What goes by itself, by the turned clock: all that is past its time, in bounded batches, by any number of replicas; and nothing else."""

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


async def types(world: World) -> set[str]:
    async with world.db.query() as tx:
        return set((await tx.scalars(select(Event.type).distinct())).all())


async def lived(given: Given, app: FastAPI) -> Person:
    """A row of everything that is kept only for a time, and an acceptance."""
    given.taking_passkeys(app)
    hook = await given.post("/v1/webhooks", {"url": "https://hooks.example.com", "types": ["*"]})
    person, found = await given.with_totp(), await making.create_in_force(given)
    await making.accept(given, person, found)
    await making.present(given, person, found)
    await given.begin(person)
    await given.post("/v1/me/totp", {}, (await given.logged_in()).auth)
    await given.post("/v1/login/passkey/options", {}, {})
    await given.post("/v1/device/code", {}, {})
    await given.post("/v1/password/forgot", {"identifier": person.email}, {})
    await given.client.post("/v1/customers", json={"name": "Ola"}, headers={**given.root, "Idempotency-Key": "k"})
    await given.client.post("/v1/activations", json={"license_key": "ABCDE-FGHJK", "device": {"fingerprint": "laptop"}})
    await seats(given)
    given.expect(await given.client.patch(f"/v1/webhooks/{hook['id']}", json={"enabled": False}, headers=given.root))
    async with given.world.db.write() as tx:
        await tx.execute(update(Message).values(sent_at=given.clock.now()))
        row = {"slot": b"\0" * 32, "failures": 1, "until": given.clock.now() + timedelta(minutes=1)}  # as the previous release writes
        await tx.execute(insert(FailureCount), row)
    return person


async def seats(given: Given) -> None:
    """Of processes and of a device: one given back, one held, of each."""
    for seat_by in ("session", "device"):
        license_ = await given.license(await given.policy(seat_by=seat_by, max_seats=5, lease="P7D"))
        first, _ = await given.activation(license_, "one"), await given.activation(license_, "two")
        given.expect(await given.client.delete(f"/v1/activations/{first['activation']['id']}", headers=given.root))


GOES = (
    StoredAnswer, FailureCount, Login, RefreshToken, SessionRow, OneTimeToken, AttemptCounter, PasskeyCeremony, DeviceCode, Message,
    AgreementPresentation, WebhookDelivery,
)  # fmt: skip


async def test_whatever_is_past_its_time_goes_and_nothing_else(given: Given, app: FastAPI) -> None:
    person = await lived(given, app)
    before = {model: await count(given.world, model) for model in GOES}
    assert all(before.values()), before
    acts, told = await count(given.world, AgreementEvent), await types(given.world)
    assert await housekeeping.delete_expired(given.world) == {}
    given.clock.forward(days=800)
    taken = await housekeeping.delete_expired(given.world)
    assert set(taken) == set(housekeeping.STEPS) - {"contexts"}
    assert (taken["session_seats"], taken["enrolments"], taken["presentations"]) == (1, 1, 1)
    assert {model: await count(given.world, model) for model in GOES} == {**dict.fromkeys(GOES, 0), AgreementPresentation: 1}
    assert await count(given.world, Activation) == 3
    assert await count(given.world, Factor, Factor.user_id == UUID(person.id)) > 2
    assert await count(given.world, AgreementEvent) == acts
    assert await types(given.world) == told - set(events.LOGIN_EVENTS) - set(events.USAGE_EVENTS)
    assert (await given.post("/v1/ledger/verify"))["valid"] is True
    assert (await given.logged_in(person)).token
    assert await housekeeping.delete_expired(given.world) == {}


@pytest.mark.parametrize(
    ("what", "setting", "kept"),
    [
        ("sessions", "login_retention", timedelta(days=30)),  # from when the session could last no longer
        ("login_events", "login_retention", timedelta(0)),
        ("use_events", "event_retention", timedelta(0)),
        ("session_seats", "seat_retention", timedelta(0)),
    ],
)
async def test_not_a_minute_before_its_setting_says(given: Given, what: str, setting: str, kept: timedelta) -> None:
    await given.logged_in()
    await seats(given)
    given.clock.moment += kept + getattr(given.world.settings, setting) - timedelta(minutes=1)
    assert what not in await housekeeping.delete_expired(given.world)
    given.clock.forward(minutes=1)
    assert (await housekeeping.delete_expired(given.world))[what]


def test_p7_login_entries_stay_for_12_months(settings: Settings) -> None:
    assert (settings.login_retention.days, settings.event_retention.days, settings.seat_retention.days) == (366, 731, 90)


async def test_batches_are_bounded_and_two_at_once_take_each_row_once(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pruning, "BATCH", 4)
    monkeypatch.setattr(housekeeping, "PAUSE", 0)
    person = await given.with_totp()
    for _ in range(10):
        await given.begin(person)
    given.clock.forward(hours=1)
    assert await login.prune_logins(given.world) == 4
    told = await asyncio.gather(*(housekeeping.delete_expired(given.world) for _ in range(3)))
    assert sum(each.get("logins", 0) for each in told) == 6


async def test_what_something_refers_to_stays(given: Given) -> None:
    """A session whose refresh token is still there; in its turn it goes."""
    await given.logged_in()
    given.clock.forward(days=500)
    assert await login.prune_sessions(given.world) == 0
    assert (await login.prune_refresh_tokens(given.world), await login.prune_sessions(given.world)) == (1, 1)


async def test_a_step_that_fails_is_in_no_other_steps_way(given: Given, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_: World) -> int:
        raise OSError

    monkeypatch.setattr(housekeeping, "STEPS", {"broken": broken, **housekeeping.STEPS})
    await given.logged_in()
    given.clock.forward(days=500)
    assert (await housekeeping.delete_expired(given.world))["sessions"] == 1


async def test_the_runner_tidies_beside_the_application(given: Given) -> None:
    """From the start on; and a round says in the metrics what it took."""
    await given.begin(await given.with_totp())
    given.clock.forward(days=1)

    async def gone() -> bool:
        return await count(given.world, Login) == 0

    async with housekeeping.run(given.world):
        await wait_until(gone)
    assert 'licentia_pruned_rows_total{what="logins"}' in (await given.client.get("/metrics")).text


def test_every_type_that_goes_is_one_that_somebody_records() -> None:
    """A name with a typo would keep its rows for ever."""
    text = "\n".join(source.text for source in program() if "retention" not in source.path)
    assert [name for name in (*events.LOGIN_EVENTS, *events.USAGE_EVENTS) if f'"{name}"' not in text] == []
