"""Faults of webhooks that were found by attacking them, each once more."""

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
from tests.assertions import problem
from tests.given import Given
from tests.webhooks.conftest import LOOPBACK, Hooks, egress_of
from tests.webhooks.delivery.receiver import Received, Receiver, status
from tests.webhooks.delivery.test_delivery import happened


@pytest.mark.parametrize("url", ["https://hooks.example.com/\0", "https://exa\tmple.com/", "https://hooks.example.com/\ud800"])
async def test_an_address_is_printable(given: Given, url: str) -> None:
    body = f'{{"url": "{url.encode("unicode_escape").decode().replace(chr(92) + "x00", chr(92) + "u0000")}", "types": ["*"]}}'
    problem(await given.client.post("/v1/webhooks", content=body, headers=given.root), 422, "malformed")


@pytest.mark.parametrize("said", ["Mon, 01 Jan 2024 00:00:00 +99999999999999999999", "soon", "", "-5"])
def test_a_receiver_that_says_nonsense_is_tried_as_if_it_said_nothing(said: str) -> None:
    assert rules.pause_until(503, said, datetime(2026, 11, 28, tzinfo=UTC)) is None


async def held_up(hooks: Hooks, receiver: Receiver, answer: bytes) -> tuple[asyncio.Task[int], asyncio.Event]:
    """A round whose delivery is under way, and what lets the receiver answer it."""
    arrived, go = asyncio.Event(), asyncio.Event()

    async def slowly(came: Received) -> bytes:
        if came.path != "/hook":
            return status(200)
        arrived.set()
        await go.wait()
        return answer

    receiver.answer = slowly
    task = asyncio.create_task(hooks.told())
    await asyncio.wait_for(arrived.wait(), 5)
    return task, go


@pytest.mark.parametrize("answer", [status(410), status(429, Retry_After="3600"), status(200), status(500)])
async def test_what_the_old_address_answers_is_no_answer_of_the_new_one(hooks: Hooks, receiver: Receiver, answer: bytes) -> None:
    hook = await hooks.made("license.*")
    event = await happened(hooks, "license.issued")
    task, go = await held_up(hooks, receiver, answer)
    await hooks.changed(hook, url=f"http://127.0.0.1:{receiver.port}/new")
    go.set()
    await task
    shown = await hooks.shown(hook)
    assert (shown["enabled"], shown["failing_since"], shown["resume_at"]) == (True, None, None)
    await hooks.told()
    assert [came.headers["webhook-id"] for came in receiver.received if came.path == "/new"] == [event]
    assert [each["state"] for each in await hooks.listed(hook)] == ["delivered"]


@pytest.mark.parametrize("how", ["replay_one", "replay", "enable"])
async def test_what_is_asked_for_while_it_is_under_way_is_done(hooks: Hooks, receiver: Receiver, how: str) -> None:
    """Whatever becomes of the attempt that was out."""
    hook = await hooks.made("license.*")
    event = await happened(hooks, "license.issued")
    hooks.given.clock.forward(seconds=1)
    task, go = await held_up(hooks, receiver, status(200))
    if how == "enable":
        await hooks.changed(hook, enabled=False)
        await hooks.changed(hook, enabled=True)
    else:
        path, body = (f"/deliveries/{event}/replay", None) if how == "replay_one" else ("/replay", {"since": "2020-01-01T00:00:00Z"})
        await hooks.given.post(f"/v1/webhooks/{hook['id']}{path}", body)
    assert [each["state"] for each in await hooks.listed(hook)] == ["pending"]
    go.set()
    await task
    await hooks.told()
    assert [came.headers["webhook-id"] for came in receiver.received] == [event, event]
    assert [each["state"] for each in await hooks.listed(hook)] == ["delivered"]


