"""Records the outcome of a delivery, with its effects on the next delivery and on the endpoint, in one transaction."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

import structlog
from prometheus_client import Counter
from sqlalchemy import ColumnElement, exists, or_, select, update

from app.db.database import Transaction
from app.db.types import AnyRow
from app.events.kinds import TEST
from app.events.service import Actor, record
from app.observability.logs import mask
from app.webhooks import ordering, rules
from app.webhooks.delivery.egress import MAX_EXCERPT, ReceiverResponse
from app.webhooks.models import DeliveryState, WebhookDelivery, WebhookEndpoint
from app.world import World

DELIVERIES = Counter("licentia_webhook_deliveries_total", "Attempts to deliver a webhook, by result", ["result"])
log = structlog.get_logger("licentia.webhooks")


@dataclass(frozen=True)
class DeliveryOutcome:
    """The outcome of an attempt. `error`: None if the receiver accepted it. `status`: None without a response. `ms`: the duration."""

    error: str | None = None
    status: int | None = None
    retry_after: str | None = None
    excerpt: str | None = field(default=None, repr=False)
    ms: int = 0

    @classmethod
    def of(cls, response: ReceiverResponse) -> Self:
        status = response.status
        error = None if 200 <= status < 300 else "redirected" if 300 <= status < 400 else "refused"
        return cls(error, status, response.retry_after, mask(response.excerpt)[:MAX_EXCERPT] or None)

    def to_columns(self, now: datetime) -> dict[str, Any]:
        """Return the column values that describe the attempt and end its claim."""
        last = {"last_status": self.status, "last_error": self.error, "last_excerpt": self.excerpt, "last_ms": self.ms}
        return {"last_at": now, "claimed_until": None, **last}


@dataclass(frozen=True)
class Attempt:
    """One attempt: the delivery as it was claimed, the URL that it was sent to, and the type of the event."""

    row: AnyRow
    url: str
    event_type: str

    @property
    def endpoint_conditions(self) -> tuple[ColumnElement[bool], ...]:
        """SQL conditions: the endpoint, if it still has that URL. A response of the old URL does not count for a new one."""
        return WebhookEndpoint.id == self.row.endpoint_id, WebhookEndpoint.url == self.url


def describe_delivery(row: AnyRow) -> dict[str, str]:
    """Return the log fields of a delivery."""
    return {"webhook": str(row.endpoint_id), "event_id": str(row.event_id)}


async def record_outcome(world: World, attempt: Attempt, outcome: DeliveryOutcome) -> None:
    """Store the outcome of an attempt and count it: `delivered`, `missed`, `given_up`, or `overtaken` if the claim was lost."""
    if outcome.error is None:
        result = await _record_success(world, attempt, outcome)
    else:
        log.warning("webhook_not_delivered", cause=outcome.error, status=outcome.status, **describe_delivery(attempt.row))
        result = await _record_failure(world, attempt, outcome)
    DELIVERIES.labels(result).inc()


async def _record_success(world: World, attempt: Attempt, outcome: DeliveryOutcome) -> str:
    now = world.clock.now()
    async with world.db.write() as tx:
        if not await _update_claimed(tx, attempt, state=DeliveryState.DELIVERED, settled_at=now, **outcome.to_columns(now)):
            return "overtaken"
        await ordering.release_next(tx, attempt.row, now)
        endpoint = update(WebhookEndpoint).where(*attempt.endpoint_conditions)
        await tx.execute(endpoint.where(WebhookEndpoint.failing_since.is_not(None)).values(failing_since=None))
        # A pause that the response to another delivery requested meanwhile is kept.
        is_over = or_(WebhookEndpoint.resume_at.is_(None), WebhookEndpoint.resume_at <= now)
        await tx.execute(endpoint.where(WebhookEndpoint.resume_at.is_not(None), is_over).values(resume_at=None))
    return "delivered"


async def _record_failure(world: World, attempt: Attempt, outcome: DeliveryOutcome) -> str:
    """Schedule the next try, or give up after the last one; a test is tried once."""
    now = world.clock.now()
    chance = int.from_bytes(world.entropy.random_bytes(4)) / 2**32
    next_try = None if attempt.event_type == TEST else rules.BACKOFF.next_try(attempt.row.tries, now, chance)
    resume_at = rules.parse_pause(outcome.status or 0, outcome.retry_after, now)
    due = {"state": DeliveryState.FAILED, "settled_at": now} if next_try is None else {"due_at": max(next_try, resume_at or next_try)}
    async with world.db.write() as tx:
        if not await _update_claimed(tx, attempt, **due, **outcome.to_columns(now)):
            return "overtaken"
        if next_try is None:
            await ordering.release_next(tx, attempt.row, now)
        await _update_endpoint(tx, world, attempt, outcome, resume_at)
    return "missed" if next_try else "given_up"


async def _update_endpoint(tx: Transaction, world: World, attempt: Attempt, outcome: DeliveryOutcome, resume_at: datetime | None) -> None:
    """Store the failure and the requested pause at the endpoint, and disable it if the receiver answered 410 or has failed for days.

    A failed test does not count as failing: no later success of regular deliveries may follow it.
    """
    is_gone, is_failing = outcome.status == rules.GONE, attempt.event_type != TEST
    endpoint = update(WebhookEndpoint).where(*attempt.endpoint_conditions)
    if is_failing:
        await tx.execute(endpoint.where(WebhookEndpoint.failing_since.is_(None)).values(failing_since=world.clock.now()))
    if resume_at is not None:
        await tx.execute(endpoint.values(resume_at=resume_at))
    if is_gone or (is_failing and attempt.row.tries >= rules.MIN_FAILURES):
        await _disable_endpoint(tx, world, attempt, "gone" if is_gone else "failing")


async def _disable_endpoint(tx: Transaction, world: World, attempt: Attempt, reason: str) -> None:
    """Disable the endpoint, unless it is disabled already or has not failed for long enough, and record an event."""
    now, endpoint_id = world.clock.now(), attempt.row.endpoint_id
    long_enough = () if reason == "gone" else (WebhookEndpoint.failing_since <= now - world.settings.webhook_disable_after,)
    disable = update(WebhookEndpoint).where(*attempt.endpoint_conditions, WebhookEndpoint.disabled_at.is_(None), *long_enough)
    if (await tx.execute(disable.values(disabled_at=now, disabled_reason=reason))).rowcount:
        await record(tx, world, "webhook.disabled", Actor.system(), ("webhook", endpoint_id), reason=reason)
        log.warning("webhook_disabled", reason=reason, webhook=str(endpoint_id))


async def _update_claimed(tx: Transaction, attempt: Attempt, **values: Any) -> bool:
    """Change the delivery and return True, if the claim is still valid: not claimed again, not replayed, and the URL unchanged."""
    row = attempt.row
    key = (WebhookDelivery.endpoint_id == row.endpoint_id, WebhookDelivery.event_id == row.event_id)
    is_claimed = (WebhookDelivery.attempts == row.attempts, WebhookDelivery.claimed_until == row.claimed_until, ordering.IS_PENDING)
    same_url = exists(select(1).where(*attempt.endpoint_conditions))
    return (await tx.execute(update(WebhookDelivery).where(*key, *is_claimed, same_url).values(values))).rowcount == 1
