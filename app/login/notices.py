"""Mail account owners about changes to their account (authentication R21, R27, R28, R59)."""

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

_owner = select(User.id, User.email, User.locale, User.display_name, User.email_verified_at).where(User.id == bindparam("user_id"))


async def notify(tx: Transaction, world: World, user_id: UUID, template: Template, **facts: str | int | datetime | None) -> None:
    """Queue a mail to the account's verified address in this transaction. Does nothing if mail is not configured."""
    if not world.settings.mail_configured:
        return
    row = (await tx.execute(_owner, {"user_id": user_id})).one_or_none()
    if row is None or row.email_verified_at is None:
        return
    to = Recipient(row.email, row.locale, row.display_name, row.id)
    await enqueue_letter(tx, world, to, template, {**facts, "when": world.clock.now()})


async def notify_new_login(tx: Transaction, world: World, origin: Origin, user_id: UUID, session_id: UUID, device: bytes | None) -> None:
    """Notify the owner of a login from an unknown device and user agent. The first login is not reported."""
    earlier = (SessionRow.user_id == user_id, SessionRow.id != session_id)
    is_familiar = or_(SessionRow.user_agent == (origin.user_agent or ""), SessionRow.device_digest == (device or b""))
    counts = select(func.count(), func.count().filter(is_familiar)).where(*earlier)
    earlier_sessions, familiar_sessions = (await tx.execute(counts)).one()
    if earlier_sessions and not familiar_sessions:
        await notify(tx, world, user_id, Template.NEW_LOGIN, ip=origin.ip, agent=origin.user_agent)
