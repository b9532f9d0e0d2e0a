"""TOTP devices: enrolling, confirming, and spending a code once, forwards only (RFC 6238 section 5.2)."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import ceil
from uuid import UUID

import pyotp
import segno
from sqlalchemy import case, exists, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from app.base.sealing import Place
from app.db.database import Session
from app.db.types import AnyRow
from app.events.service import record
from app.login import rules
from app.login.models import Factor, FactorKind, FactorState
from app.login.problems import CodeRefused, EmailNotVerified, EnrolmentNotFound, EnrolmentUnderWay, StepUpRequired
from app.login.rules import fresh
from app.users.models import User
from app.web.callers import Subject
from app.web.problems import TooManyAttempts
from app.world import World

SECRET_OCTETS = 20
TRIES_PER_ENROLMENT = 5
TRIES_BEFORE_LOCK = 10
LOCKED_FOR = timedelta(minutes=15)

OWNED = exists(
    select(Factor.id).where(Factor.user_id == User.id, Factor.kind == FactorKind.TOTP, Factor.state == FactorState.ACTIVE)
).correlate(User)
"""Whether the user of the statement around it has a live second factor."""
_devices = select(Factor.id, Factor.secret_sealed).where(Factor.kind == FactorKind.TOTP)


@dataclass(frozen=True)
class Enrolment:
    """What the user's authenticator app needs, shown this once."""

    id: UUID
    secret: str = field(repr=False)
    otpauth_uri: str = field(repr=False)
    qr_svg: str = field(repr=False)
    expires_at: datetime


def _place(factor_id: UUID) -> Place:
    return Place("factors", "secret_sealed", factor_id)


def _secret(world: World, factor: AnyRow) -> str:
    return world.keys.sealer.open(factor.secret_sealed, _place(factor.id)).decode()


async def enrol(world: World, who: Subject, name: str | None) -> Enrolment:
    """A pending device beside whatever is live (R20). Wants a fresh proof of everything the account has (R21)."""
    _may_enrol(world, who, world.settings.fresh_password)
    now = world.clock.now()
    secret = base64.b32encode(world.entropy.octets(SECRET_OCTETS)).decode()
    factor_id = world.entropy.identifier()
    values = {
        "id": factor_id,
        "user_id": who.id,
        "kind": FactorKind.TOTP,
        "state": FactorState.PENDING,
        "name": name,
        "secret_sealed": world.keys.sealer.seal(secret.encode(), _place(factor_id)),
        "attempts": 0,
        "created_at": now,
        "expires_at": now + world.settings.totp_pending,
    }
    pending = (Factor.user_id == who.id, Factor.kind == FactorKind.TOTP, Factor.state == FactorState.PENDING)
    try:
        async with world.db.write() as session:
            await session.execute(update(Factor).where(*pending).values(state=FactorState.REVOKED, secret_sealed=None))
            await session.execute(insert(Factor).values(values))
            await record(session, world, "factor.enrolment_begun", who.actor, ("factor", factor_id), who.id, kind=FactorKind.TOTP)
            email = await session.scalar(select(User.email).where(User.id == who.id))
    except IntegrityError as twin:  # one pending device for each user: another enrolment began at the same moment
        raise EnrolmentUnderWay from twin
    uri = pyotp.TOTP(secret).provisioning_uri(name=str(email), issuer_name=world.settings.totp_issuer)
    return Enrolment(factor_id, secret, uri, segno.make(uri, error="m").svg_inline(scale=4), now + world.settings.totp_pending)


def _may_enrol(world: World, who: Subject, age: timedelta) -> None:
    """Whether all that the account has was shown at most `age` ago. Asked at both ends: the account may have changed between."""
    if not who.email_verified:
        raise EmailNotVerified
    at = who.second_factor_at if who.has_second_factor else who.password_at
    if not fresh(at, world.clock.now(), age):
        level = "aal2" if who.has_second_factor else "aal1"
        raise StepUpRequired("Log in again, then enrol at once.", {"acr_values": level, "max_age": int(age.total_seconds())})


