"""Operators create, change, test and replay webhooks and rotate their secrets."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from app.base.clock import Clock
from app.base.durations import instant_text
from app.events.kinds import KINDS
from app.models import METADATA
from app.signing_keys.sealing_keys import list_sealed_columns
from app.webhooks import rules
from tests.assertions import problem
from tests.given import Given
from tests.webhooks.conftest import Hooks
from tests.webhooks.delivery.receiver import Received, Receiver, status

URL = "http://hooks.example/hook"


async def test_a_webhook_is_created_changed_and_deleted(hooks: Hooks) -> None:
    """The secret is returned once, and every action is in the audit list."""
    created = await hooks.create("license.*", "user.created")
    assert created["secret"].startswith("whsec_")
    webhook = await hooks.get_webhook(created)
    assert {**webhook, "secret": created["secret"]} == created
    assert (webhook["enabled"], webhook["types"], webhook["failing_since"]) == (True, ["license.*", "user.created"], None)
    changed = await hooks.change(created, description="to the CRM", types=["*"], enabled=False)
    assert (changed["description"], changed["types"], changed["disabled_reason"]) == ("to the CRM", ["*"], "operator")
    assert [each["id"] for each in (await hooks.get("/v1/webhooks"))["data"]] == [created["id"]]
    assert await hooks.change(created, enabled=False) == changed
    assert await hooks.change(created) == changed
    await hooks.change(created, enabled=True)
    await hooks.given.license()
    for _ in range(2):
        answer = await hooks.given.client.delete(f"/v1/webhooks/{created['id']}", headers=hooks.given.root)
    problem(answer, 404, "webhook_not_found")
    assert await hooks.deliver() == 0
    events = (await hooks.get(f"/v1/events?subject={created['id']}"))["data"]
    assert [event["type"] for event in events] == ["webhook.deleted", "webhook.changed", "webhook.changed", "webhook.created"]
    assert created["secret"] not in str(events)


@pytest.mark.parametrize("types", [[], ["nonsense"], ["license"], ["nonsense.*"], ["license*"], ["license.issu*"], [""], ["**"]])
async def test_an_unknown_event_type_is_refused(given: Given, types: list[str]) -> None:
    answer = await given.client.post("/v1/webhooks", json={"url": URL, "types": types}, headers=given.root)
    assert problem(answer, 422, "malformed")["errors"][0]["pointer"].startswith("/types")


async def test_the_number_of_webhooks_is_limited_under_concurrency(given: Given) -> None:
    """A request that loses the race for the last slot gets `busy` or the limit problem."""
    for _ in range(rules.MAX_ENDPOINTS - 1):
        await given.post("/v1/webhooks", {"url": URL, "types": ["*"]})
    body = {"url": URL, "types": ["license.*"]}
    answers = await asyncio.gather(*(given.client.post("/v1/webhooks", json=body, headers=given.root) for _ in range(4)))
    assert min(answer.status_code for answer in answers) == 201
    assert {answer.json().get("code") for answer in answers} <= {None, "webhook_limit_reached", "busy"}
    problem(await given.client.post("/v1/webhooks", json=body, headers=given.root), 409, "webhook_limit_reached")
    listed = given.expect(await given.client.get("/v1/webhooks?limit=200", headers=given.root))
    assert len(listed["data"]) == rules.MAX_ENDPOINTS


async def test_both_secrets_sign_until_the_overlap_ends(hooks: Hooks, receiver: Receiver) -> None:
    """With `overlap` null the old secret is invalid at once."""
    hooks.given.clock.moment = Clock().now()
    created = await hooks.create("license.*")
    path = f"/v1/webhooks/{created['id']}/rotate-secret"
    fresh = await hooks.given.post(path, {"overlap": "PT1M"})
    await _assert_signed_by(hooks, receiver, good=[created["secret"], fresh["secret"]], bad=[])
    hooks.given.clock.forward(minutes=1)
    await _assert_signed_by(hooks, receiver, good=[fresh["secret"]], bad=[created["secret"]])
    newest = await hooks.given.post(path, {"overlap": None})
    assert newest["previous_until"] is None
    await _assert_signed_by(hooks, receiver, good=[newest["secret"]], bad=[created["secret"], fresh["secret"]])
    assert len({created["secret"], fresh["secret"], newest["secret"]}) == 3
    body = problem(await hooks.given.client.post(path, json={"overlap": "P1Y"}, headers=hooks.given.root), 422, "malformed")
    assert body["errors"][0]["pointer"] == "/overlap"


async def _assert_signed_by(hooks: Hooks, receiver: Receiver, *, good: list[str], bad: list[str]) -> None:
    await hooks.given.license()
    await hooks.deliver()
    came = receiver.received[-1]
    for secret in good:
        assert Webhook(secret).verify(came.body, came.headers) == came.payload
    for secret in bad:
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(came.body, came.headers)


async def test_both_secrets_are_known_to_the_rotation_of_encryption_keys(hooks: Hooks) -> None:
    """The previous secret is a sealed column too."""
    created = await hooks.create("license.*")
    await hooks.given.post(f"/v1/webhooks/{created['id']}/rotate-secret")
    sealed = {
        sealed_column.column.name
        for sealed_column in list_sealed_columns(METADATA)
        if sealed_column.column.table.name == "webhook_endpoints"
    }
    assert sealed == {"secret_sealed", "previous_secret_sealed"}


async def test_a_test_event_goes_to_one_endpoint_once_and_waits_for_no_other_delivery(hooks: Hooks, receiver: Receiver) -> None:
    """It is not blocked by other deliveries, is not retried, and ignores the types of the webhook."""
    created = await hooks.create("license.*")
    await hooks.create("*", url=f"http://127.0.0.1:{receiver.port}/other")
    await hooks.deliver()
    receiver.received.clear()
    receiver.always_answer(status(500, "not yet"))
    for word in (500, 204):
        delivery = await hooks.given.post(f"/v1/webhooks/{created['id']}/test")
        assert (delivery["type"], delivery["state"]) == ("webhook.test", "pending")
        await hooks.deliver()
        path = f"/v1/webhooks/{created['id']}/deliveries/{delivery['id']}"
        after = await hooks.get(path)
        assert (after["state"], after["last_status"]) == ("failed" if word == 500 else "delivered", word)
        receiver.answer = None
    assert [(came.path, came.payload["type"]) for came in receiver.received] == [("/hook", "webhook.test")] * 2
    await hooks.change(created, enabled=False)
    answer = await hooks.given.client.post(f"/v1/webhooks/{created['id']}/test", headers=hooks.given.root)
    problem(answer, 409, "webhook_disabled")


async def test_one_delivery_is_replayed(hooks: Hooks, receiver: Receiver) -> None:
    """It keeps its id, so that the receiver detects the duplicate. A delivery that waits for its next try is tried now."""
    created = await hooks.create("license.issued")
    await hooks.given.license()
    await hooks.deliver()
    (delivery,) = await hooks.list_deliveries(created)
    path = f"/v1/webhooks/{created['id']}/deliveries/{delivery['id']}/replay"
    assert (await hooks.given.post(path))["state"] == "pending"
    receiver.always_answer(status(500))
    await hooks.deliver()
    receiver.answer = None
    await hooks.given.post(path)
    await hooks.deliver()
    assert [came.headers["webhook-id"] for came in receiver.received] == [delivery["id"]] * 3
    assert (await hooks.list_deliveries(created))[0]["attempts"] == 3
    other = await hooks.create("user.*")
    for hook, event, code in ((created, UUID(int=1), "webhook_delivery_not_found"), (other, delivery["id"], "webhook_delivery_not_found")):
        answer = await hooks.given.client.post(f"/v1/webhooks/{hook['id']}/deliveries/{event}/replay", headers=hooks.given.root)
        problem(answer, 404, code)


async def test_a_replay_includes_events_that_were_never_delivered(
    hooks: Hooks, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a time on, in pages, oldest first; only types of the webhook."""
    clock, begun = hooks.given.clock, hooks.given.clock.now()
    issued = []
    for _ in range(3):
        clock.forward(minutes=1)
        issued.append((await hooks.given.license())["id"])
    created = await hooks.create("license.*", "webhook.*")
    clock.forward(minutes=1)
    issued.append((await hooks.given.license())["id"])
    await hooks.deliver()
    clock.forward(minutes=1)
    path = f"/v1/webhooks/{created['id']}/replay"
    monkeypatch.setattr(rules, "MAX_REPLAY", 2)
    body = {"since": instant_text(begun), "types": ["license.issued"]}
    result = await hooks.given.post(path, body)
    assert result["replayed"] == 2
    result = await hooks.given.post(path, {**body, "since": result["next_since"], "after": result["next_after"]})
    assert result == {"replayed": 2, "next_since": None, "next_after": None}
    receiver.received.clear()
    await hooks.deliver()
    subjects = [came.payload["subject"]["id"] for came in receiver.received if came.payload["type"] == "license.issued"]
    assert sorted(subjects) == sorted(issued)
    until = instant_text(begun + timedelta(minutes=2))
    assert (await hooks.given.post(path, {"since": instant_text(begun), "until": until}))["replayed"] == 1
    assert (await hooks.given.post(path, {"since": instant_text(begun), "types": ["user.*"]}))["replayed"] == 0
    await hooks.change(created, enabled=False)
    problem(await hooks.given.client.post(path, json=body, headers=hooks.given.root), 409, "webhook_disabled")


