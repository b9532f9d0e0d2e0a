"""The outbox of e-mail: claim due letters, send them, and record the results.

A letter is sent twice only if its result is not recorded after the server accepted it: the process died, or the database was
unreachable for longer than the claim.
"""

import asyncio
import json
from datetime import datetime, timedelta
from functools import partial
from math import nan

import structlog
from prometheus_client import Counter
from sqlalchemy import ColumnElement, Update, and_, func, select, update

from app.background.outbox import claim_rows, is_unclaimed, process_rows, retry_recording
from app.config.smtp_url import parse_sender
from app.db.base import table
from app.db.types import AnyRow
from app.events.service import Actor, record
from app.mail import rules
from app.mail.letters import Unfit, compose_message, render_letter
from app.mail.models import Message, Template
from app.mail.service import facts_place, recipient_place
from app.mail.transports import Transport, describe_error, is_permanent
from app.observability.counters import OUTBOX_AGE
from app.world import World

BATCH = 5
CLAIM_TIME = timedelta(minutes=5)
SEND_TIMEOUT = 60.0

LETTERS = Counter("licentia_mail_total", "Attempts to send an e-mail, by result", ["result"])
log = structlog.get_logger("licentia.mail")

_WAITING = (Message.sent_at.is_(None), Message.failed_at.is_(None))
_CLEARED = {"recipient_sealed": None, "facts_sealed": None, "claimed_until": None}
"""Address and tokens are deleted as soon as a letter is sent or given up."""


class Abandoned(Exception):
    """Every process that claimed the letter died before it recorded a result."""


class Outdated(Exception):
    """The token in the letter has expired."""


async def has_due_letter(world: World) -> bool:
    """Return whether a letter is due. A read, so that an empty outbox never needs the writer."""
    async with world.db.query() as tx:
        return (await tx.execute(select(Message.id).where(_is_due(world.clock.now())).limit(1))).first() is not None


def _is_due(now: datetime) -> ColumnElement[bool]:
    return and_(*_WAITING, Message.due_at <= now, is_unclaimed(Message.claimed_until, now))


async def measure_age(world: World) -> None:
    """Set the metric that shows the age of the oldest waiting letter."""
    gauge = OUTBOX_AGE.labels("mail")
    gauge.set(nan)  # unknown if the query fails
    async with world.db.query() as tx:
        oldest = await tx.scalar(select(func.min(Message.created_at)).where(*_WAITING))
    gauge.set(max(0.0, (world.clock.now() - oldest).total_seconds()) if oldest is not None else 0)


async def claim_letters(world: World) -> list[AnyRow]:
    """Claim up to `BATCH` due letters for `CLAIM_TIME`."""
    now = world.clock.now()
    candidates = select(Message.id).where(_is_due(now)).order_by(Message.due_at).limit(BATCH)
    async with world.db.write(commit_now=True) as tx:
        return list((await tx.execute(claim_rows(table(Message), candidates, _is_due(now), now + CLAIM_TIME))).all())


async def deliver_due(world: World, transport: Transport) -> int:
    """Send one batch of due letters concurrently; return how many were claimed."""
    if not await has_due_letter(world):
        return 0
    rows = await claim_letters(world)
    await process_rows(rows, partial(_deliver_letter, world, transport), _describe_row)
    return len(rows)


def _describe_row(row: AnyRow) -> dict[str, str]:
    return {"message": str(row.id)}


async def _deliver_letter(world: World, transport: Transport, row: AnyRow) -> None:
    """Send a letter and record the result."""
    result: Exception | None = None
    try:
        async with asyncio.timeout(SEND_TIMEOUT):
            await _send_letter(world, transport, row)
    except Exception as error:  # noqa: BLE001  after any error the letter waits for its next try
        result = error
    await retry_recording(partial(record_result, world, row, result), _describe_row(row))


async def _send_letter(world: World, transport: Transport, row: AnyRow) -> None:
    now, settings = world.clock.now(), world.settings
    if row.attempts > rules.BACKOFF.tries:
        raise Abandoned
    if row.expires_at is not None and row.expires_at <= now:
        raise Outdated
    to = json.loads(world.keys.sealer.open(row.recipient_sealed, recipient_place(row.id)))
    facts = json.loads(world.keys.sealer.open(row.facts_sealed, facts_place(row.id)))
    letter = render_letter(Template(row.template), row.locale, facts, service=settings.totp_issuer, pages=settings.pages_url)
    origin = parse_sender(settings.mail_from)
    await transport(compose_message(letter, sender=origin, to=to["address"], name=to["name"], message_id=row.id.hex, now=now))


async def record_result(world: World, row: AnyRow, error: Exception | None) -> None:
    """Store the result of an attempt, unless another process claimed the letter meanwhile."""
    if error is None:
        await _record_sent(world, row)
    else:
        await _record_failure(world, row, error)


def _update_claimed(row: AnyRow) -> Update:
    return update(Message).where(Message.id == row.id, Message.attempts == row.attempts, *_WAITING)


async def _record_sent(world: World, row: AnyRow) -> None:
    async with world.db.write() as tx:
        await tx.execute(_update_claimed(row).values(sent_at=world.clock.now(), last_error=None, **_CLEARED))
    LETTERS.labels("sent").inc()
    log.info("mail_sent", template=row.template, attempts=row.attempts, **_describe_row(row))


async def _record_failure(world: World, row: AnyRow, error: Exception) -> None:
    """Schedule the next try, or give up: after the last try, or at once if no try can succeed."""
    now, cause = world.clock.now(), describe_error(error)
    is_final = isinstance(error, Abandoned | Outdated | Unfit) or is_permanent(error)
    due_at = None if is_final else rules.BACKOFF.next_try(row.attempts, now)
    values = {"failed_at": now, **_CLEARED} if due_at is None else {"due_at": due_at, "claimed_until": None}
    async with world.db.write() as tx:
        changed = (await tx.execute(_update_claimed(row).values(last_error=cause, **values))).rowcount == 1
        if changed and due_at is None:
            facts = {"template": row.template, "attempts": row.attempts, "cause": cause}
            await record(tx, world, "mail.failed", Actor.system(), ("message", row.id), row.user_id, **facts)
    LETTERS.labels("missed" if due_at else "given_up").inc()
    retry = due_at is not None
    log.warning("mail_not_sent", cause=cause, template=row.template, attempts=row.attempts, retry=retry, **_describe_row(row))
