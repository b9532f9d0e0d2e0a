"""Regression tests of faults of webhooks."""

import asyncio
import socket
from datetime import UTC, datetime, timedelta
from threading import Event as Signal
from typing import Any
from uuid import UUID

import pytest
from fastapi import FastAPI
from sqlalchemy import delete, select
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app import housekeeping
from app.background import outbox as background_outbox
from app.base.clock import Clock
from app.base.durations import instant_text
from app.events.models import Event
from app.webhooks import rules
from app.webhooks.delivery import outcomes
from app.webhooks.delivery.egress import Resolver
from app.webhooks.models import WebhookDelivery
from tests.assertions import DEADLINE, problem
from tests.given import Given
from tests.webhooks.conftest import LOOPBACK, Hooks, make_egress
from tests.webhooks.delivery.receiver import Received, Receiver, status
from tests.webhooks.rounds import record_event, start_delivery


@pytest.mark.parametrize("url", ["https://hooks.example.com/\0", "https://exa\tmple.com/", "https://hooks.example.com/\ud800"])
async def test_a_url_must_be_printable(given: Given, url: str) -> None:
    body = f'{{"url": "{url.encode("unicode_escape").decode().replace(chr(92) + "x00", chr(92) + "u0000")}", "types": ["*"]}}'
    problem(await given.client.post("/v1/webhooks", content=body, headers=given.root), 422, "malformed")


@pytest.mark.parametrize("said", ["Mon, 01 Jan 2024 00:00:00 +99999999999999999999", "soon", "", "-5"])
def test_an_invalid_retry_after_is_ignored(said: str) -> None:
    assert rules.parse_pause(503, said, datetime(2026, 11, 28, tzinfo=UTC)) is None


@pytest.mark.parametrize("answer", [status(410), status(429, Retry_After="3600"), status(200), status(500)])
async def test_a_response_of_the_old_url_does_not_count_for_the_new_one(hooks: Hooks, receiver: Receiver, answer: bytes) -> None:
    hook = await hooks.create("license.*")
    event = await record_event(hooks, "license.issued")
    task, go = await start_delivery(hooks, receiver, answer)
    await hooks.change(hook, url=f"http://127.0.0.1:{receiver.port}/new")
    go.set()
    await task
    webhook = await hooks.get_webhook(hook)
    assert (webhook["enabled"], webhook["failing_since"], webhook["resume_at"]) == (True, None, None)
    await hooks.deliver()
    assert [came.headers["webhook-id"] for came in receiver.received if came.path == "/new"] == [event]
    assert [each["state"] for each in await hooks.list_deliveries(hook)] == ["delivered"]


@pytest.mark.parametrize("how", ["replay_one", "replay", "enable"])
async def test_a_replay_during_an_attempt_is_carried_out(hooks: Hooks, receiver: Receiver, how: str) -> None:
    """Whatever the outcome of the attempt that is under way."""
    hook = await hooks.create("license.*")
    event = await record_event(hooks, "license.issued")
    hooks.given.clock.forward(seconds=1)
    task, go = await start_delivery(hooks, receiver, status(200))
    if how == "enable":
        await hooks.change(hook, enabled=False)
        await hooks.change(hook, enabled=True)
    else:
        path, body = (f"/deliveries/{event}/replay", None) if how == "replay_one" else ("/replay", {"since": "2020-01-01T00:00:00Z"})
        await hooks.given.post(f"/v1/webhooks/{hook['id']}{path}", body)
    assert [each["state"] for each in await hooks.list_deliveries(hook)] == ["pending"]
    go.set()
    await task
    await hooks.deliver()
    assert [came.headers["webhook-id"] for came in receiver.received] == [event, event]
    assert [each["state"] for each in await hooks.list_deliveries(hook)] == ["delivered"]


async def test_a_replay_and_a_test_end_the_receivers_pause(hooks: Hooks, receiver: Receiver) -> None:
    hook = await hooks.create("license.*")
    event = await record_event(hooks, "license.issued")
    hooks.given.clock.forward(seconds=1)
    receiver.always_answer(status(503, Retry_After="3600"))
    for path in ("/test", f"/deliveries/{event}/replay", "/replay"):
        await hooks.deliver()
        assert (await hooks.get_webhook(hook))["resume_at"] == instant_text(hooks.given.clock.now() + timedelta(hours=1))
        receiver.received.clear()
        assert await hooks.deliver() == 0
        await hooks.given.post(f"/v1/webhooks/{hook['id']}{path}", {"since": "2020-01-01T00:00:00Z"} if path == "/replay" else None)
        assert (await hooks.get_webhook(hook))["resume_at"] is None
    await hooks.deliver()
    assert len(receiver.received) == 1
    receiver.answer = None
    await hooks.given.post(f"/v1/webhooks/{hook['id']}/test")
    await hooks.deliver()
    webhook = await hooks.get_webhook(hook)
    assert (webhook["resume_at"], webhook["failing_since"]) == (None, None)