async def confirm(world: World, who: Subject, factor_id: UUID, code: str) -> datetime:
    """Bring a pending device to life with a code of it; the code's step is spent with it (R19). Returns when.

    Raises EnrolmentNotFound (unknown, expired, out of tries), CodeRefused, StepUpRequired.
    """
    _may_enrol(world, who, world.settings.fresh_password + world.settings.totp_pending)
    now = world.clock.now()
    mine = (Factor.id == factor_id, Factor.user_id == who.id, Factor.kind == FactorKind.TOTP)
    pending = (*mine, Factor.state == FactorState.PENDING, Factor.expires_at > now)
    async with world.db.write(stands=True) as session:
        attempt = update(Factor).where(*pending, Factor.attempts < TRIES_PER_ENROLMENT).values(attempts=Factor.attempts + 1)
        factor = (await session.execute(attempt.returning(Factor.id, Factor.secret_sealed))).one_or_none()
    if factor is None:
        raise EnrolmentNotFound
    step = rules.matching_step(_secret(world, factor), code, now, world.settings.totp_skew)
    if step is None:
        raise CodeRefused
    alive = {"state": FactorState.ACTIVE, "confirmed_at": now, "last_step": step, "attempts": 0, "expires_at": None}
    async with world.db.write() as session:
        if not (await session.execute(update(Factor).where(*pending).values(alive))).rowcount:
            raise EnrolmentNotFound
        await record(session, world, "factor.added", who.actor, ("factor", factor_id), who.id, kind=FactorKind.TOTP)
    return now


async def count_attempt(session: Session, user_id: UUID, now: datetime) -> list[UUID]:
    """Count a code before it is looked at, in one guarded statement (R43); the devices that it may be compared with.

    Raises TooManyAttempts when every device is locked. The guard is of each row alone: PostgreSQL looks at a row again when a
    twin changed it meanwhile, but not at a subquery.
    """
    mine = (Factor.user_id == user_id, Factor.kind == FactorKind.TOTP, Factor.state == FactorState.ACTIVE)
    tried = Factor.attempts + 1
    values = {"attempts": tried, "locked_until": case((tried >= TRIES_BEFORE_LOCK, now + LOCKED_FOR), else_=None)}
    unlocked = or_(Factor.locked_until.is_(None), Factor.locked_until <= now)
    counted = update(Factor).where(*mine, unlocked).values(values).returning(Factor.id)
    devices = list((await session.scalars(counted)).all())
    if not devices:
        until = await session.scalar(select(func.min(Factor.locked_until)).where(*mine))
        raise TooManyAttempts(retry_after=max(1, ceil((until - now).total_seconds())) if until else 1)
    return devices


async def reset_attempts(session: Session, user_id: UUID) -> None:
    """A right code clears the counters of this factor on this account, and nothing else (R42)."""
    mine = (Factor.user_id == user_id, Factor.kind == FactorKind.TOTP, Factor.attempts > 0)
    await session.execute(update(Factor).where(*mine).values(attempts=0, locked_until=None))


async def match(session: Session, world: World, devices: Sequence[UUID], code: str, now: datetime) -> tuple[UUID, int] | None:
    """Which of these devices shows this code, and for which step."""
    rows = await session.execute(_devices.where(Factor.id.in_(devices), Factor.state == FactorState.ACTIVE))
    for row in rows:
        step = rules.matching_step(_secret(world, row), code, now, world.settings.totp_skew)
        if step is not None:
            return row.id, step
    return None


async def spend_step(session: Session, factor_id: UUID, step: int) -> bool:
    """Accept the step once and forwards only: one guarded statement whose row count is the answer (R15)."""
    unspent = (Factor.id == factor_id, Factor.state == FactorState.ACTIVE, or_(Factor.last_step.is_(None), Factor.last_step < step))
    spent = update(Factor).where(*unspent).values(last_step=step)
    return (await session.execute(spent)).rowcount == 1
