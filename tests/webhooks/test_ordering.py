"""Deliveries with one ordering key: only the first is due, and settling it makes the next one due."""

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
from tests.assertions import DEADLINE
from tests.webhooks.conftest import LOOPBACK, Hooks
from tests.webhooks.delivery.receiver import Received, Receiver, status
from tests.webhooks.rounds import record_event, start_delivery


async def due(hooks: Hooks) -> list[bool]:
    """Return for each delivery, in the order of events, whether it has a due time or waits for another."""
    async with hooks.world.db.query() as tx:
        rows = (await tx.scalars(select(WebhookDelivery.due_at).order_by(WebhookDelivery.event_id))).all()
    return [each < NOT_FIRST for each in rows]


async def test_deliveries_behind_another_are_not_due_and_do_not_count_as_lag(hooks: Hooks, receiver: Receiver) -> None:
    hook = await hooks.create("license.*")
    for _ in range(3):
        await record_event(hooks, "license.changed")
    await record_event(hooks, "license.changed", 2)
    assert await due(hooks) == [True, False, False, True]
    assert [each["next_attempt_at"] is not None for each in await hooks.list_deliveries(hook)] == [True, False, False, True]
    receiver.always_answer(status(500))
    await hooks.deliver()
    await record_event(hooks, "license.changed")
    assert await outbox.find_due(hooks.world) == outbox.DueEndpoints([], any_enabled=True)
    assert "licentia_webhook_lag_seconds 0.0" in (await hooks.given.client.get("/metrics")).text
    receiver.answer = None
    hooks.given.clock.forward(seconds=10)
    assert await hooks.deliver() == 5
    assert {each["state"] for each in await hooks.list_deliveries(hook)} == {"delivered"}


async def test_one_users_acceptance_does_not_delay_another_users(hooks: Hooks, receiver: Receiver) -> None:
    """The events are of one agreement; the ordering key is the end user, and includes their other events."""
    agreement = await making.create_in_force(hooks.given)
    people = [await hooks.given.logged_in() for _ in range(3)]
    hook = await hooks.create("agreement.*", "user.*")

    async def refusing(came: Received) -> bytes:
        return status(500 if came.payload["user_id"] == people[0].id else 200)

    receiver.answer = refusing
    for person in people:
        await making.accept(hooks.given, person, agreement)
    await hooks.deliver()
    sent = [(each.payload["user_id"], each.payload["type"]) for each in receiver.received]
    rest = [each for each in sent if each[0] != people[0].id]
    assert [each for each in sent if each[0] == people[0].id] == [(people[0].id, "agreement.presented")]
    assert sorted(rest) == sorted((person.id, f"agreement.{act}") for person in people[1:] for act in ("presented", "accepted"))
    assert len(await hooks.list_deliveries(hook, "pending")) == 2


@pytest.mark.parametrize("kind", ["postgresql"])
@pytest.mark.parametrize("first", ["event", "mark"])
async def test_an_event_and_the_outcome_of_the_previous_one_see_each_other(hooks: Hooks, receiver: Receiver, first: str) -> None:
    """Whichever commits first, the new delivery becomes due."""
    await hooks.create("license.*")
    before = await record_event(hooks, "license.issued")
    recorded, go = asyncio.Event(), asyncio.Event()

    async def slow() -> str:
        async with hooks.world.db.write() as tx:
            event = await record(tx, hooks.world, "license.changed", Actor.system(), ("license", UUID(int=1)))
            recorded.set()
            await go.wait()
        return str(event)

    if first == "mark":
        await hooks.deliver()
    task = asyncio.create_task(slow())
    await asyncio.wait_for(recorded.wait(), DEADLINE)
    telling = asyncio.create_task(hooks.deliver())
    await asyncio.sleep(0.3)
    go.set()
    event = await task
    await telling
    await hooks.deliver()
    assert [each.headers["webhook-id"] for each in receiver.received] == [before, event]