async def test_failed_tests_do_not_disable_a_webhook(hooks: Hooks, receiver: Receiver) -> None:
    """No regular delivery follows that could succeed, so days of failed tests prove nothing."""
    hook = await hooks.create("license.*")
    for _ in range(4):
        receiver.always_answer(status(500))
        await hooks.given.post(f"/v1/webhooks/{hook['id']}/test")
        await hooks.deliver()
        hooks.given.clock.moment += hooks.world.settings.webhook_disable_after
    webhook = await hooks.get_webhook(hook)
    assert (webhook["enabled"], webhook["failing_since"]) == (True, None)
    receiver.always_answer(status(410))
    await hooks.given.post(f"/v1/webhooks/{hook['id']}/test")
    await hooks.deliver()
    assert (await hooks.get_webhook(hook))["disabled_reason"] == "gone"


async def test_our_own_downtime_does_not_count_as_failure_of_the_receiver(hooks: Hooks, receiver: Receiver) -> None:
    hook = await hooks.create("license.*")
    await record_event(hooks, "license.issued")
    receiver.always_answer(status(500))
    await hooks.deliver()
    hooks.given.clock.forward(days=30)
    await hooks.deliver()
    assert (await hooks.get_webhook(hook))["enabled"]
    receiver.answer = None
    hooks.given.clock.forward(minutes=1)
    await hooks.deliver()
    assert (await hooks.get_webhook(hook))["failing_since"] is None


async def test_events_with_pending_deliveries_are_not_pruned(hooks: Hooks, receiver: Receiver, app: FastAPI) -> None:
    hooks.given.configured(app, login_retention=timedelta(days=1), webhook_allowed_networks=LOOPBACK)
    hook = await hooks.create("login.failed")
    await record_event(hooks, "login.failed")
    receiver.always_answer(status(500))
    await hooks.deliver()
    hooks.given.clock.forward(days=2)
    assert await housekeeping.delete_expired(hooks.world) == {}
    receiver.answer = None
    assert await hooks.deliver() == 1
    assert [each["state"] for each in await hooks.list_deliveries(hook)] == ["delivered"]
    assert await housekeeping.delete_expired(hooks.world) == {"login_events": 1}


async def test_a_delivery_without_its_event_is_deleted_and_blocks_no_other(hooks: Hooks, receiver: Receiver) -> None:
    """A replay and retention at the same moment can leave one."""
    hook = await hooks.create("license.*")
    lost, remaining = await record_event(hooks, "license.issued"), await record_event(hooks, "license.revoked", 2)
    async with hooks.world.db.write() as tx:
        await tx.execute(delete(Event).where(Event.id == UUID(lost)))
    await hooks.deliver()
    assert [came.headers["webhook-id"] for came in receiver.received] == [remaining]
    async with hooks.world.db.query() as tx:
        assert (await tx.scalars(select(WebhookDelivery.event_id))).all() == [UUID(remaining)]
    assert [each["state"] for each in await hooks.list_deliveries(hook)] == ["delivered"]


