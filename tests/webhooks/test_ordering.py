"""The lines in which deliveries wait: the first alone is due, whoever settles it calls the next, and nobody is left behind."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest
from fastapi import FastAPI
from sqlalchemy import select, update

from app import housekeeping
from app.events.service import Actor, record
from app.webhooks.delivery import outbox
from app.webhooks.models import WebhookDelivery, WebhookEndpoint
from app.webhooks.rules import NOT_FIRST
from tests.agreements import making
from tests.webhooks.conftest import LOOPBACK, Hooks
from tests.webhooks.delivery.receiver import Received, Receiver, status
from tests.webhooks.delivery.test_delivery import happened
from tests.webhooks.test_regressions import held_up


async def due(hooks: Hooks) -> list[bool]:
    """Of each delivery, by its event: whether it is due at some time, or behind another."""
    async with hooks.world.db.query() as tx:
        rows = (await tx.scalars(select(WebhookDelivery.due_at).order_by(WebhookDelivery.event_id))).all()
    return [each < NOT_FIRST for each in rows]


async def test_those_behind_are_not_due_and_count_as_no_lag(hooks: Hooks, receiver: Receiver) -> None:
    hook = await hooks.made("license.*")
    for _ in range(3):
        await happened(hooks, "license.changed")
    await happened(hooks, "license.changed", 2)
    assert await due(hooks) == [True, False, False, True]
    assert [each["next_attempt_at"] is not None for each in await hooks.listed(hook)] == [True, False, False, True]
    receiver.always(status(500))
    await hooks.told()
    await happened(hooks, "license.changed")
    assert await outbox.find_due(hooks.world) == outbox.Due([], any_enabled=True)
    assert "licentia_webhook_lag_seconds 0.0" in (await hooks.given.client.get("/metrics")).text
    receiver.answer = None
    hooks.given.clock.forward(seconds=10)
    assert await hooks.told() == 5
    assert {each["state"] for each in await hooks.listed(hook)} == {"delivered"}


async def test_what_one_end_user_accepted_holds_up_no_other(hooks: Hooks, receiver: Receiver) -> None:
    """They are events of one agreement; each end user has a line of their own, in order with what else happens to them."""
    found = await making.create_in_force(hooks.given)
    people = [await hooks.given.logged_in() for _ in range(3)]
    hook = await hooks.made("agreement.*", "user.*")

    async def refusing(came: Received) -> bytes:
        return status(500 if came.told["user_id"] == people[0].id else 200)

    receiver.answer = refusing
    for person in people:
        await making.accept(hooks.given, person, found)
    await hooks.told()
    told = [(each.told["user_id"], each.told["type"]) for each in receiver.received]
    rest = [each for each in told if each[0] != people[0].id]
    assert [each for each in told if each[0] == people[0].id] == [(people[0].id, "agreement.presented")]
    assert sorted(rest) == sorted((person.id, f"agreement.{act}") for person in people[1:] for act in ("presented", "accepted"))
    assert len(await hooks.listed(hook, "pending")) == 2


@pytest.mark.parametrize("kind", ["postgresql"])
@pytest.mark.parametrize("first", ["event", "mark"])
async def test_an_event_and_the_mark_of_the_one_before_see_each_other(hooks: Hooks, receiver: Receiver, first: str) -> None:
    """Whichever commits first: the event is due."""
    await hooks.made("license.*")
    before = await happened(hooks, "license.issued")
    recorded, go = asyncio.Event(), asyncio.Event()

    async def slow() -> str:
        async with hooks.world.db.write() as tx:
            event = await record(tx, hooks.world, "license.changed", Actor.system(), ("license", UUID(int=1)))
            recorded.set()
            await go.wait()
        return str(event)

    if first == "mark":
        await hooks.told()
    task = asyncio.create_task(slow())
    await asyncio.wait_for(recorded.wait(), 5)
    telling = asyncio.create_task(hooks.told())
    await asyncio.sleep(0.3)
    go.set()
    event = await task
    await telling
    await hooks.told()
    assert [each.headers["webhook-id"] for each in receiver.received] == [before, event]


async def test_a_replay_goes_in_its_place_in_the_line(hooks: Hooks, receiver: Receiver) -> None:
    hook = await hooks.made("license.*")
    old = [await happened(hooks, "license.changed") for _ in range(2)]
    await hooks.told()
    hooks.given.clock.forward(seconds=1)
    new = await happened(hooks, "license.changed")
    receiver.received.clear()
    await hooks.given.post(f"/v1/webhooks/{hook['id']}/replay", {"since": "2020-01-01T00:00:00Z"})
    await hooks.told()
    assert [each.headers["webhook-id"] for each in receiver.received] == [*old, new]


async def test_an_address_that_changes_between_claim_and_mark_is_not_blamed(hooks: Hooks, receiver: Receiver) -> None:
    """Also where the claim still stands: its delivery was made while the address was being changed."""
    hook = await hooks.made("license.*")
    event = await happened(hooks, "license.issued")
    task, go = await held_up(hooks, receiver, status(410))
    async with hooks.world.db.write() as tx:
        await tx.execute(update(WebhookEndpoint).values(url=f"http://127.0.0.1:{receiver.port}/new"))
    go.set()
    await task
    shown = await hooks.shown(hook)
    assert (shown["enabled"], shown["failing_since"]) == (True, None)
    hooks.given.clock.forward(minutes=2)
    await hooks.told()
    assert [came.headers["webhook-id"] for came in receiver.received if came.path == "/new"] == [event]


async def test_nothing_that_is_answered_after_an_erasure_is_kept(hooks: Hooks, receiver: Receiver) -> None:
    """Neither of what was under way nor of the erasure itself."""
    person = await hooks.given.person()
    hook = await hooks.made("user.*")
    await hooks.given.post(f"/v1/users/{person.id}/suspend")
    task, go = await held_up(hooks, receiver, status(400, "no such person: Ola Nordmann"))
    await hooks.given.post(f"/v1/users/{person.id}/erase")
    hooks.given.clock.forward(seconds=1)

    async def refusing(came: Received) -> bytes:
        return status(400 if came.told["type"] == "user.erased" else 200, "no such person: Ola Nordmann")

    receiver.answer = refusing
    go.set()
    await task
    await hooks.told()
    listed = await hooks.listed(hook)
    assert [each["last_excerpt"] for each in listed] == [None] * len(listed)
    assert [each["last_status"] for each in listed if each["type"] == "user.erased"] == [400]


async def test_what_an_enabled_endpoint_waits_for_is_never_pruned(hooks: Hooks, receiver: Receiver, app: FastAPI) -> None:
    hooks.given.configured(app, webhook_retention=timedelta(days=1), webhook_allowed_networks=LOOPBACK)
    hook = await hooks.made("license.*")
    events = [await happened(hooks, "license.changed") for _ in range(2)]
    hooks.given.clock.forward(days=3)
    assert await housekeeping.delete_expired(hooks.world) == {}
    await hooks.changed(hook, enabled=False)
    hooks.given.clock.forward(hours=23)
    assert await housekeeping.delete_expired(hooks.world) == {}
    await hooks.changed(hook, enabled=True)
    await hooks.told()
    assert [each.headers["webhook-id"] for each in receiver.received] == events


async def test_a_slower_yes_does_not_end_the_pause_of_another(hooks: Hooks, receiver: Receiver) -> None:
    hook = await hooks.made("license.*")
    await happened(hooks, "license.issued", 1)
    await happened(hooks, "license.issued", 2)

    async def both(came: Received) -> bytes:
        if came.told["subject"]["id"] == str(UUID(int=1)):
            return status(429, Retry_After="3600")
        await asyncio.sleep(0.3)
        return status(200)

    receiver.answer = both
    await hooks.told()
    assert (await hooks.shown(hook))["resume_at"] is not None
    await happened(hooks, "license.issued", 3)
    assert await hooks.told() == 0
    hooks.given.clock.forward(hours=1)
    receiver.answer = None
    assert await hooks.told() == 2
    assert (await hooks.shown(hook))["resume_at"] is None
