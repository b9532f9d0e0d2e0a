"""Telling the owner of an account what happened to it, through another channel than the one it happened on (authentication R21, R27, R28, R59)."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import bindparam, func, or_, select

from app.db.database import Transaction
from app.login.models import SessionRow
from app.mail.models import Template
from app.mail.service import Recipient, enqueue_letter
from app.users.models import User
from app.web.callers import Origin
from app.world import World

_owner = select(User.id, User.email, User.locale, User.display_name, User.email_verified_at).where(User.id == bindparam("the_id"))


async def notify(tx: Transaction, world: World, user_id: UUID, template: Template, **facts: str | int | datetime | None) -> None:
    """A letter to the account's proven address, in the transaction of what it tells of. Nothing without mail."""
    if not world.settings.mail_configured:
        return
    row = (await tx.execute(_owner, {"the_id": user_id})).one_or_none()
    if row is None or row.email_verified_at is None:
        return
    to = Recipient(row.email, row.locale, row.display_name, row.id)
    await enqueue_letter(tx, world, to, template, {**facts, "when": world.clock.now()})


async def notify_new_login(tx: Transaction, world: World, origin: Origin, user_id: UUID, opened: UUID, device: bytes | None) -> None:
    """Tell of a login from where the account was never used: no earlier session has this device or this agent. The first login
    of all is no news."""
    earlier = (SessionRow.user_id == user_id, SessionRow.id != opened)
    known = or_(SessionRow.user_agent == (origin.user_agent or ""), SessionRow.device_digest == (device or b""))
    counted = select(func.count(), func.count().filter(known)).where(*earlier)
    before, alike = (await tx.execute(counted)).one()
    if before and not alike:
        await notify(tx, world, user_id, Template.NEW_LOGIN, ip=origin.ip, agent=origin.user_agent)