async def test_an_outcome_that_cannot_be_recorded_does_not_affect_other_deliveries(
    hooks: Hooks, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    hook = await hooks.create("license.*")
    for subject in (1, 2):
        await record_event(hooks, "license.issued", subject)
    whole, tried = outcomes.record_outcome, 0

    async def broken(*arguments: Any) -> None:
        nonlocal tried
        tried += 1
        if tried == 1:
            raise KeyError("a fault of ours")
        if tried == 2:
            raise PoolTimeout  # tried again
        await whole(*arguments)

    monkeypatch.setattr(outcomes, "record_outcome", broken)
    monkeypatch.setattr(background_outbox, "RECORD_DELAYS", (0.0,))
    assert await hooks.deliver() == 2
    assert tried == 3
    assert sorted(each["state"] for each in await hooks.list_deliveries(hook)) == ["delivered", "pending"]


async def test_a_replay_continues_among_events_of_one_time(hooks: Hooks, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    await hooks.create("license.*")
    events = [await record_event(hooks, "license.issued", subject) for subject in range(5)]
    hook = await hooks.create("license.*", url=f"http://127.0.0.1:{receiver.port}/later")
    monkeypatch.setattr(rules, "MAX_REPLAY", 2)
    body, counts = {"since": instant_text(hooks.given.clock.now()), "until": "2100-01-01T00:00:00Z"}, []
    while body.get("since"):
        result = await hooks.given.post(f"/v1/webhooks/{hook['id']}/replay", body)
        counts.append(result["replayed"])
        body |= {"since": result["next_since"], "after": result["next_after"]}
    assert counts == [2, 2, 1]
    assert [each["id"] for each in await hooks.list_deliveries(hook)] == events


async def test_a_second_rotation_is_refused_during_the_overlap_of_the_first(hooks: Hooks) -> None:
    hooks.given.clock.moment = Clock().now()
    hook = await hooks.create("license.*")
    path = f"/v1/webhooks/{hook['id']}/rotate-secret"
    first = await hooks.given.post(path, {"overlap": "PT1H"})
    body = problem(await hooks.given.client.post(path, headers=hooks.given.root), 409, "webhook_rotation_under_way")
    assert body["previous_until"] == first["previous_until"]
    hooks.given.clock.forward(hours=1)
    second = await hooks.given.post(path, {"overlap": "PT1H"})
    assert (await hooks.given.post(path, {"overlap": None}))["secret"] != second["secret"]


async def test_a_status_counts_although_the_body_never_ends(hooks: Hooks, receiver: Receiver) -> None:
    """The receiver sends 410 and then only a part of the body."""

    async def dripping(_came: Received) -> bytes:
        return b"HTTP/1.1 410 Gone\r\nContent-Length: 400\r\n\r\nfar"

    hook = await hooks.create("license.*")
    receiver.answer, receiver.lingers = dripping, 3.0
    await record_event(hooks, "license.issued")
    await hooks.deliver()
    assert (await hooks.get_webhook(hook))["disabled_reason"] == "gone"
    assert [(each["last_status"], each["last_excerpt"]) for each in await hooks.list_deliveries(hook)] == [(410, "far")]


async def test_slow_name_lookups_are_shared_and_block_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """They block neither IP addresses, nor other names, nor the event loop's thread pool."""
    asked, go = list[str](), Signal()

    def slow(host: str, _port: int, **_more: Any) -> list[Any]:
        asked.append(host)
        if host.startswith("slow"):
            go.wait(DEADLINE)
        return [(0, 0, 0, "", ("192.0.2.1", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    resolver = Resolver()
    waiting = [asyncio.create_task(resolver(f"slow{n % 20}.example", 443)) for n in range(60)]
    await asyncio.sleep(0.05)
    assert await resolver("127.0.0.1", 443) == ["127.0.0.1"]
    assert await resolver("::1", 443) == ["::1"]
    assert await asyncio.wait_for(resolver("quick.example", 443), DEADLINE) == ["192.0.2.1"]
    waiting[0].cancel()
    go.set()
    assert await asyncio.gather(*waiting[1:]) == [["192.0.2.1"]] * 59
    assert sorted(asked) == sorted(["quick.example", *(f"slow{n}.example" for n in range(20))])
    assert resolver.lookups == {}


async def test_a_silent_address_leaves_time_for_the_next_one(hooks: Hooks, receiver: Receiver) -> None:
    """The first address never accepts the connection; the name has a second one."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.2", receiver.port))
        deaf.listen(0)
        with socket.create_connection(("127.0.0.2", receiver.port)):

            async def both(_host: str, _port: int) -> list[str]:
                return ["127.0.0.2", "127.0.0.1"]

            answer = await make_egress(hooks.world, both).post(f"http://hooks.example:{receiver.port}/hook", b"{}", {})
    assert answer.status == 204


async def test_webhooks_are_counted_by_state(hooks: Hooks, receiver: Receiver) -> None:
    well, off, gone = [await hooks.create("license.*", url=f"http://127.0.0.1:{receiver.port}/{n}") for n in range(3)]

    async def one_gone(came: Received) -> bytes:
        return status(410 if came.path == "/2" else 500 if came.path == "/0" else 200)

    receiver.answer = one_gone
    await hooks.change(off, enabled=False)
    await record_event(hooks, "license.issued")
    await hooks.deliver()
    await hooks.deliver()
    figures = (await hooks.given.client.get("/metrics")).text
    matches = {
        state: f'licentia_webhooks{{state="{state}"}} {number}.0' in figures
        for state, number in (("well", 0), ("failing", 1), ("disabled", 1), ("switched_off", 1))
    }
    assert all(matches.values()), (matches, well, gone)
