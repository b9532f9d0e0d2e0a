"""Export, erasure and retention of login data.

Erasure removes secrets, network data and counters; the rows of sessions and factors remain without them.
"""

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
    """Check that the caller may erase the account.

    Requires a recent proof, as for factor changes, and not a recovery code (authentication R21, R28). Raises StepUpRequired.
    """
    factors.refuse_recovery_code_session(subject)
    factors.require_recent_proof(world, subject)


async def erase(tx: Transaction, world: World, actor: Actor, user: AnyRow) -> None:
    """End all sessions and logins of the user and delete or clear the other login data.

    `user` is the row before erasure; the caller has locked it.
    """
    await revocation.end_all(tx, world, actor, user.id, "erased")
    await tx.execute(delete(AttemptCounter).where(AttemptCounter.key.in_(await _list_counter_keys(tx, world, user))))
    session_ids = select(SessionRow.id).where(SessionRow.user_id == user.id)
    await tx.execute(delete(RefreshToken).where(RefreshToken.session_id.in_(session_ids)))
    await tx.execute(delete(Login).where(Login.user_id == user.id))
    await tx.execute(delete(PasskeyCeremony).where(PasskeyCeremony.user_id == user.id))
    await tx.execute(delete(DeviceCode).where(DeviceCode.user_id == user.id))
    await tx.execute(delete(OneTimeToken).where(OneTimeToken.user_id == user.id))
    session_digests = [mailed_tokens.digest_session(world, session_id) for session_id in await tx.scalars(session_ids)]
    digests = [mailed_tokens.digest_address(world, user.email), *session_digests]
    await tx.execute(delete(OneTimeToken).where(OneTimeToken.subject.in_(digests)))
    network_data = {"ip": None, "user_agent": None, "device": None, "device_digest": None}
    await tx.execute(update(SessionRow).where(SessionRow.user_id == user.id).values(network_data))
    cleared_values = {**factors.CLEARED_COLUMNS, "name": None, "expires_at": None, "form": None, "transports": None}
    await tx.execute(update(Factor).where(Factor.user_id == user.id).values(cleared_values))


async def _list_counter_keys(tx: Transaction, world: World, user: AnyRow) -> list[bytes]:
    """Return the counter keys of the account: of its address, of the address on each known device, and of its factors."""
    password_keys = await attempts.list_password_keys(tx, world, user.id, user.email)
    address_keys = (attempts.build_login_code_key(world, user.email), *mail_limits.list_address_keys(world, user.email))
    return [*password_keys, *address_keys, *attempts.list_second_factor_keys(world, user.id)]


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
_GRANTED = (DeviceCodeStatus.APPROVED, DeviceCodeStatus.CONSUMED)
"""Requests that were only opened or denied may not have been the end user's, so they are not exported."""
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
    ExportSection("device_codes", _device_codes.where(DeviceCode.user_id == EXPORTED_USER, DeviceCode.status.in_(_GRANTED)), DeviceCode.id),
)


_PENDING = (
    Factor.kind == literal_column(f"'{FactorKind.TOTP}'"),
    Factor.state == literal_column(f"'{FactorState.PENDING}'"),
)
"""Literals, not parameters: only then does the planner use the partial index of pending factors."""
TOKEN_RETENTION = timedelta(days=7)
"""How long a mailed token is still recognised after it expired."""


async def prune_logins(world: World) -> int:
    """Delete a batch of expired pending logins; return the number."""
    return await prune(world.db, Login, Login.expires_at <= world.clock.now())


async def prune_refresh_tokens(world: World) -> int:
    """Delete a batch of expired refresh tokens, spent or not; return the number."""
    return await prune(world.db, RefreshToken, RefreshToken.expires_at <= world.clock.now())


async def prune_sessions(world: World) -> int:
    """Delete a batch of sessions whose latest end was `LOGIN_RETENTION` ago; return the number."""
    is_over = SessionRow.expires_at <= world.clock.now() - world.settings.login_retention
    return await prune(world.db, SessionRow, is_over, *(not_(reference) for reference in reference_conditions(SessionRow)))


async def prune_one_time_tokens(world: World) -> int:
    """Delete a batch of mailed tokens that expired a week ago; return the number."""
    return await prune(world.db, OneTimeToken, OneTimeToken.expires_at <= world.clock.now() - TOKEN_RETENTION)


async def prune_passkey_ceremonies(world: World) -> int:
    """Delete a batch of expired passkey challenges; return the number."""
    return await prune(world.db, PasskeyCeremony, PasskeyCeremony.expires_at <= world.clock.now())


async def prune_device_codes(world: World) -> int:
    """Delete a batch of expired device grant requests; return the number."""
    return await prune(world.db, DeviceCode, DeviceCode.expires_at <= world.clock.now())


async def prune_enrolments(world: World) -> int:
    """Delete a batch of authenticators that were not confirmed in time; return the number."""
    return await prune(world.db, Factor, *_PENDING, Factor.expires_at <= world.clock.now())
