"""What a proven mailbox may do to an account: find it, give it a password, end what rests on it, tell its owner."""

from uuid import UUID

from sqlalchemy import select, update

from app.db.base import table
from app.db.database import Session
from app.db.types import AnyRow
from app.events.service import Actor
from app.login import totp
from app.login.models import Factor, FactorKind, FactorState, Login, SessionRow
from app.login.problems import MailNotConfigured
from app.login.service import _acceptable, _set_password
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


def acceptable(world: World, password: str) -> str:
    """The password in its one form. Raises Malformed."""
    return _acceptable(world, password)


async def set_password(session: Session, world: World, by: Actor, user_id: UUID, hashed: str) -> None:
    """The password from now on; an earlier one is revoked."""
    old = update(Factor).where(Factor.user_id == user_id, Factor.kind == FactorKind.PASSWORD, Factor.state == FactorState.ACTIVE)
    await session.execute(old.values(state=FactorState.REVOKED, hash=None))
    await _set_password(session, world, by, user_id, hashed)


async def shut_out(session: Session, world: World, user_id: UUID, *, but: UUID | None = None) -> None:
    """End every session and every unfinished login, but for one session (R59)."""
    now = world.clock.now()
    live = update(SessionRow).where(SessionRow.user_id == user_id, SessionRow.revoked_at.is_(None))
    others = live if but is None else live.where(SessionRow.id != but)
    await session.execute(others.values(revoked_at=now))
    begun = update(Login).where(Login.user_id == user_id, Login.finished_at.is_(None))
    await session.execute(begun.values(finished_at=now))


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
