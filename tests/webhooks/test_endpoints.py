"""Declaring, changing, rotating, testing, replaying: what an operator does with webhooks."""

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


async def test_a_webhook_from_its_beginning_to_its_end(hooks: Hooks) -> None:
    """The secret is shown once, and every deed is in the audit."""
    made = await hooks.made("license.*", "user.created")
    assert made["secret"].startswith("whsec_")
    shown = await hooks.shown(made)
    assert {**shown, "secret": made["secret"]} == made
    assert (shown["enabled"], shown["types"], shown["failing_since"]) == (True, ["license.*", "user.created"], None)
    changed = await hooks.changed(made, description="to the CRM", types=["*"], enabled=False)
    assert (changed["description"], changed["types"], changed["disabled_reason"]) == ("to the CRM", ["*"], "operator")
    assert [each["id"] for each in (await hooks.get("/v1/webhooks"))["data"]] == [made["id"]]
    assert await hooks.changed(made, enabled=False) == changed
    assert await hooks.changed(made) == changed
    await hooks.changed(made, enabled=True)
    await hooks.given.license()
    for _ in range(2):
        answer = await hooks.given.client.delete(f"/v1/webhooks/{made['id']}", headers=hooks.given.root)
    problem(answer, 404, "webhook_not_found")
    assert await hooks.told() == 0
    told = (await hooks.get(f"/v1/events?subject={made['id']}"))["data"]
    assert [event["type"] for event in told] == ["webhook.deleted", "webhook.changed", "webhook.changed", "webhook.created"]
    assert made["secret"] not in str(told)


@pytest.mark.parametrize("types", [[], ["nonsense"], ["license"], ["nonsense.*"], ["license*"], ["license.issu*"], [""], ["**"]])
async def test_a_type_that_is_none_is_refused(given: Given, types: list[str]) -> None:
    answer = await given.client.post("/v1/webhooks", json={"url": URL, "types": types}, headers=given.root)
    assert problem(answer, 422, "malformed")["errors"][0]["pointer"].startswith("/types")


async def test_there_are_so_many_at_most_also_when_several_come_at_once(given: Given) -> None:
    """Whoever loses the race for the last place is told to come again, or that it is full."""
    for _ in range(rules.MAX_ENDPOINTS - 1):
        await given.post("/v1/webhooks", {"url": URL, "types": ["*"]})
    body = {"url": URL, "types": ["license.*"]}
    answers = await asyncio.gather(*(given.client.post("/v1/webhooks", json=body, headers=given.root) for _ in range(4)))
    assert min(answer.status_code for answer in answers) == 201
    assert {answer.json().get("code") for answer in answers} <= {None, "webhook_limit_reached", "busy"}
    problem(await given.client.post("/v1/webhooks", json=body, headers=given.root), 409, "webhook_limit_reached")
    listed = given.expect(await given.client.get("/v1/webhooks?limit=200", headers=given.root))
    assert len(listed["data"]) == rules.MAX_ENDPOINTS


async def test_both_secrets_sign_until_the_old_one_runs_out(hooks: Hooks, receiver: Receiver) -> None:
    """An `overlap` of null ends the old one at once."""
    hooks.given.clock.moment = Clock().now()
    made = await hooks.made("license.*")
    path = f"/v1/webhooks/{made['id']}/rotate-secret"
    fresh = await hooks.given.post(path, {"overlap": "PT1M"})
    await _told_by(hooks, receiver, good=[made["secret"], fresh["secret"]], bad=[])
    hooks.given.clock.forward(minutes=1)
    await _told_by(hooks, receiver, good=[fresh["secret"]], bad=[made["secret"]])
    newest = await hooks.given.post(path, {"overlap": None})
    assert newest["previous_until"] is None
    await _told_by(hooks, receiver, good=[newest["secret"]], bad=[made["secret"], fresh["secret"]])
    assert len({made["secret"], fresh["secret"], newest["secret"]}) == 3
    told = problem(await hooks.given.client.post(path, json={"overlap": "P1Y"}, headers=hooks.given.root), 422, "malformed")
    assert told["errors"][0]["pointer"] == "/overlap"


