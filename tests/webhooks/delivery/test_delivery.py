"""Events reach receivers at least once, in order for each subject, and are retried after failures."""

import asyncio
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from fastapi import FastAPI
from sqlalchemy import select, update
from standardwebhooks import Webhook, WebhookVerificationError

from app import housekeeping
from app.base.clock import Clock
from app.events.models import Event
from app.events.service import Actor, record
from app.webhooks import rules
from app.webhooks.delivery import outbox, outcomes
from app.webhooks.delivery.outcomes import Attempt, DeliveryOutcome
from app.webhooks.models import WebhookDelivery, WebhookEndpoint
from tests.assertions import DEADLINE, wait_until
from tests.webhooks.conftest import Hooks, deliver_due, make_egress
from tests.webhooks.delivery.receiver import Received, Receiver, status
from tests.webhooks.rounds import record_event


async def test_a_request_has_the_event_as_in_the_audit_list(hooks: Hooks, receiver: Receiver) -> None:
    """The Standard Webhooks library accepts its signature, and its id is the event's."""
    hooks.given.clock.moment = Clock().now()
    hook = await hooks.create("license.*")
    license_ = await hooks.given.license()
    hooks.given.clock.forward(seconds=2)
    assert await hooks.deliver() == 1
    metrics = (await hooks.given.client.get("/metrics")).text
    assert "licentia_webhook_lag_seconds 2.0" in metrics
    assert 'licentia_webhook_deliveries_total{result="delivered"}' in metrics
    (came,) = receiver.received
    event = await hooks.get(f"/v1/events/{came.headers['webhook-id']}")
    assert Webhook(hook["secret"]).verify(came.body, came.headers) == came.payload == event
    assert (event["type"], event["subject"]) == ("license.issued", {"type": "license", "id": license_["id"]})
    assert came.headers["content-type"] == "application/json"
    (delivery,) = await hooks.list_deliveries(hook)
    assert (delivery["id"], delivery["state"], delivery["attempts"], delivery["last_status"]) == (event["id"], "delivered", 1, 204)
    with pytest.raises(WebhookVerificationError):
        Webhook(hook["secret"]).verify(came.body + " ", came.headers)
    assert await hooks.deliver() == 0


@pytest.mark.parametrize(
    ("types", "wanted"),
    [
        (["*"], ["license.issued", "license_x.issued", "user.created"]),
        (["license.*"], ["license.issued"]),
        (["user.created", "license.revoked"], ["user.created"]),
    ],
)
async def test_an_endpoint_gets_the_types_of_its_webhook(hooks: Hooks, receiver: Receiver, types: list[str], wanted: list[str]) -> None:
    await hooks.create(*types)
    for type_ in ("license.issued", "license_x.issued", "user.created"):
        await record_event(hooks, type_)
    await hooks.deliver()
    assert [type_ for type_ in receiver.types if not type_.startswith("webhook.")] == wanted


async def test_an_event_that_was_rolled_back_is_never_delivered(hooks: Hooks, receiver: Receiver) -> None:
    await hooks.create("license.*")
    async with hooks.world.db.write() as tx:
        await record(tx, hooks.world, "license.issued", Actor.system(), ("license", UUID(int=1)))
        await tx.rollback()
    await record_event(hooks, "license.revoked")
    await hooks.deliver()
    assert receiver.types == ["license.revoked"]


@pytest.mark.parametrize("kind", ["postgresql"])
async def test_an_event_that_commits_late_is_not_missed(hooks: Hooks, receiver: Receiver) -> None:
    """Its id and time are older than those of an event that was delivered before."""
    await hooks.create("license.*")
    recorded, late = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        async with hooks.world.db.write() as tx:
            await record(tx, hooks.world, "license.issued", Actor.system(), ("license", UUID(int=1)))
            recorded.set()
            await late.wait()

    task = asyncio.create_task(slow())
    await recorded.wait()
    await record_event(hooks, "license.revoked")
    assert await hooks.deliver() == 1
    late.set()
    await task
    assert await hooks.deliver() == 1
    assert receiver.types == ["license.revoked", "license.issued"]


