"""The end of an end user, in one call and one transaction that may be made again: who it was is forgotten, what was agreed is not.

Erased are the profile, whatever one logs in with, where one was, assignments and seats; kept are the id, the audit log and the
signed receipts with their chain (agreements R25, P8).
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
from app.users.models import Status
from app.web.callers import Subject
from app.webhooks import data_lifecycle as webhooks
from app.world import World

LAST_LETTER = timedelta(hours=24)
"""How long the notice of the erasure may wait in the outbox, sealed, with the address that it goes to."""


async def erase(world: World, actor: Actor, user_id: UUID) -> ErasureResult:
    """Erase an end user; what was kept under a legal hold goes with a later call, once the hold is lifted. Raises UserNotFound.

    Locks are taken in one order: licenses, the ledger, the user. Whoever activates or accepts holds the first or the second and
    then looks whether the user is still there, so either is done before this begins or is refused.
    """
    async with world.db.write() as tx:
        await licenses.lock_licenses(tx, user_id)
        await agreements.lock(tx, user_id)
        user = await users.lock_user(tx, user_id)
        first = user.status != Status.ERASED
        if first:
            await _farewell(tx, world, user)
        await login.erase(tx, world, actor, user)
        await licenses.erase(tx, world, actor, user)
        await forget_addresses(tx, user_id)
        await webhooks.erase(tx, user_id)
        told = await agreements.erase(tx, user_id)
        await users.erase_user(tx, user_id)
        if first or told.contexts_erased:
            facts = {"legal_hold": told.legal_hold, "contexts_erased": told.contexts_erased, "contexts_kept": told.contexts_kept}
            await record(tx, world, "user.erased", actor, ("user", user_id), user_id, **facts)
    return told


async def erase_me(world: World, subject: Subject) -> ErasureResult:
    """The same by the end user, who has just shown that the account is theirs. Raises StepUpRequired."""
    login.require_proof(world, subject)
    return await erase(world, subject.actor, subject.id)


async def _farewell(tx: Transaction, world: World, user: AnyRow) -> None:
    """No letter that waits is sent any more but one, to the proven address: that this happened."""
    await mail.erase(tx, world, user.id)
    if user.email_verified_at is not None:
        now, to = world.clock.now(), Recipient(user.email, user.locale, user.display_name, user.id)
        await enqueue_letter(tx, world, to, Template.ACCOUNT_ERASED, {"when": now}, until=now + LAST_LETTER)
