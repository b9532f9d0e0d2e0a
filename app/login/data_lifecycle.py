"""Forgetting how an end user logged in, and from where: secrets, sessions, counters. That there were sessions and factors stays."""

from datetime import timedelta

from sqlalchemy import delete, literal_column, not_, select, update

from app.db.database import Transaction
from app.db.export_pages import EXPORTED_USER, ExportSection
from app.db.pruning import prune, reference_conditions
from app.db.types import AnyRow
from app.events.service import Actor
from app.login import attempts, mailed_tokens
from app.login.account import mail_limits
from app.login.device_grant.models import DeviceCode, DeviceCodeStatus
from app.login.factors import service as factors
from app.login.factors.passkey_challenges import PasskeyCeremony
from app.login.mailed_tokens import OneTimeToken
from app.login.models import Factor, FactorKind, FactorState, Login, RefreshToken, SessionRow
from app.login.sessions import revocation
from app.web.callers import Subject
from app.web.models import AttemptCounter
from app.world import World


def require_proof(world: World, subject: Subject) -> None:
    """Whoever ends an account shows first that it is theirs, as for a change of factors, and not by a recovery code (authentication R21, R28).

    Raises StepUpRequired.
    """
    factors.refuse_recovery_code_session(subject)
    factors.require_recent_proof(world, subject)


async def erase(tx: Transaction, world: World, actor: Actor, user: AnyRow) -> None:
    """End whatever is open and forget the rest. `user` is the row as it was; the caller holds it."""
    await revocation.end_all(tx, world, actor, user.id, "erased")
    await tx.execute(delete(AttemptCounter).where(AttemptCounter.key.in_(await _counters(tx, world, user))))
    mine = select(SessionRow.id).where(SessionRow.user_id == user.id)
    await tx.execute(delete(RefreshToken).where(RefreshToken.session_id.in_(mine)))
    await tx.execute(delete(Login).where(Login.user_id == user.id))
    await tx.execute(delete(PasskeyCeremony).where(PasskeyCeremony.user_id == user.id))
    await tx.execute(delete(DeviceCode).where(DeviceCode.user_id == user.id))
    await tx.execute(delete(OneTimeToken).where(OneTimeToken.user_id == user.id))
    asked = [mailed_tokens.digest_session(world, session_id) for session_id in await tx.scalars(mine)]
    named = [mailed_tokens.digest_address(world, user.email), *asked]
    await tx.execute(delete(OneTimeToken).where(OneTimeToken.subject.in_(named)))
    whence = {"ip": None, "user_agent": None, "device": None, "device_digest": None}
    await tx.execute(update(SessionRow).where(SessionRow.user_id == user.id).values(whence))
    nameless = {**factors.CLEARED, "name": None, "expires_at": None, "form": None, "transports": None}
    await tx.execute(update(Factor).where(Factor.user_id == user.id).values(nameless))


async def _counters(tx: Transaction, world: World, user: AnyRow) -> list[bytes]:
    """Every counter of the account: of its address, of its address on each device it was used on, and of its factors."""
    of_password = await attempts.password_keys(tx, world, user.id, user.email)
    of_address = (attempts.login_code_key(world, user.email), *mail_limits.address_keys(world, user.email))
    return [*of_password, *of_address, *attempts.second_factor_keys(world, user.id)]


_factors = select(
    Factor.id, Factor.kind, Factor.state, Factor.name, Factor.created_at, Factor.confirmed_at, Factor.used_at, Factor.expires_at
)
_sessions = select(
    SessionRow.id,
    SessionRow.amr,
    SessionRow.ip,
    SessionRow.user_agent,
    SessionRow.product,
    SessionRow.device,
    SessionRow.created_at,
    SessionRow.last_seen_at,
    SessionRow.expires_at,
    SessionRow.revoked_at,
    SessionRow.revoked_reason,
)
_LET_IN = (DeviceCodeStatus.APPROVED, DeviceCodeStatus.CONSUMED)
"""Of what was only opened, or denied, nobody knows that it was the end user's."""
_device_codes = select(
    DeviceCode.id,
    DeviceCode.status,
    DeviceCode.ip,
    DeviceCode.user_agent,
    DeviceCode.product,
    DeviceCode.device,
    DeviceCode.claimed_session_id.label("session_id"),
    DeviceCode.created_at,
    DeviceCode.expires_at,
    DeviceCode.decided_at,
)
SECTIONS = (
    ExportSection("factors", _factors.where(Factor.user_id == EXPORTED_USER), Factor.id),
    ExportSection("sessions", _sessions.where(SessionRow.user_id == EXPORTED_USER), SessionRow.id),
    ExportSection("device_codes", _device_codes.where(DeviceCode.user_id == EXPORTED_USER, DeviceCode.status.in_(_LET_IN)), DeviceCode.id),
)


_PENDING = (
    Factor.kind == literal_column(f"'{FactorKind.TOTP}'"),
    Factor.state == literal_column(f"'{FactorState.PENDING}'"),
)
"""In words, not as parameters: so the index of the few that are pending is found."""
TOKEN_RETENTION = timedelta(days=7)
"""How long a mailed token is recognised as one that was."""


async def prune_logins(world: World) -> int:
    """Delete a batch of the unfinished logins that are over; how many."""
    return await prune(world.db, Login, Login.expires_at <= world.clock.now())


async def prune_refresh_tokens(world: World) -> int:
    """Delete a batch of the refresh tokens past their time, spent or not: they prove nothing any more; how many."""
    return await prune(world.db, RefreshToken, RefreshToken.expires_at <= world.clock.now())


async def prune_sessions(world: World) -> int:
    """Delete a batch of the sessions that could last until `LOGIN_RETENTION` ago, whatever ended them; how many."""
    over = SessionRow.expires_at <= world.clock.now() - world.settings.login_retention
    return await prune(world.db, SessionRow, over, *(not_(held) for held in reference_conditions(SessionRow)))


async def prune_one_time_tokens(world: World) -> int:
    """Delete a batch of the mailed tokens whose time was over a week ago; how many."""
    return await prune(world.db, OneTimeToken, OneTimeToken.expires_at <= world.clock.now() - TOKEN_RETENTION)


async def prune_passkey_ceremonies(world: World) -> int:
    """Delete a batch of the challenges that nobody answers any more; how many."""
    return await prune(world.db, PasskeyCeremony, PasskeyCeremony.expires_at <= world.clock.now())


async def prune_device_codes(world: World) -> int:
    """Delete a batch of the requests to be let in by a short code that are past their time; how many."""
    return await prune(world.db, DeviceCode, DeviceCode.expires_at <= world.clock.now())


async def prune_enrolments(world: World) -> int:
    """Delete a batch of the authenticators that nobody confirmed in time; how many."""
    return await prune(world.db, Factor, *_PENDING, Factor.expires_at <= world.clock.now())
