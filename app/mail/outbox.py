"""Taking letters out of the outbox: claim, send outside of any transaction, mark. Each step is one guarded statement.

A claim is `attempts`, counted up, and an instant until which nobody else takes the letter. Whoever dies between claim and mark
loses the claim; a mark that comes after the next claim changes nothing. A letter is sent twice only if a process dies, or the
database is away for longer than the claim, between the server's yes and the mark.
"""

import asyncio
import json
from datetime import datetime, timedelta
from math import nan

import structlog
from prometheus_client import Counter
from sqlalchemy import ColumnElement, Update, and_, func, or_, select, update
from sqlalchemy.exc import DBAPIError

from app.config.smtp_url import parse_sender
from app.db.base import table
from app.db.types import AnyRow
from app.events.service import Actor, record
from app.mail import rules
from app.mail.letters import Unfit, composed, written
from app.mail.models import Message, Template
from app.mail.service import facts_place, recipient_place
from app.mail.transports import Transport, hopeless, named
from app.observability.counters import OUTBOX_AGE
from app.world import World

BATCH = 5
CLAIM = timedelta(minutes=5)
LONGEST_SEND = 60.0
MARK_WAITS = (0.5, 2.0, 5.0)

LETTERS = Counter("licentia_mail_total", "Letters by what became of the attempt", ["result"])
log = structlog.get_logger("licentia.mail")

_WAITING = (Message.sent_at.is_(None), Message.failed_at.is_(None))
_OVER = {"recipient_sealed": None, "facts_sealed": None, "claimed_until": None}


class Abandoned(Exception):
    """Every claim of the letter died before it could say how it went."""


class Outdated(Exception):
    """What the letter offers has run out."""


async def has_due_letter(world: World) -> bool:
    """Whether some letter is due. One read, so that an empty outbox costs no writer anything."""
    now = world.clock.now()
    due = select(Message.id).where(*_WAITING, Message.due_at <= now, _unclaimed(now)).limit(1)
    async with world.db.query() as tx:
        return (await tx.execute(due)).first() is not None


def _unclaimed(now: datetime) -> ColumnElement[bool]:
    return or_(Message.claimed_until.is_(None), Message.claimed_until <= now)


async def measure_age(world: World) -> None:
    """For the figures: how old the oldest letter is that still waits."""
    age = OUTBOX_AGE.labels("mail")
    age.set(nan)  # until it is known
    async with world.db.query() as tx:
        oldest: datetime | None = await tx.scalar(select(func.min(Message.created_at)).where(*_WAITING))
    age.set(max(0.0, (world.clock.now() - oldest).total_seconds()) if oldest is not None else 0)


async def claim(world: World) -> list[AnyRow]:
    """Take a few due letters for `CLAIM`. Replicas that ask at once get different ones (SKIP LOCKED; SQLite has one writer)."""
    now = world.clock.now()
    free = and_(*_WAITING, Message.due_at <= now, _unclaimed(now))
    picked = select(Message.id).where(free).order_by(Message.due_at).limit(BATCH).with_for_update(skip_locked=True).cte("picked")
    taken = (
        update(Message)
        .where(Message.id.in_(select(picked.c.id)), free)
        .values(attempts=Message.attempts + 1, claimed_until=now + CLAIM)
        .returning(*table(Message).columns)
    )
    async with world.db.write(commit_now=True) as tx:
        return list((await tx.execute(taken)).all())


async def deliver_due(world: World, transport: Transport) -> int:
    """Send what is due, a few at once; how many were taken."""
    if not await has_due_letter(world):
        return 0
    taken = await claim(world)
    await asyncio.gather(*(_deliver(world, transport, row) for row in taken))
    return len(taken)


async def _deliver(world: World, transport: Transport, row: AnyRow) -> None:
    """Send one claimed letter and say how it went."""
    try:
        async with asyncio.timeout(LONGEST_SEND):
            await _send(world, transport, row)
    except Exception as error:  # noqa: BLE001  whatever it was, the letter waits for its next try
        await _marked(world, row, error)
    else:
        await _marked(world, row, None)


async def _send(world: World, transport: Transport, row: AnyRow) -> None:
    now, settings = world.clock.now(), world.settings
    if row.attempts > rules.TRIES:
        raise Abandoned
    if row.expires_at is not None and row.expires_at <= now:
        raise Outdated
    whom = json.loads(world.keys.sealer.open(row.recipient_sealed, recipient_place(row.id)))
    facts = json.loads(world.keys.sealer.open(row.facts_sealed, facts_place(row.id)))
    letter = written(Template(row.template), row.locale, facts, service=settings.totp_issuer, pages=settings.pages_url)
    origin = parse_sender(settings.mail_from)
    await transport(composed(letter, sender=origin, to=whom["address"], name=whom["name"], message_id=row.id.hex, now=now))


async def _marked(world: World, row: AnyRow, error: Exception | None) -> None:
    """Mark until it stands: what was sent and is not marked would be sent again. A database that stays away ends the claim."""
    for wait in (*MARK_WAITS, None):
        try:
            if error is None:
                await _sent(world, row)
            else:
                await _missed(world, row, error)
        except (DBAPIError, OSError) as away:
            log.warning("mail_mark_waits", cause=type(away).__name__, message=str(row.id))
            if wait is None:
                return
            await asyncio.sleep(wait)
        else:
            return


def _mine(row: AnyRow) -> Update:
    """The letter, if nobody claimed it after this claim."""
    return update(Message).where(Message.id == row.id, Message.attempts == row.attempts, *_WAITING)


async def _sent(world: World, row: AnyRow) -> None:
    async with world.db.write() as tx:
        await tx.execute(_mine(row).values(sent_at=world.clock.now(), last_error=None, **_OVER))
    LETTERS.labels("sent").inc()
    log.info("mail_sent", message=str(row.id), template=row.template, attempts=row.attempts)


async def _missed(world: World, row: AnyRow, error: Exception) -> None:
    """Put the letter off, or give it up: after the last try, or at once when no try can help."""
    now, cause = world.clock.now(), named(error)
    again = None if isinstance(error, Abandoned | Outdated | Unfit) or hopeless(error) else rules.next_try(row.attempts, now)
    over = {"failed_at": now, **_OVER} if again is None else {"due_at": again, "claimed_until": None}
    async with world.db.write() as tx:
        mine = (await tx.execute(_mine(row).values(last_error=cause, **over))).rowcount == 1
        if mine and again is None:
            told = {"template": row.template, "attempts": row.attempts, "cause": cause}
            await record(tx, world, "mail.failed", Actor.system(), ("message", row.id), row.user_id, **told)
    LETTERS.labels("missed" if again else "given_up").inc()
    log.warning("mail_missed", cause=cause, message=str(row.id), template=row.template, attempts=row.attempts, again=again is not None)
