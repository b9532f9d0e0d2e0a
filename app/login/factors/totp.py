"""Authenticator apps (TOTP): enrol, confirm, and spend each code once and in order (RFC 6238 section 5.2)."""

import base64
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import pyotp
import segno
from sqlalchemy import insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from app.db.database import Transaction
from app.db.types import AnyRow
from app.events.service import Actor, record
from app.login import attempts, notices, rules
from app.login.conditions import LIVE_TOTP
from app.login.models import Factor, FactorKind, FactorState
from app.login.problems import CodeRefused, EnrolmentNotFound, EnrolmentUnderWay
from app.mail.models import Template
from app.security.sealing import Place
from app.users.models import User
from app.web.callers import Origin
from app.world import World

SECRET_BYTES = 20
TRIES_PER_ENROLMENT = 5

_authenticators = select(Factor.id, Factor.secret_sealed).where(LIVE_TOTP)


@dataclass(frozen=True)
class Enrolment:
    """The data to set up the user's authenticator app, returned only once. `secret` is base32, `qr_svg` a QR code of the URI."""

    id: UUID
    secret: str = field(repr=False)
    otpauth_uri: str = field(repr=False)
    qr_svg: str = field(repr=False)
    expires_at: datetime


def _build_place(factor_id: UUID) -> Place:
    return Place("factors", "secret_sealed", factor_id)


def _decrypt_secret(world: World, factor: AnyRow) -> str:
    return world.keys.sealer.open(factor.secret_sealed, _build_place(factor.id)).decode()


async def begin(world: World, actor: Actor, user_id: UUID, name: str | None) -> Enrolment:
    """Create a pending authenticator; active ones stay as they are (authentication R20). Raises EnrolmentUnderWay.

    It replaces an earlier pending one. The caller has checked that the user may add an authenticator.
    """
    now = world.clock.now()
    secret = base64.b32encode(world.entropy.random_bytes(SECRET_BYTES)).decode()
    factor_id = world.entropy.identifier()
    values = {
        "id": factor_id,
        "user_id": user_id,
        "kind": FactorKind.TOTP,
        "state": FactorState.PENDING,
        "name": name,
        "secret_sealed": world.keys.sealer.seal(secret.encode(), _build_place(factor_id)),
        "created_at": now,
        "expires_at": now + world.settings.totp_pending,
    }
    pending = (Factor.user_id == user_id, Factor.kind == FactorKind.TOTP, Factor.state == FactorState.PENDING)
    try:
        async with world.db.write() as tx:
            await tx.execute(update(Factor).where(*pending).values(state=FactorState.REVOKED, secret_sealed=None))
            await tx.execute(insert(Factor).values(values))
            await record(tx, world, "factor.enrolment_begun", actor, ("factor", factor_id), user_id, kind=FactorKind.TOTP)
            email = await tx.scalar(select(User.email).where(User.id == user_id))
    except IntegrityError as error:  # another enrolment began at the same moment
        raise EnrolmentUnderWay from error
    uri = pyotp.TOTP(secret).provisioning_uri(name=str(email), issuer_name=world.settings.totp_issuer)
    return Enrolment(factor_id, secret, uri, segno.make(uri, error="m").svg_inline(scale=4), now + world.settings.totp_pending)


@dataclass(frozen=True)
class ConfirmedEnrolment:
    """A pending authenticator whose code was correct, and the time step of that code."""

    factor_id: UUID
    step: int


def _build_pending_conditions(user_id: UUID, now: datetime) -> tuple[Any, ...]:
    return (Factor.user_id == user_id, Factor.kind == FactorKind.TOTP, Factor.state == FactorState.PENDING, Factor.expires_at > now)


async def check_enrolment(world: World, origin: Origin, user_id: UUID, factor_id: UUID | None, code: str) -> ConfirmedEnrolment:
    """Count an attempt on the pending authenticator, then check the code; record a wrong one (authentication R72).

    Without `factor_id`, the user's only pending authenticator. Raises EnrolmentNotFound (unknown, expired, no attempts left), CodeRefused.
    """
    now = world.clock.now()
    pending = (
        (*_build_pending_conditions(user_id, now), Factor.id == factor_id)
        if factor_id is not None
        else _build_pending_conditions(user_id, now)
    )
    async with world.db.write(commit_now=True) as tx:
        attempt = update(Factor).where(*pending, Factor.attempts < TRIES_PER_ENROLMENT).values(attempts=Factor.attempts + 1)
        factor = (await tx.execute(attempt.returning(Factor.id, Factor.secret_sealed))).one_or_none()
    if factor is None:
        raise EnrolmentNotFound
    step = rules.find_time_step(_decrypt_secret(world, factor), code, now, world.settings.totp_skew)
    if step is None:
        await attempts.record_failure(world, origin, "otp", user_id, "wrong")
        raise CodeRefused
    return ConfirmedEnrolment(factor.id, step)


async def activate(tx: Transaction, world: World, actor: Actor, user_id: UUID, enrolment: ConfirmedEnrolment) -> None:
    """Activate the authenticator and spend the time step of its first code (authentication R19). Raises EnrolmentNotFound."""
    now = world.clock.now()
    values = {
        "state": FactorState.ACTIVE,
        "confirmed_at": now,
        "last_step": enrolment.step,
        "attempts": 0,
        "expires_at": None,
        "used_at": now,
    }
    activation = update(Factor).where(*_build_pending_conditions(user_id, now), Factor.id == enrolment.factor_id).values(values)
    if not (await tx.execute(activation)).rowcount:
        raise EnrolmentNotFound
    await record(tx, world, "factor.added", actor, ("factor", enrolment.factor_id), user_id, kind=FactorKind.TOTP)
    await notices.notify(tx, world, user_id, Template.FACTOR_ADDED, kind=FactorKind.TOTP)


async def find_match(tx: Transaction, world: World, user_id: UUID, code: str, now: datetime) -> tuple[UUID, int] | None:
    """Find the active authenticator that produces this code: (factor id, time step), or None."""
    rows = await tx.execute(_authenticators.where(Factor.user_id == user_id))
    for row in rows:
        step = rules.find_time_step(_decrypt_secret(world, row), code, now, world.settings.totp_skew)
        if step is not None:
            return row.id, step
    return None


async def spend_step(tx: Transaction, factor_id: UUID, step: int, now: datetime) -> bool:
    """Spend a time step in one guarded statement; False unless it is later than the last one (authentication R15)."""
    unspent = (Factor.id == factor_id, Factor.state == FactorState.ACTIVE, or_(Factor.last_step.is_(None), Factor.last_step < step))
    spent = update(Factor).where(*unspent).values(last_step=step, used_at=now)
    return (await tx.execute(spent)).rowcount == 1