@pytest.mark.parametrize("word", ["500", "hang", "drip", "redirect", "garbage", "closed"])
async def test_a_failed_delivery_is_retried_and_later_ones_of_its_subject_wait(
    app: FastAPI, hooks: Hooks, receiver: Receiver, word: str
) -> None:
    """Another subject is not delayed; after the first success, the rest follow in order."""

    async def broken(came: Received) -> bytes:
        if came.payload["subject"]["id"] != str(UUID(int=1)):
            return status(200)
        if word == "hang":
            await asyncio.sleep(DEADLINE)
        return {
            "500": status(500, "out of\r\n\x00order" + " x://a:hunter2@b" * 5000),
            "redirect": status(307, Location=f"{receiver.url}/elsewhere"),
            "drip": b"HTTP/1.1 200 OK\r\nX-Slow: ",
            "garbage": b"SSH-2.0-OpenSSH\r\n\r\n",
        }.get(word, b"")

    receiver.answer = broken
    hook = await hooks.create("license.*")
    for type_ in ("license.issued", "license.suspended", "license.revoked"):
        await record_event(hooks, type_)
    await record_event(hooks, "license.started", 2)
    hooks.given.configured(app, webhook_timeout=timedelta(seconds=2 if word == "hang" else DEADLINE))
    await hooks.deliver()
    hooks.given.configured(app, webhook_timeout=timedelta(seconds=DEADLINE))
    assert sorted(receiver.types) == ["license.issued", "license.started"]
    assert {came.path for came in receiver.received} == {"/hook"}
    first = (await hooks.list_deliveries(hook, "pending"))[0]
    errors = {"500": "refused", "hang": "timeout", "redirect": "redirected"}
    assert (first["attempts"], first["last_error"]) == (1, errors.get(word, "no_answer"))
    if word == "500":
        assert first["last_excerpt"].startswith("out of   order")
        assert "hunter2" not in first["last_excerpt"]
    assert await hooks.deliver() == 0
    receiver.answer = None
    hooks.given.clock.forward(seconds=5 * (1 + rules.BACKOFF.jitter))
    await hooks.deliver()
    assert receiver.types[2:] == ["license.issued", "license.suspended", "license.revoked"]
    assert len({came.headers["webhook-id"] for came in receiver.received if came.payload["type"] == "license.issued"}) == 1
    assert {each["state"] for each in await hooks.list_deliveries(hook)} == {"delivered"}


async def test_a_delivery_is_given_up_after_the_last_try_and_later_ones_continue(hooks: Hooks, receiver: Receiver) -> None:
    receiver.always_answer(status(400))
    hook = await hooks.create("license.*")
    await record_event(hooks, "license.issued")
    await record_event(hooks, "license.revoked")
    begun, tries = hooks.given.clock.now(), await hooks.deliver()
    while (first := (await hooks.list_deliveries(hook))[0])["state"] == "pending":
        hooks.given.clock.moment = datetime.fromisoformat(first["next_attempt_at"]) + timedelta(milliseconds=1)
        receiver.received.clear()
        tries += await hooks.deliver()
    assert (first["state"], first["attempts"]) == ("failed", rules.BACKOFF.tries)
    assert timedelta(days=3) < hooks.given.clock.now() - begun < hooks.world.settings.webhook_disable_after
    assert receiver.types == ["license.issued", "license.revoked"]
    assert tries == first["attempts"] + 1


async def test_two_runners_claim_each_delivery_once(hooks: Hooks, receiver: Receiver) -> None:
    """Concurrent claims get different rows, and the order of a subject holds across runners."""

    async def slowly(_came: Received) -> bytes:
        await asyncio.sleep(0.01)
        return status(200)

    receiver.answer = slowly
    await hooks.create("license.*")
    sent = [await record_event(hooks, "license.changed", subject) for _ in range(3) for subject in range(1, 8)]
    taken = await asyncio.gather(*(hooks.deliver() for _ in range(4)))
    assert sum(taken) == len(sent)
    came = [each.headers["webhook-id"] for each in receiver.received]
    assert sorted(came) == sorted(sent)
    for subject in range(1, 8):
        mine = [each.headers["webhook-id"] for each in receiver.received if each.payload["subject"]["id"] == str(UUID(int=subject))]
        assert mine == sorted(mine)
    assert receiver.max_active > 1


async def test_a_process_that_dies_before_it_records_the_outcome_loses_nothing(hooks: Hooks, receiver: Receiver) -> None:
    """The delivery is repeated after the claim; a late outcome changes nothing."""
    hook = await hooks.create("license.*")
    await record_event(hooks, "license.issued")
    (row,) = await outbox.claim_deliveries(hooks.world, UUID(hook["id"]))
    await make_egress(hooks.world).post(receiver.url, b'{"type": "before the end"}', {})
    assert await hooks.deliver() == 0
    hooks.given.clock.moment = row.claimed_until
    assert await hooks.deliver() == 1
    assert receiver.types == ["before the end", "license.issued"]
    await outcomes.record_outcome(hooks.world, Attempt(row, receiver.url, "license.issued"), DeliveryOutcome("timeout"))
    (delivery,) = await hooks.list_deliveries(hook)
    assert (delivery["state"], delivery["attempts"]) == ("delivered", 2)


@pytest.mark.parametrize(("code", "value"), [(429, "600"), (503, "600"), (503, "date"), (429, "999999999999"), (503, "soon"), (500, "600")])
async def test_retry_after_pauses_a_receiver(hooks: Hooks, receiver: Receiver, code: int, value: str) -> None:
    """The pause applies to all deliveries of the endpoint, and lasts a day at most."""
    later = hooks.given.clock.now() + timedelta(seconds=600)
    receiver.always_answer(status(code, Retry_After=later.strftime("%a, %d %b %Y %H:%M:%S GMT") if value == "date" else value))
    await hooks.create("license.*")
    await record_event(hooks, "license.issued")
    await hooks.deliver()
    receiver.answer = None
    await record_event(hooks, "license.issued", 2)
    heeded = (code, value) not in {(503, "soon"), (500, "600")}
    hooks.given.clock.forward(seconds=6)
    assert await hooks.deliver() == (0 if heeded else 2)
    hooks.given.clock.moment = later if value != "999999999999" else later + rules.MAX_PAUSE
    assert await hooks.deliver() == (2 if heeded else 0)