async def test_a_replay_and_a_test_do_not_wait_for_the_receivers_pause(hooks: Hooks, receiver: Receiver) -> None:
    hook = await hooks.made("license.*")
    event = await happened(hooks, "license.issued")
    hooks.given.clock.forward(seconds=1)
    receiver.always(status(503, Retry_After="3600"))
    for path in ("/test", f"/deliveries/{event}/replay", "/replay"):
        await hooks.told()
        assert (await hooks.shown(hook))["resume_at"] == instant_text(hooks.given.clock.now() + timedelta(hours=1))
        receiver.received.clear()
        assert await hooks.told() == 0
        await hooks.given.post(f"/v1/webhooks/{hook['id']}{path}", {"since": "2020-01-01T00:00:00Z"} if path == "/replay" else None)
        assert (await hooks.shown(hook))["resume_at"] is None
    await hooks.told()
    assert len(receiver.received) == 1
    receiver.answer = None
    await hooks.given.post(f"/v1/webhooks/{hook['id']}/test")
    await hooks.told()
    shown = await hooks.shown(hook)
    assert (shown["resume_at"], shown["failing_since"]) == (None, None)


async def test_tests_that_fail_disable_nothing(hooks: Hooks, receiver: Receiver) -> None:
    """Nothing comes after one that could succeed; days later they would have been nothing but failures."""
    hook = await hooks.made("license.*")
    for _ in range(4):
        receiver.always(status(500))
        await hooks.given.post(f"/v1/webhooks/{hook['id']}/test")
        await hooks.told()
        hooks.given.clock.moment += hooks.world.settings.webhook_disable_after
    shown = await hooks.shown(hook)
    assert (shown["enabled"], shown["failing_since"]) == (True, None)
    receiver.always(status(410))
    await hooks.given.post(f"/v1/webhooks/{hook['id']}/test")
    await hooks.told()
    assert (await hooks.shown(hook))["disabled_reason"] == "gone"


async def test_days_in_which_we_were_away_are_no_failures_of_the_receiver(hooks: Hooks, receiver: Receiver) -> None:
    hook = await hooks.made("license.*")
    await happened(hooks, "license.issued")
    receiver.always(status(500))
    await hooks.told()
    hooks.given.clock.forward(days=30)
    await hooks.told()
    assert (await hooks.shown(hook))["enabled"]
    receiver.answer = None
    hooks.given.clock.forward(minutes=1)
    await hooks.told()
    assert (await hooks.shown(hook))["failing_since"] is None


async def test_events_that_are_waited_for_are_kept(hooks: Hooks, receiver: Receiver, app: FastAPI) -> None:
    hooks.given.configured(app, login_retention=timedelta(days=1), webhook_allowed_networks=LOOPBACK)
    hook = await hooks.made("login.failed")
    await happened(hooks, "login.failed")
    receiver.always(status(500))
    await hooks.told()
    hooks.given.clock.forward(days=2)
    assert await housekeeping.delete_expired(hooks.world) == {}
    receiver.answer = None
    assert await hooks.told() == 1
    assert [each["state"] for each in await hooks.listed(hook)] == ["delivered"]
    assert await housekeeping.delete_expired(hooks.world) == {"login_events": 1}


async def test_a_delivery_whose_event_is_gone_is_in_nobodys_way(hooks: Hooks, receiver: Receiver) -> None:
    """A replay and retention at the same moment may leave one."""
    hook = await hooks.made("license.*")
    lost, kept = await happened(hooks, "license.issued"), await happened(hooks, "license.revoked", 2)
    async with hooks.world.db.write() as tx:
        await tx.execute(delete(Event).where(Event.id == UUID(lost)))
    await hooks.told()
    assert [came.headers["webhook-id"] for came in receiver.received] == [kept]
    async with hooks.world.db.query() as tx:
        assert (await tx.scalars(select(WebhookDelivery.event_id))).all() == [UUID(kept)]
    assert [each["state"] for each in await hooks.listed(hook)] == ["delivered"]