async def _told_by(hooks: Hooks, receiver: Receiver, *, good: list[str], bad: list[str]) -> None:
    await hooks.given.license()
    await hooks.told()
    came = receiver.received[-1]
    for secret in good:
        assert Webhook(secret).verify(came.body, came.headers) == came.told
    for secret in bad:
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(came.body, came.headers)


async def test_a_rotation_of_the_encryption_keys_finds_the_secrets(hooks: Hooks) -> None:
    """Each is sealed for its own place, the one of before too."""
    made = await hooks.made("license.*")
    await hooks.given.post(f"/v1/webhooks/{made['id']}/rotate-secret")
    sealed = {it.column.name for it in list_sealed_columns(METADATA) if it.column.table.name == "webhook_endpoints"}
    assert sealed == {"secret_sealed", "previous_secret_sealed"}


async def test_a_test_goes_to_one_alone_once_and_ahead_of_all(hooks: Hooks, receiver: Receiver) -> None:
    """It waits for nothing that is stuck, is not tried again, and needs no type."""
    made = await hooks.made("license.*")
    await hooks.made("*", url=f"http://127.0.0.1:{receiver.port}/other")
    await hooks.told()
    receiver.received.clear()
    receiver.always(status(500, "not yet"))
    for word in (500, 204):
        delivery = await hooks.given.post(f"/v1/webhooks/{made['id']}/test")
        assert (delivery["type"], delivery["state"]) == ("webhook.test", "pending")
        await hooks.told()
        path = f"/v1/webhooks/{made['id']}/deliveries/{delivery['id']}"
        after = await hooks.get(path)
        assert (after["state"], after["last_status"]) == ("failed" if word == 500 else "delivered", word)
        receiver.answer = None
    assert [(came.path, came.told["type"]) for came in receiver.received] == [("/hook", "webhook.test")] * 2
    await hooks.changed(made, enabled=False)
    answer = await hooks.given.client.post(f"/v1/webhooks/{made['id']}/test", headers=hooks.given.root)
    problem(answer, 409, "webhook_disabled")


async def test_one_delivery_is_made_again(hooks: Hooks, receiver: Receiver) -> None:
    """Under the same id, so that a receiver that has it already knows; and one that waits has its try now."""
    made = await hooks.made("license.issued")
    await hooks.given.license()
    await hooks.told()
    (delivery,) = await hooks.listed(made)
    path = f"/v1/webhooks/{made['id']}/deliveries/{delivery['id']}/replay"
    assert (await hooks.given.post(path))["state"] == "pending"
    receiver.always(status(500))
    await hooks.told()
    receiver.answer = None
    await hooks.given.post(path)
    await hooks.told()
    assert [came.headers["webhook-id"] for came in receiver.received] == [delivery["id"]] * 3
    assert (await hooks.listed(made))[0]["attempts"] == 3
    other = await hooks.made("user.*")
    for hook, event, code in ((made, UUID(int=1), "webhook_delivery_not_found"), (other, delivery["id"], "webhook_delivery_not_found")):
        answer = await hooks.given.client.post(f"/v1/webhooks/{hook['id']}/deliveries/{event}/replay", headers=hooks.given.root)
        problem(answer, 404, code)


