"""Erasure of one end user, in one transaction.

Erased: the profile, all credentials, IP addresses, license assignments and seats. Kept: the id, the audit log, and the signed receipts
with their chain (agreements R25, P8).
"""

from datetime import timedelta
from uuid import UUID

from app.agreements import data_lifecycle as agreements
from app.agreements.data_lifecycle import ErasureResult
from app.db.database import Transaction
from app.db.types import AnyRow
from app.events.service import Actor, forget_addresses, record
from app.licenses import data_lifecycle as licenses
from app.login import data_lifecycle as login
from app.mail import data_lifecycle as mail
from app.mail.models import Template
from app.mail.service import Recipient, enqueue_letter
from app.users import data_lifecycle as users
from app.users.models import UserStatus
from app.web.callers import Subject
from app.webhooks import data_lifecycle as webhooks
from app.world import World

NOTICE_DEADLINE = timedelta(hours=24)
"""If the notice of the erasure cannot be sent within this time, it is deleted from the outbox, with the address."""


async def erase(world: World, actor: Actor, user_id: UUID) -> ErasureResult:
    """Erase an end user. A repeated call erases what a legal hold kept the first time. Raises UserNotFound.

    Locks: see "Lock order" in docs/architecture.md. A concurrent activation or acceptance holds one of these locks and then checks
    that the user exists. So it either finishes before the erasure or is refused.
    """
    async with world.db.write() as tx:
        await licenses.lock_licenses(tx, user_id)
        await agreements.lock_and_check_hold(tx, user_id)
        user = await users.lock_user(tx, user_id)
        is_first = user.status != UserStatus.ERASED
        if is_first:
            await _send_notice(tx, world, user)
        await login.erase(tx, world, actor, user)
        await licenses.erase(tx, world, actor, user)
        await forget_addresses(tx, user_id)
        await webhooks.erase(tx, user_id)
        result = await agreements.erase(tx, user_id)
        await users.erase_user(tx, user_id)
        if is_first or result.contexts_erased:
            facts = {"legal_hold": result.legal_hold, "contexts_erased": result.contexts_erased, "contexts_kept": result.contexts_kept}
            await record(tx, world, "user.erased", actor, ("user", user_id), user_id, **facts)
    return result


async def erase_me(world: World, subject: Subject) -> ErasureResult:
    """Erase the caller's own account, after a recent login or second factor. Raises StepUpRequired."""
    login.require_proof(world, subject)
    return await erase(world, subject.actor, subject.id)


async def _send_notice(tx: Transaction, world: World, user: AnyRow) -> None:
    """Delete the user's unsent mail and send one last message, to a verified address: the account was erased."""
    await mail.erase(tx, world, user.id)
    if user.email_verified_at is not None:
        now, to = world.clock.now(), Recipient(user.email, user.locale, user.display_name, user.id)
        await enqueue_letter(tx, world, to, Template.ACCOUNT_ERASED, {"when": now}, until=now + NOTICE_DEADLINE)