async def test_one_that_cannot_be_marked_takes_nobody_with_it(hooks: Hooks, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    hook = await hooks.made("license.*")
    for subject in (1, 2):
        await happened(hooks, "license.issued", subject)
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
    assert await hooks.told() == 2
    assert tried == 3
    assert sorted(each["state"] for each in await hooks.listed(hook)) == ["delivered", "pending"]


async def test_a_replay_goes_on_within_one_instant(hooks: Hooks, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    await hooks.made("license.*")
    events = [await happened(hooks, "license.issued", subject) for subject in range(5)]
    hook = await hooks.made("license.*", url=f"http://127.0.0.1:{receiver.port}/later")
    monkeypatch.setattr(rules, "MAX_REPLAY", 2)
    body, counts = {"since": instant_text(hooks.given.clock.now()), "until": "2100-01-01T00:00:00Z"}, []
    while body.get("since"):
        told = await hooks.given.post(f"/v1/webhooks/{hook['id']}/replay", body)
        counts.append(told["replayed"])
        body |= {"since": told["next_since"], "after": told["next_after"]}
    assert counts == [2, 2, 1]
    assert [each["id"] for each in await hooks.listed(hook)] == events


async def test_a_second_rotation_waits_for_the_promise_of_the_first(hooks: Hooks) -> None:
    hooks.given.clock.moment = Clock().now()
    hook = await hooks.made("license.*")
    path = f"/v1/webhooks/{hook['id']}/rotate-secret"
    first = await hooks.given.post(path, {"overlap": "PT1H"})
    told = problem(await hooks.given.client.post(path, headers=hooks.given.root), 409, "webhook_rotation_under_way")
    assert told["previous_until"] == first["previous_until"]
    hooks.given.clock.forward(hours=1)
    second = await hooks.given.post(path, {"overlap": "PT1H"})
    assert (await hooks.given.post(path, {"overlap": None}))["secret"] != second["secret"]


async def test_a_status_counts_though_its_words_never_end(hooks: Hooks, receiver: Receiver) -> None:
    """One that drips its body says 410 all the same."""

    async def dripping(_came: Received) -> bytes:
        return b"HTTP/1.1 410 Gone\r\nContent-Length: 400\r\n\r\nfar"

    hook = await hooks.made("license.*")
    receiver.answer, receiver.lingers = dripping, 3.0
    await happened(hooks, "license.issued")
    await hooks.told()
    assert (await hooks.shown(hook))["disabled_reason"] == "gone"
    assert [(each["last_status"], each["last_excerpt"]) for each in await hooks.listed(hook)] == [(410, "far")]


async def test_names_that_take_long_are_asked_for_once_and_hold_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither an address, nor another name, nor the pool of threads that everybody shares."""
    asked, go = list[str](), Signal()

    def slow(host: str, _port: int, **_more: Any) -> list[Any]:
        asked.append(host)
        if host.startswith("slow"):
            go.wait(10)
        return [(0, 0, 0, "", ("192.0.2.1", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    resolver = Resolver()
    waiting = [asyncio.create_task(resolver(f"slow{n % 20}.example", 443)) for n in range(60)]
    await asyncio.sleep(0.05)
    assert await resolver("127.0.0.1", 443) == ["127.0.0.1"]
    assert await resolver("::1", 443) == ["::1"]
    assert await asyncio.wait_for(resolver("quick.example", 443), 2) == ["192.0.2.1"]
    waiting[0].cancel()
    go.set()
    assert await asyncio.gather(*waiting[1:]) == [["192.0.2.1"]] * 59
    assert sorted(asked) == sorted(["quick.example", *(f"slow{n}.example" for n in range(20))])
    assert resolver.lookups == {}


async def test_an_address_that_is_silent_leaves_time_for_the_next(hooks: Hooks, receiver: Receiver) -> None:
    """Its connection is never taken; the name has another."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.2", receiver.port))
        deaf.listen(0)
        with socket.create_connection(("127.0.0.2", receiver.port)):

            async def both(_host: str, _port: int) -> list[str]:
                return ["127.0.0.2", "127.0.0.1"]

            answer = await egress_of(hooks.world, both).post(f"http://hooks.example:{receiver.port}/hook", b"{}", {})
    assert answer.status == 204


async def test_what_webhooks_are_like_is_counted(hooks: Hooks, receiver: Receiver) -> None:
    well, off, gone = [await hooks.made("license.*", url=f"http://127.0.0.1:{receiver.port}/{n}") for n in range(3)]

    async def one_gone(came: Received) -> bytes:
        return status(410 if came.path == "/2" else 500 if came.path == "/0" else 200)

    receiver.answer = one_gone
    await hooks.changed(off, enabled=False)
    await happened(hooks, "license.issued")
    await hooks.told()
    await hooks.told()
    figures = (await hooks.given.client.get("/metrics")).text
    told = {
        state: f'licentia_webhooks{{state="{state}"}} {number}.0' in figures
        for state, number in (("well", 0), ("failing", 1), ("disabled", 1), ("switched_off", 1))
    }
    assert all(told.values()), (told, well, gone)
