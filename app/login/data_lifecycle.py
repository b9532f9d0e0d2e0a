"""Forgetting how an end user logged in, and from where: secrets, sessions, counters. That there were sessions and factors stays."""

from sqlalchemy import delete, select, update

from app.db.database import Session
from app.db.types import AnyRow
from app.events.service import Actor
from app.login import attempts, mailed_tokens
from app.login.account import mail_limits
from app.login.device_grant.models import DeviceCode
from app.login.factors import service as factors
from app.login.factors.passkey_challenges import PasskeyCeremony
from app.login.mailed_tokens import OneTimeToken
from app.login.models import Factor, Login, RefreshToken, SessionRow, Throttle
from app.login.sessions import revocation
from app.web.callers import Subject
from app.world import World


def must_prove(world: World, who: Subject) -> None:
    """Whoever ends an account shows first that it is theirs, as for a change of factors, and not by a recovery code (R21, R28).

    Raises StepUpRequired.
    """
    factors.not_by_recovery_code(who)
    factors.may_manage(world, who)


async def erase(session: Session, world: World, by: Actor, user: AnyRow) -> None:
    """End whatever is open and forget the rest. `user` is the row as it was; the caller holds it."""
    await revocation.end_all(session, world, by, user.id, "erased")
    await session.execute(delete(Throttle).where(Throttle.key.in_(await _counters(session, world, user))))
    mine = select(SessionRow.id).where(SessionRow.user_id == user.id)
    await session.execute(delete(RefreshToken).where(RefreshToken.session_id.in_(mine)))
    await session.execute(delete(Login).where(Login.user_id == user.id))
    await session.execute(delete(PasskeyCeremony).where(PasskeyCeremony.user_id == user.id))
    await session.execute(delete(DeviceCode).where(DeviceCode.user_id == user.id))
    await session.execute(delete(OneTimeToken).where(OneTimeToken.user_id == user.id))
    asked = [mailed_tokens.subject_of_session(world, session_id) for session_id in await session.scalars(mine)]
    named = [mailed_tokens.subject_of(world, user.email), *asked]
    await session.execute(delete(OneTimeToken).where(OneTimeToken.subject.in_(named)))
    whence = {"ip": None, "user_agent": None, "device": None, "device_digest": None}
    await session.execute(update(SessionRow).where(SessionRow.user_id == user.id).values(whence))
    nameless = {**factors.BARE, "name": None, "expires_at": None, "form": None, "transports": None}
    await session.execute(update(Factor).where(Factor.user_id == user.id).values(nameless))


async def _counters(session: Session, world: World, user: AnyRow) -> list[bytes]:
    """Every counter of the account: of its address, of its address on each device it was used on, and of its factors."""
    of_password = await attempts.of_password(session, world, user.id, user.email)
    of_address = (attempts.login_code_key(world, user.email), *mail_limits.address_keys(world, user.email))
    return [*of_password, *of_address, *attempts.of_account(world, user.id)]