async def test_410_disables_at_once_and_enabling_continues(hooks: Hooks, receiver: Receiver) -> None:
    hook = await hooks.create("license.*")
    receiver.always_answer(status(410))
    await record_event(hooks, "license.issued")
    await hooks.deliver()
    webhook = await hooks.get_webhook(hook)
    assert (webhook["enabled"], webhook["disabled_reason"]) == (False, "gone")
    receiver.answer = None
    await record_event(hooks, "license.revoked")
    assert await hooks.deliver() == 0
    assert (await hooks.change(hook, enabled=True))["disabled_at"] is None
    await hooks.deliver()
    assert receiver.types == ["license.issued", "license.issued"]
    assert (await hooks.get_webhook(hook))["failing_since"] is None


async def test_days_of_failures_disable_a_webhook_and_others_get_the_event(hooks: Hooks, receiver: Receiver) -> None:
    """Only failures for `WEBHOOK_DISABLE_AFTER`."""
    hook = await hooks.create("license.*")
    watch = await hooks.create("webhook.disabled", url=f"http://127.0.0.1:{receiver.port}/watch")

    async def broken(came: Received) -> bytes:
        return status(500 if came.path == "/hook" else 200)

    receiver.answer = broken
    await record_event(hooks, "license.issued")
    await hooks.deliver()
    assert (await hooks.get_webhook(hook))["failing_since"] is not None
    hooks.given.clock.moment += hooks.world.settings.webhook_disable_after - timedelta(seconds=1)
    await hooks.deliver()
    assert (await hooks.get_webhook(hook))["enabled"]
    hooks.given.clock.forward(hours=2)
    await record_event(hooks, "license.issued", 2)
    await hooks.deliver()
    assert (await hooks.get_webhook(hook))["disabled_reason"] == "failing"
    await hooks.deliver()
    (event,) = (await hooks.get("/v1/events?type=webhook.disabled"))["data"]
    assert event["subject"]["id"] == hook["id"]
    assert [came.payload for came in receiver.received if came.path == "/watch"] == [event]
    assert [each["state"] for each in await hooks.list_deliveries(watch)] == ["delivered"]


async def test_a_receiver_that_hangs_does_not_delay_others(hooks: Hooks, receiver: Receiver) -> None:
    """Each endpoint has its own task."""

    async def one_hangs(came: Received) -> bytes:
        if came.path == "/hook":
            await asyncio.sleep(DEADLINE)
        return status(200)

    receiver.answer = one_hangs
    await hooks.create("license.*")
    other = await hooks.create("license.*", url=f"http://127.0.0.1:{receiver.port}/other")
    for _ in range(3):
        await record_event(hooks, "license.changed")
    egress = make_egress(hooks.world)
    task = asyncio.create_task(deliver_due(hooks.world, egress))

    async def others_are_delivered() -> bool:
        return [each["state"] for each in await hooks.list_deliveries(other)] == ["delivered"] * 3

    await wait_until(others_are_delivered)
    assert not task.done()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_secret_that_cannot_be_decrypted_is_an_error_of_its_delivery(hooks: Hooks, receiver: Receiver) -> None:
    hook = await hooks.create("license.*")
    await record_event(hooks, "license.issued")
    async with hooks.world.db.write() as tx:
        await tx.execute(update(WebhookEndpoint).values(secret_sealed="t1:AAAA"))
    assert await hooks.deliver() == 1
    assert [each["last_error"] for each in await hooks.list_deliveries(hook)] == ["not_sent"]
    assert receiver.received == []


async def test_settled_deliveries_are_pruned_and_events_remain(hooks: Hooks, receiver: Receiver) -> None:
    hook, left = await hooks.create("license.*"), await hooks.create("user.*", url=f"http://127.0.0.1:{receiver.port}/left")
    await record_event(hooks, "license.issued")
    await record_event(hooks, "user.created")
    await hooks.change(left, enabled=False)
    await hooks.deliver()
    hooks.given.clock.moment += hooks.world.settings.webhook_retention
    await record_event(hooks, "license.revoked")
    assert (await housekeeping.delete_expired(hooks.world))["webhook_deliveries"] == 2
    assert "webhook_deliveries" not in await housekeeping.delete_expired(hooks.world)
    assert [each["type"] for each in [*await hooks.list_deliveries(hook), *await hooks.list_deliveries(left)]] == ["license.revoked"]
    async with hooks.world.db.query() as tx:
        assert (await tx.scalar(select(Event.id).where(Event.type == "license.issued"))) is not None
        assert (await tx.scalar(select(WebhookDelivery.endpoint_id).where(WebhookDelivery.endpoint_id == UUID(left["id"])))) is None
