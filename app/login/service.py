"""Logging in: password first, then the second factor if the account has one. No session exists before it is complete."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import and_, bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from app.base.passwords import length, normalised
from app.base.problems import Malformed
from app.base.sealing import token_digest
from app.base.signing import Signer
from app.db.database import Session
from app.db.types import AnyRow
from app.events.service import Actor, record
from app.login import sessions, totp
from app.login.models import Factor, FactorKind, FactorState, Login
from app.login.problems import CodeRefused, InvalidCredentials, LoginOver, SecondFactorMissing
from app.login.rules import Proofs
from app.login.sessions import Opened
from app.signing_keys.service import signer
from app.users import service as users
from app.users.models import Status, User
from app.users.rules import folded
from app.web.callers import EndUser, Origin, Subject, UnfinishedLogin
from app.web.problems import TooManyAttempts
from app.world import World

PREFIX = "lgn_"
_who = (
    select(User.id, User.status, User.email_verified_at, Factor.hash, totp.OWNED.label("second_factor"))
    .outerjoin(Factor, and_(Factor.user_id == User.id, Factor.kind == FactorKind.PASSWORD, Factor.state == FactorState.ACTIVE))
    .where(User.email_folded == bindparam("identifier"))
)
_login = select(Login.id, Login.user_id, Login.session_id, Login.password_at, Login.attempts, Login.expires_at)


@dataclass(frozen=True)
class Incomplete:
    """A login that wants its second factor. `token` is shown once, with the step that began it."""

    token: str | None = field(repr=False)
    expires_at: datetime
    done: tuple[str, ...]


async def begin(world: World, origin: Origin, identifier: str, password: str, code: str | None) -> Opened | Incomplete:
    """Check the password; with a second factor on the account, go on by its code or hand out an unfinished login.

    One answer, in one time, for unknown, wrong, suspended, unverified and password-less users (R11, R49).
    """
    sign = await signer(world)
    who = await _find(world, identifier)
    usable = who is not None and who.status == Status.ACTIVE and who.email_verified_at is not None
    fits = await world.hasher.verify(normalised(password), who.hash if who is not None and usable else None)
    if who is None or not fits:
        raise InvalidCredentials
    now = world.clock.now()
    if not who.second_factor:
        async with world.db.write() as session:
            return await sessions.open_session(session, world, sign, origin, who.id, Proofs(now, None))
    if code is None:
        return await _unfinished(world, who.id, now, None)
    return await _prove(world, sign, origin, _Pending(None, who.id, None, now), code)


async def _find(world: World, identifier: str) -> AnyRow | None:
    async def ask(session: Session) -> AnyRow | None:
        return (await session.execute(_who, {"identifier": folded(identifier)})).one_or_none()

    return await world.db.find(ask)


@dataclass(frozen=True)
class _Pending:
    """What a second factor would complete: a login (by its row, or inline without one) or a step-up of a session."""

    login_id: UUID | None
    user_id: UUID
    session_id: UUID | None
    password_at: datetime | None


async def _unfinished(world: World, user_id: UUID, password_at: datetime | None, session_id: UUID | None) -> Incomplete:
    now, token = world.clock.now(), world.entropy.secret(PREFIX)
    values = {
        "id": world.entropy.identifier(),
        "user_id": user_id,
        "session_id": session_id,
        "token_hash": token_digest(token),
        "password_at": password_at,
        "attempts": 0,
        "created_at": now,
        "expires_at": now + world.settings.login_lifetime,
    }
    async with world.db.write() as session:
        await session.execute(insert(Login).values(values))
    return Incomplete(token, now + world.settings.login_lifetime, _done(session_id))


def _done(session_id: UUID | None) -> tuple[str, ...]:
    return ("session",) if session_id else ("password",)


async def step_up(world: World, who: Subject) -> Incomplete:
    """Begin to raise the session to `aal2` (RFC 9470). Raises SecondFactorMissing."""
    if not who.has_second_factor:
        raise SecondFactorMissing
    return await _unfinished(world, who.id, who.password_at, who.session_id)


async def verify_totp(world: World, origin: Origin, handle: UnfinishedLogin, code: str) -> Opened:
    """Complete a login or a step-up with a code. Raises LoginOver, CodeRefused, TooManyAttempts."""
    sign = await signer(world)
    now = world.clock.now()
    attempt = update(Login).where(*_open(handle, now), Login.attempts < world.settings.login_tries).values(attempts=Login.attempts + 1)
    async with world.db.write(stands=True) as session:
        row = (await session.execute(attempt.returning(Login.id, Login.user_id, Login.session_id, Login.password_at))).one_or_none()
        devices = await _counted(session, row.user_id, now) if row is not None else []
    if row is None:
        raise LoginOver
    pending = _Pending(row.id, row.user_id, row.session_id, row.password_at)
    return await _complete(world, sign, origin, pending, devices, code)


async def _prove(world: World, sign: Signer, origin: Origin, pending: _Pending, code: str) -> Opened:
    async with world.db.write(stands=True) as session:
        devices = await _counted(session, pending.user_id, world.clock.now())
    return await _complete(world, sign, origin, pending, devices, code)


async def _counted(session: Session, user_id: UUID, now: datetime) -> list[UUID] | TooManyAttempts:
    """Count the attempt; a refusal is handed back, to be raised after the block so that the counters stand."""
    try:
        return await totp.count_attempt(session, user_id, now)
    except TooManyAttempts as locked:
        return locked


async def _complete(
    world: World, sign: Signer, origin: Origin, pending: _Pending, devices: list[UUID] | TooManyAttempts, code: str
) -> Opened:
    if isinstance(devices, TooManyAttempts):
        raise devices
    now = world.clock.now()
    async with world.db.lookup() as session:
        matched = await totp.match(session, world, devices, code, now)
    if matched is None:
        raise CodeRefused
    async with world.db.write() as session:
        if not await totp.spend_step(session, *matched):
            raise CodeRefused
        await totp.reset_attempts(session, pending.user_id)
        if not await _account_open(session, pending.user_id):
            raise LoginOver
        if pending.login_id is not None and not await _finish(session, pending.login_id, now):
            raise LoginOver
        if pending.session_id is None:
            return await sessions.open_session(session, world, sign, origin, pending.user_id, Proofs(pending.password_at, now))
        raised = await sessions.raise_session(session, world, sign, pending.user_id, pending.session_id)
        if raised is None:
            raise LoginOver
        return raised


async def _account_open(session: Session, user_id: UUID) -> bool:
    return await session.scalar(select(User.status).where(User.id == user_id)) == Status.ACTIVE


async def _finish(session: Session, login_id: UUID, now: datetime) -> bool:
    """End the unfinished login once; whoever comes second finds it over."""
    unfinished = update(Login).where(Login.id == login_id, Login.finished_at.is_(None)).values(finished_at=now)
    return (await session.execute(unfinished)).rowcount == 1


def _open(handle: UnfinishedLogin, now: datetime) -> tuple[Any, ...]:
    return (Login.token_hash == token_digest(handle.token), Login.finished_at.is_(None), Login.expires_at > now)


async def state(world: World, handle: UnfinishedLogin) -> Incomplete:
    """Where an unfinished login stands. Raises LoginOver."""
    async with world.db.lookup() as session:
        row = (await session.execute(_login.where(*_open(handle, world.clock.now())))).one_or_none()
    if row is None or row.attempts >= world.settings.login_tries:
        raise LoginOver
    return Incomplete(None, row.expires_at, _done(row.session_id))


async def cancel(world: World, handle: UnfinishedLogin) -> None:
    """Give the login up. Doing it again changes nothing."""
    now = world.clock.now()
    async with world.db.write() as session:
        await session.execute(update(Login).where(*_open(handle, now)).values(finished_at=now))


async def create_user(world: World, by: Actor, values: dict[str, Any], password: str | None) -> AnyRow:
    """A new end user, with a password if one is given. Raises EmailTaken, UserExternalIdTaken, Malformed."""
    hashed = await world.hasher.hash(_acceptable(world, password)) if password is not None else None
    try:
        async with world.db.write() as session:
            row = await users.insert_user(session, world, by, values)
            if hashed is not None:
                await _set_password(session, world, by, row.id, hashed)
            return row
    except IntegrityError as error:
        raise users.named(error) from error


def _acceptable(world: World, password: str) -> str:
    """The password in its one form, if it is long enough (R1); nothing else is asked of it (R2)."""
    if length(password) < world.settings.password_min:
        raise Malformed([("/password", "password_too_short", f"wants at least {world.settings.password_min} characters")])
    return normalised(password)


async def _set_password(session: Session, world: World, by: Actor, user_id: UUID, hashed: str) -> None:
    now, factor_id = world.clock.now(), world.entropy.identifier()
    values = {
        "id": factor_id,
        "user_id": user_id,
        "kind": FactorKind.PASSWORD,
        "state": FactorState.ACTIVE,
        "hash": hashed,
        "attempts": 0,
        "created_at": now,
        "confirmed_at": now,
    }
    await session.execute(insert(Factor).values(values))
    await record(session, world, "factor.added", by, ("factor", factor_id), user_id, kind=FactorKind.PASSWORD)


async def me(world: World, holder: EndUser) -> AnyRow:
    """The user's own row with the session's, in one statement."""
    return await sessions.look_up(world, holder)