async def test_the_past_is_replayed_also_what_was_never_told(hooks: Hooks, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """From an instant on, in portions, the oldest first; what is not wanted by the webhook stays out."""
    clock, begun = hooks.given.clock, hooks.given.clock.now()
    issued = []
    for _ in range(3):
        clock.forward(minutes=1)
        issued.append((await hooks.given.license())["id"])
    made = await hooks.made("license.*", "webhook.*")
    clock.forward(minutes=1)
    issued.append((await hooks.given.license())["id"])
    await hooks.told()
    clock.forward(minutes=1)
    path = f"/v1/webhooks/{made['id']}/replay"
    monkeypatch.setattr(rules, "MAX_REPLAY", 2)
    body = {"since": instant_text(begun), "types": ["license.issued"]}
    told = await hooks.given.post(path, body)
    assert told["replayed"] == 2
    told = await hooks.given.post(path, {**body, "since": told["next_since"], "after": told["next_after"]})
    assert told == {"replayed": 2, "next_since": None, "next_after": None}
    receiver.received.clear()
    await hooks.told()
    subjects = [came.told["subject"]["id"] for came in receiver.received if came.told["type"] == "license.issued"]
    assert sorted(subjects) == sorted(issued)
    until = instant_text(begun + timedelta(minutes=2))
    assert (await hooks.given.post(path, {"since": instant_text(begun), "until": until}))["replayed"] == 1
    assert (await hooks.given.post(path, {"since": instant_text(begun), "types": ["user.*"]}))["replayed"] == 0
    await hooks.changed(made, enabled=False)
    problem(await hooks.given.client.post(path, json=body, headers=hooks.given.root), 409, "webhook_disabled")


async def test_what_happens_while_it_is_disabled_is_there_to_be_replayed(hooks: Hooks, receiver: Receiver) -> None:
    made, begun = await hooks.made("license.*"), hooks.given.clock.now()
    await hooks.changed(made, enabled=False)
    await hooks.given.license()
    await hooks.changed(made, enabled=True)
    assert await hooks.told() == 0
    hooks.given.clock.forward(seconds=1)
    await hooks.given.post(f"/v1/webhooks/{made['id']}/replay", {"since": instant_text(begun)})
    await hooks.told()
    assert receiver.types == ["license.issued"]


async def test_erasure_leaves_no_copy_and_what_is_told_later_names_no_address(hooks: Hooks, receiver: Receiver) -> None:
    """The body is made from the event when it is sent; what a receiver repeated in its answer goes with the user."""
    made = await hooks.made("login.failed")

    async def echo(came: Received) -> bytes:
        return status(500, came.body)

    receiver.answer = echo
    person = await hooks.given.person()
    wrong = {"identifier": person.email, "password": "not the password at all"}
    await hooks.given.client.post("/v1/login", json=wrong)
    await hooks.told()
    (delivery,) = await hooks.listed(made)
    assert f'"user_id":"{person.id}"' in delivery["last_excerpt"]
    assert receiver.types == ["login.failed"]
    assert "127.0.0.1" not in receiver.received[0].body
    await hooks.given.post(f"/v1/users/{person.id}/erase")
    (delivery,) = await hooks.listed(made)
    assert (delivery["last_status"], delivery["last_excerpt"]) == (500, None)


async def test_reading_and_writing_are_scopes(given: Given) -> None:
    made = await given.post("/v1/webhooks", {"url": URL, "types": ["*"]})
    reads, other = await given.operator("events:read"), await given.operator("licenses:write")
    for path in ("/v1/webhooks", f"/v1/webhooks/{made['id']}", f"/v1/webhooks/{made['id']}/deliveries", "/v1/events", "/v1/event-types"):
        assert (await given.client.get(path, headers=reads)).status_code == 200
        problem(await given.client.get(path, headers=other), 403, "scope_missing")
    problem(await given.client.post("/v1/webhooks", json={"url": URL, "types": ["*"]}, headers=reads), 403, "scope_missing")
    for action in ("rotate-secret", "test"):
        problem(await given.client.post(f"/v1/webhooks/{made['id']}/{action}", headers=reads), 403, "scope_missing")


async def test_every_kind_is_told(given: Given) -> None:
    told = given.expect(await given.client.get("/v1/event-types", headers=given.root))["data"]
    assert {each["type"]: each["title"] for each in told} == KINDS