async def test_a_replayed_delivery_keeps_its_place_in_the_order(hooks: Hooks, receiver: Receiver) -> None:
    hook = await hooks.create("license.*")
    old = [await record_event(hooks, "license.changed") for _ in range(2)]
    await hooks.deliver()
    hooks.given.clock.forward(seconds=1)
    new = await record_event(hooks, "license.changed")
    receiver.received.clear()
    await hooks.given.post(f"/v1/webhooks/{hook['id']}/replay", {"since": "2020-01-01T00:00:00Z"})
    await hooks.deliver()
    assert [each.headers["webhook-id"] for each in receiver.received] == [*old, new]


async def test_a_url_that_changes_between_claim_and_outcome_is_not_disabled(hooks: Hooks, receiver: Receiver) -> None:
    """Even if the claim is still valid, because the request was sent while the URL was being changed."""
    hook = await hooks.create("license.*")
    event = await record_event(hooks, "license.issued")
    task, go = await start_delivery(hooks, receiver, status(410))
    async with hooks.world.db.write() as tx:
        await tx.execute(update(WebhookEndpoint).values(url=f"http://127.0.0.1:{receiver.port}/new"))
    go.set()
    await task
    webhook = await hooks.get_webhook(hook)
    assert (webhook["enabled"], webhook["failing_since"]) == (True, None)
    hooks.given.clock.forward(minutes=2)
    await hooks.deliver()
    assert [came.headers["webhook-id"] for came in receiver.received if came.path == "/new"] == [event]


async def test_responses_after_an_erasure_are_not_stored(hooks: Hooks, receiver: Receiver) -> None:
    """Neither of a request that was under way nor of the erasure event itself."""
    person = await hooks.given.person()
    hook = await hooks.create("user.*")
    await hooks.given.post(f"/v1/users/{person.id}/suspend")
    task, go = await start_delivery(hooks, receiver, status(400, "no such person: Ola Nordmann"))
    await hooks.given.post(f"/v1/users/{person.id}/erase")
    hooks.given.clock.forward(seconds=1)

    async def refusing(came: Received) -> bytes:
        return status(400 if came.payload["type"] == "user.erased" else 200, "no such person: Ola Nordmann")

    receiver.answer = refusing
    go.set()
    await task
    await hooks.deliver()
    listed = await hooks.list_deliveries(hook)
    assert [each["last_excerpt"] for each in listed] == [None] * len(listed)
    assert [each["last_status"] for each in listed if each["type"] == "user.erased"] == [400]


async def test_pending_deliveries_of_an_enabled_endpoint_are_never_pruned(hooks: Hooks, receiver: Receiver, app: FastAPI) -> None:
    hooks.given.configured(app, webhook_retention=timedelta(days=1), webhook_allowed_networks=LOOPBACK)
    hook = await hooks.create("license.*")
    events = [await record_event(hooks, "license.changed") for _ in range(2)]
    hooks.given.clock.forward(days=3)
    assert await housekeeping.delete_expired(hooks.world) == {}
    await hooks.change(hook, enabled=False)
    hooks.given.clock.forward(hours=23)
    assert await housekeeping.delete_expired(hooks.world) == {}
    await hooks.change(hook, enabled=True)
    await hooks.deliver()
    assert [each.headers["webhook-id"] for each in receiver.received] == events


async def test_a_slower_success_does_not_end_the_pause_that_another_delivery_was_asked_for(hooks: Hooks, receiver: Receiver) -> None:
    hook = await hooks.create("license.*")
    await record_event(hooks, "license.issued", 1)
    await record_event(hooks, "license.issued", 2)

    async def both(came: Received) -> bytes:
        if came.payload["subject"]["id"] == str(UUID(int=1)):
            return status(429, Retry_After="3600")
        await asyncio.sleep(0.3)
        return status(200)

    receiver.answer = both
    await hooks.deliver()
    assert (await hooks.get_webhook(hook))["resume_at"] is not None
    await record_event(hooks, "license.issued", 3)
    assert await hooks.deliver() == 0
    hooks.given.clock.forward(hours=1)
    receiver.answer = None
    assert await hooks.deliver() == 2
    assert (await hooks.get_webhook(hook))["resume_at"] is None
