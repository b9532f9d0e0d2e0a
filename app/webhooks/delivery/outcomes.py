"""How a delivery went: marked in one transaction with what follows for those behind it and for its endpoint."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

import structlog
from prometheus_client import Counter
from sqlalchemy import ColumnElement, exists, or_, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.base.problems import OutcomeUnknown
from app.db.database import Transaction
from app.db.types import AnyRow
from app.events.kinds import TEST
from app.events.service import Actor, record
from app.observability.logs import mask
from app.webhooks import ordering, rules
from app.webhooks.delivery.egress import EXCERPT, Answer
from app.webhooks.models import State, WebhookDelivery, WebhookEndpoint
from app.world import World

MARK_WAITS = (0.5, 2.0, 5.0)

DELIVERIES = Counter("licentia_webhook_deliveries_total", "Deliveries by what became of the attempt", ["result"])
log = structlog.get_logger("licentia.webhooks")


@dataclass(frozen=True)
class Outcome:
    """What came back. `error`: None if it was taken; `status`: None if nothing was answered; `ms`: how long it took."""

    error: str | None = None
    status: int | None = None
    retry_after: str | None = None
    excerpt: str | None = field(default=None, repr=False)
    ms: int = 0

    @classmethod
    def answered(cls, answer: Answer) -> Self:
        error = None if 200 <= answer.status < 300 else "redirected" if 300 <= answer.status < 400 else "refused"
        return cls(error, answer.status, answer.retry_after, mask(answer.excerpt)[:EXCERPT] or None)

    def facts(self, now: datetime) -> dict[str, Any]:
        told = {"last_status": self.status, "last_error": self.error, "last_excerpt": self.excerpt, "last_ms": self.ms}
        return {"last_at": now, "claimed_until": None, **told}


@dataclass(frozen=True)
class Claim:
    """The delivery as it was claimed, the address that was asked, and the kind of event."""

    row: AnyRow
    url: str
    kind: str

    @property
    def endpoint(self) -> tuple[ColumnElement[bool], ...]:
        """The endpoint, as long as it is at that address: what another answered says nothing of this one."""
        return WebhookEndpoint.id == self.row.endpoint_id, WebhookEndpoint.url == self.url

    @property
    def told(self) -> dict[str, str]:
        return {"webhook": str(self.row.endpoint_id), "of": str(self.row.event_id)}


async def marked(world: World, claim: Claim, outcome: Outcome) -> None:
    """Mark until it stands: what was taken and is not marked would be sent again. A database that stays away ends the claim."""
    for wait in (*MARK_WAITS, None):
        try:
            result = await _marked(world, claim, outcome)
        except (DBAPIError, PoolTimeout, OutcomeUnknown, OSError) as away:
            log.warning("webhook_mark_waits", cause=type(away).__name__, **claim.told)
            if wait is None:
                return
            await asyncio.sleep(wait)
        else:
            DELIVERIES.labels(result).inc()
            return


async def _marked(world: World, claim: Claim, outcome: Outcome) -> str:
    """What became of it: `delivered`, `missed`, `given_up`, or `overtaken` where the claim was not ours any more."""
    if outcome.error is not None:
        log.warning("webhook_missed", cause=outcome.error, status=outcome.status, **claim.told)
        return await _missed(world, claim, outcome)
    now = world.clock.now()
    async with world.db.write() as tx:
        if not await _mine(tx, claim, state=State.DELIVERED, settled_at=now, **outcome.facts(now)):
            return "overtaken"
        await ordering.moved_up(tx, claim.row, now)
        over = or_(WebhookEndpoint.resume_at.is_(None), WebhookEndpoint.resume_at <= now)  # another may have been told to pause meanwhile
        well = update(WebhookEndpoint).where(*claim.endpoint)
        await tx.execute(well.where(WebhookEndpoint.failing_since.is_not(None)).values(failing_since=None))
        await tx.execute(well.where(WebhookEndpoint.resume_at.is_not(None), over).values(resume_at=None))
    return "delivered"


async def _missed(world: World, claim: Claim, outcome: Outcome) -> str:
    """Put it off, or give it up after the last try. A receiver that is gone, or has been failing for long, is not asked any more."""
    now = world.clock.now()
    chance = int.from_bytes(world.entropy.random_bytes(4)) / 2**32
    again = None if claim.kind == TEST else rules.next_try(claim.row.tries, chance, now)
    resume_at = rules.pause(outcome.status or 0, outcome.retry_after, now)
    due = {"state": State.FAILED, "settled_at": now} if again is None else {"due_at": max(again, resume_at or again)}
    async with world.db.write() as tx:
        if not await _mine(tx, claim, **due, **outcome.facts(now)):
            return "overtaken"
        if again is None:
            await ordering.moved_up(tx, claim.row, now)
        await _judged(tx, world, claim, outcome, resume_at)
    return "missed" if again else "given_up"


async def _judged(tx: Transaction, world: World, claim: Claim, outcome: Outcome, resume_at: datetime | None) -> None:
    """What a failure means for the endpoint; disabled is it once, and that is an event, for the audit and for other endpoints.

    A test that fails says nothing about the days between: nothing follows it that could succeed.
    """
    gone, failing = outcome.status == rules.GONE, claim.kind != TEST
    here = update(WebhookEndpoint).where(*claim.endpoint)
    if failing:
        await tx.execute(here.where(WebhookEndpoint.failing_since.is_(None)).values(failing_since=world.clock.now()))
    if resume_at is not None:
        await tx.execute(here.values(resume_at=resume_at))
    if gone or (failing and claim.row.tries >= rules.SURE):
        await _disabled(tx, world, claim, "gone" if gone else "failing")


async def _disabled(tx: Transaction, world: World, claim: Claim, reason: str) -> None:
    now, endpoint_id = world.clock.now(), claim.row.endpoint_id
    long_enough = () if reason == "gone" else (WebhookEndpoint.failing_since <= now - world.settings.webhook_disable_after,)
    over = update(WebhookEndpoint).where(*claim.endpoint, WebhookEndpoint.disabled_at.is_(None), *long_enough)
    if (await tx.execute(over.values(disabled_at=now, disabled_reason=reason))).rowcount:
        await record(tx, world, "webhook.disabled", Actor.system(), ("webhook", endpoint_id), reason=reason)
        log.warning("webhook_disabled", reason=reason, webhook=str(endpoint_id))


async def _mine(tx: Transaction, claim: Claim, **values: Any) -> bool:
    """Change the delivery, if the claim still stands: nobody claimed it after, replayed it, or changed where it goes."""
    row = claim.row
    named = (WebhookDelivery.endpoint_id == row.endpoint_id, WebhookDelivery.event_id == row.event_id)
    stands = (WebhookDelivery.attempts == row.attempts, WebhookDelivery.claimed_until == row.claimed_until, ordering.PENDING)
    there = exists(select(1).where(*claim.endpoint))
    return (await tx.execute(update(WebhookDelivery).where(*named, *stands, there).values(values))).rowcount == 1