async def test_events_during_a_pause_can_be_replayed(hooks: Hooks, receiver: Receiver) -> None:
    created, begun = await hooks.create("license.*"), hooks.given.clock.now()
    await hooks.change(created, enabled=False)
    await hooks.given.license()
    await hooks.change(created, enabled=True)
    assert await hooks.deliver() == 0
    hooks.given.clock.forward(seconds=1)
    await hooks.given.post(f"/v1/webhooks/{created['id']}/replay", {"since": instant_text(begun)})
    await hooks.deliver()
    assert receiver.types == ["license.issued"]


async def test_after_an_erasure_no_copy_remains_and_later_deliveries_have_no_address(hooks: Hooks, receiver: Receiver) -> None:
    """The body is built from the event at each try; the excerpt of the receiver's response is erased."""
    created = await hooks.create("login.failed")

    async def echo(came: Received) -> bytes:
        return status(500, came.body)

    receiver.answer = echo
    person = await hooks.given.person()
    wrong = {"identifier": person.email, "password": "not the password at all"}
    await hooks.given.client.post("/v1/login", json=wrong)
    await hooks.deliver()
    (delivery,) = await hooks.list_deliveries(created)
    assert f'"user_id":"{person.id}"' in delivery["last_excerpt"]
    assert receiver.types == ["login.failed"]
    assert "127.0.0.1" not in receiver.received[0].body
    await hooks.given.post(f"/v1/users/{person.id}/erase")
    (delivery,) = await hooks.list_deliveries(created)
    assert (delivery["last_status"], delivery["last_excerpt"]) == (500, None)


async def test_reading_and_writing_need_their_scopes(given: Given) -> None:
    created = await given.post("/v1/webhooks", {"url": URL, "types": ["*"]})
    reads, other = await given.operator("events:read"), await given.operator("licenses:write")
    for path in (
        "/v1/webhooks",
        f"/v1/webhooks/{created['id']}",
        f"/v1/webhooks/{created['id']}/deliveries",
        "/v1/events",
        "/v1/event-types",
    ):
        assert (await given.client.get(path, headers=reads)).status_code == 200
        problem(await given.client.get(path, headers=other), 403, "scope_missing")
    problem(await given.client.post("/v1/webhooks", json={"url": URL, "types": ["*"]}, headers=reads), 403, "scope_missing")
    for action in ("rotate-secret", "test"):
        problem(await given.client.post(f"/v1/webhooks/{created['id']}/{action}", headers=reads), 403, "scope_missing")


async def test_every_event_type_is_listed(given: Given) -> None:
    types = given.expect(await given.client.get("/v1/event-types", headers=given.root))["data"]
    assert {each["type"]: each["title"] for each in types} == KINDS
