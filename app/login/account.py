"""What a proven mailbox may do to an account: find it, give it a password, end what rests on it, tell its owner."""

from uuid import UUID

from sqlalchemy import insert, select, update

from app.base.passwords import length, normalised
from app.base.problems import Malformed
from app.db.base import table
from app.db.database import Session
from app.db.types import AnyRow
from app.events.service import Actor, record
from app.login import totp
from app.login.models import Factor, FactorKind, FactorState, Login, SessionRow
from app.login.problems import MailNotConfigured
from app.mail.models import Template
from app.mail.service import Facts, Recipient, post
from app.users.models import Status, User
from app.users.rules import folded
from app.world import World

ANONYMOUS = Actor("anonymous")
_accounts = select(*table(User).columns, totp.OWNED.label("has_second_factor"))


async def find(session: Session, address: str) -> AnyRow | None:
    """Whoever has this address, proven or not, open or not."""
    return (await session.execute(_accounts.where(User.email_folded == folded(address)))).one_or_none()


async def of(session: Session, user_id: UUID) -> AnyRow | None:
    return (await session.execute(_accounts.where(User.id == user_id))).one_or_none()


def usable(row: AnyRow | None) -> AnyRow | None:
    """The account if it is there and open."""
    return row if row is not None and row.status == Status.ACTIVE else None


async def accepted(world: World, password: str, _email: str, pointer: str) -> str:
    """The hash of a password that is long enough (R1). Raises Malformed, Busy."""
    if length(password) < world.settings.password_min:
        raise Malformed([(pointer, "password_too_short", f"wants at least {world.settings.password_min} characters")])
    return await world.hasher.hash(normalised(password))


async def put(session: Session, world: World, by: Actor, user_id: UUID, hashed: str) -> None:
    """The password from now on, in the place of the one before."""
    old = update(Factor).where(Factor.user_id == user_id, Factor.kind == FactorKind.PASSWORD, Factor.state == FactorState.ACTIVE)
    await session.execute(old.values(state=FactorState.REVOKED, hash=None))
    now, factor_id = world.clock.now(), world.entropy.identifier()
    values = {"id": factor_id, "user_id": user_id, "kind": FactorKind.PASSWORD, "state": FactorState.ACTIVE, "hash": hashed}
    await session.execute(insert(Factor).values({**values, "attempts": 0, "created_at": now, "confirmed_at": now}))
    await record(session, world, "factor.added", by, ("factor", factor_id), user_id, kind=FactorKind.PASSWORD)


async def end_all(session: Session, world: World, by: Actor, user_id: UUID, reason: str, *, session_id: UUID | None = None) -> None:
    """End every session and every unfinished login of the user, but for the one session that does it (R59)."""
    now = world.clock.now()
    live = update(SessionRow).where(SessionRow.user_id == user_id, SessionRow.revoked_at.is_(None))
    others = live if session_id is None else live.where(SessionRow.id != session_id)
    ended = (await session.execute(others.values(revoked_at=now))).rowcount
    begun = update(Login).where(Login.user_id == user_id, Login.finished_at.is_(None))
    await session.execute(begun.values(finished_at=now))
    if ended:
        await record(session, world, "sessions.revoked", by, ("user", user_id), user_id, reason=reason, count=ended)


async def drop_factors(session: Session, user_id: UUID) -> None:
    """Every factor but the password: what was set up before the mailbox was proven (R77, R78)."""
    others = update(Factor).where(Factor.user_id == user_id, Factor.kind != FactorKind.PASSWORD, Factor.state != FactorState.REVOKED)
    await session.execute(others.values(state=FactorState.REVOKED, secret_sealed=None, hash=None))


async def tell(session: Session, world: World, row: AnyRow, template: Template, facts: Facts) -> None:
    """A letter to the owner of the account. Only a proven address is greeted by a name: a squatter would have chosen it."""
    name = row.display_name if row.email_verified_at is not None else None
    await post(session, world, Recipient(row.email, row.locale, name, row.id), template, facts)


def must_have_mail(world: World) -> None:
    """Raises MailNotConfigured."""
    if not world.settings.mail_configured:
        raise MailNotConfigured


def hinted(address: str) -> str:
    """An address that its owner knows again and a stranger does not learn: `o…@example.com`."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}…@{domain}"
