"""How a delivery went: marked in one transaction with what follows for those behind it and for its endpoint."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self
from uuid import UUID

import structlog
from prometheus_client import Counter
from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import aliased

from app.base.egress import EXCERPT, Answer
from app.base.logs import masked
from app.base.problems import OutcomeUnknown
from app.db.database import Session
from app.db.types import AnyRow
from app.events.kinds import TEST
from app.events.service import Actor, record
from app.webhooks import rules
from app.webhooks.models import State, WebhookDelivery, WebhookEndpoint
from app.world import World

MARK_WAITS = (0.5, 2.0, 5.0)

DELIVERIES = Counter("licentia_webhook_deliveries_total", "Deliveries by what became of the attempt", ["result"])
_waiting = aliased(WebhookDelivery)
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
        return cls(error, answer.status, answer.retry_after, masked(answer.excerpt)[:EXCERPT] or None)

    def facts(self, now: datetime) -> dict[str, Any]:
        told = {"last_status": self.status, "last_error": self.error, "last_excerpt": self.excerpt, "last_ms": self.ms}
        return {"last_at": now, "claimed_until": None, **told}


async def marked(world: World, row: AnyRow, kind: str, outcome: Outcome) -> None:
    """Mark until it stands: what was taken and is not marked would be sent again. A database that stays away ends the claim."""
    for wait in (*MARK_WAITS, None):
        try:
            result = await _marked(world, row, kind, outcome)
        except (DBAPIError, PoolTimeout, OutcomeUnknown, OSError) as away:
            log.warning("webhook_mark_waits", cause=type(away).__name__, webhook=str(row.endpoint_id), of=str(row.event_id))
            if wait is None:
                return
            await asyncio.sleep(wait)
        else:
            DELIVERIES.labels(result).inc()
            return


async def _marked(world: World, row: AnyRow, kind: str, outcome: Outcome) -> str:
    """What became of it: `delivered`, `missed`, `given_up`, or `overtaken` where the claim was not ours any more."""
    if outcome.error is not None:
        log.warning("webhook_missed", cause=outcome.error, status=outcome.status, webhook=str(row.endpoint_id), of=str(row.event_id))
        return await _missed(world, row, kind, outcome)
    now = world.clock.now()
    async with world.db.write() as session:
        if not await _mine(session, row, state=State.DELIVERED, settled_at=now, **outcome.facts(now)):
            return "overtaken"
        await _next(session, row, now)
        ill = or_(WebhookEndpoint.failing_since.is_not(None), WebhookEndpoint.resume_at.is_not(None))
        well = update(WebhookEndpoint).where(WebhookEndpoint.id == row.endpoint_id, ill)
        await session.execute(well.values(failing_since=None, resume_at=None))
    return "delivered"


async def _missed(world: World, row: AnyRow, kind: str, outcome: Outcome) -> str:
    """Put it off, or give it up after the last try. A receiver that is gone, or has been failing for long, is not asked any more."""
    now = world.clock.now()
    chance = int.from_bytes(world.entropy.octets(4)) / 2**32
    again = None if kind == TEST else rules.next_try(row.tries, chance, now)
    resume_at = rules.pause(outcome.status or 0, outcome.retry_after, now)
    due = {"state": State.FAILED, "settled_at": now} if again is None else {"due_at": max(again, resume_at or again)}
    async with world.db.write() as session:
        if not await _mine(session, row, **due, **outcome.facts(now)):
            return "overtaken"
        if again is None:
            await _next(session, row, now)
        else:
            behind = update(WebhookDelivery).where(*_line(row), WebhookDelivery.event_id > row.event_id, WebhookDelivery.due_at < again)
            await session.execute(behind.values(due_at=again))
        await _judged(session, world, row, outcome, resume_at, failing=kind != TEST)
    return "missed" if again else "given_up"


async def _judged(session: Session, world: World, row: AnyRow, outcome: Outcome, resume_at: datetime | None, *, failing: bool) -> None:
    """What a failure means for the endpoint; disabled is it once, and that is an event, for the audit and for other endpoints.

    A test that fails says nothing about the days between: nothing follows it that could succeed.
    """
    now, gone = world.clock.now(), outcome.status == rules.GONE
    here = update(WebhookEndpoint).where(WebhookEndpoint.id == row.endpoint_id)
    if failing:
        await session.execute(here.where(WebhookEndpoint.failing_since.is_(None)).values(failing_since=now))
    if resume_at is not None:
        await session.execute(here.values(resume_at=resume_at))
    if gone or (failing and row.tries >= rules.SURE):
        await _disabled(session, world, row.endpoint_id, "gone" if gone else "failing")


async def _disabled(session: Session, world: World, endpoint_id: UUID, reason: str) -> None:
    now = world.clock.now()
    long_enough = () if reason == "gone" else (WebhookEndpoint.failing_since <= now - world.settings.webhook_disable_after,)
    over = update(WebhookEndpoint).where(WebhookEndpoint.id == endpoint_id, WebhookEndpoint.disabled_at.is_(None), *long_enough)
    if (await session.execute(over.values(disabled_at=now, disabled_reason=reason))).rowcount:
        await record(session, world, "webhook.disabled", Actor.system(), ("webhook", endpoint_id), reason=reason)
        log.warning("webhook_disabled", reason=reason, webhook=str(endpoint_id))


async def _mine(session: Session, row: AnyRow, **values: Any) -> bool:
    """Change the delivery, if the claim still stands: nobody claimed it after, replayed it, or changed where it goes."""
    named = (WebhookDelivery.endpoint_id == row.endpoint_id, WebhookDelivery.event_id == row.event_id)
    claim = (WebhookDelivery.attempts == row.attempts, WebhookDelivery.claimed_until == row.claimed_until)
    mine = update(WebhookDelivery).where(*named, *claim, WebhookDelivery.state == State.PENDING)
    return (await session.execute(mine.values(values))).rowcount == 1


async def _next(session: Session, row: AnyRow, now: datetime) -> None:
    """The one behind it in its line is due, though it was put off with those before it."""
    waiting = (_waiting.endpoint_id == row.endpoint_id, _waiting.subject_id == row.subject_id, _waiting.state == State.PENDING)
    first = select(_waiting.event_id).where(*waiting).order_by(_waiting.event_id).limit(1).scalar_subquery()
    await session.execute(update(WebhookDelivery).where(*_line(row), WebhookDelivery.event_id == first).values(due_at=now))


def _line(row: AnyRow) -> tuple[ColumnElement[bool], ...]:
    """Those of its endpoint and subject that are still to be told."""
    same = (WebhookDelivery.endpoint_id == row.endpoint_id, WebhookDelivery.subject_id == row.subject_id)
    return (*same, WebhookDelivery.state == State.PENDING)
