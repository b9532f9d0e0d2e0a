"""Forgetting what an end user used: assignments go, seats come free, devices lose their names. The seat's history keeps the user's id."""

from uuid import UUID

from sqlalchemy import String, cast, delete, func, literal_column, select, union, update

from app.catalog.models import Policy, Product
from app.db.base import table
from app.db.database import Transaction
from app.db.export_pages import EXPORTED_USER, ExportSection
from app.db.pruning import prune
from app.db.types import AnyRow
from app.events.service import Actor, record
from app.licenses import locks, releases
from app.licenses.models import Activation, ActivationCode, License, LicenseUser
from app.security.sealing import token_digest
from app.users.data_lifecycle import lock_unless_erased
from app.web.callers import Subject
from app.web.problems import TokenInvalid
from app.world import World

_activations = table(Activation)


async def lock_licenses(tx: Transaction, user_id: UUID) -> None:
    """Lock every license that the user is on or has a seat of, in one order. Before the user's row is taken (see `erase`)."""
    assigned = select(LicenseUser.license_id).where(LicenseUser.user_id == user_id)
    seated = select(Activation.license_id).where(Activation.user_id == user_id)
    for license_id in sorted((await tx.scalars(union(assigned, seated))).all()):
        await locks.lock_license(tx, license_id)


async def present(tx: Transaction, subject: Subject | None) -> None:
    """Whoever takes a seat as an end user is not erased before the seat is theirs. For whoever holds the license. Raises TokenInvalid."""
    if subject is not None and not await lock_unless_erased(tx, subject.id):
        raise TokenInvalid("The account was erased.")


async def erase(tx: Transaction, world: World, actor: Actor, user: AnyRow) -> None:
    """Take the user off every license, release their seats, revoke the codes that were for their address alone.

    The caller holds the user's row, so whoever activates for them has committed or will find them gone; what was assigned or
    taken since `hold` is locked here.
    """
    await lock_licenses(tx, user.id)
    gone = delete(LicenseUser).where(LicenseUser.user_id == user.id).returning(LicenseUser.license_id)
    for license_id in (await tx.scalars(gone)).all():
        await record(tx, world, "license.user_removed", actor, ("license", license_id), user.id)
    await releases.release(tx, world, actor, "user_erased", _activations.c.user_id == user.id)
    for seat_id in (await tx.scalars(select(Activation.id).where(Activation.user_id == user.id))).all():
        await tx.execute(update(_activations).where(_activations.c.id == seat_id).values(_nameless(world, seat_id)))
    bound = update(ActivationCode).where(ActivationCode.email_folded == user.email_folded)
    revoked = func.coalesce(ActivationCode.revoked_at, world.clock.now())
    await tx.execute(bound.values(revoked_at=revoked, email=None, email_folded=None))


def _nameless(world: World, seat_id: UUID) -> dict[str, object]:
    """A seat without its device. Its own id takes the fingerprint's place, so that rows stay apart; no token fits it any more."""
    nobody = {"name": None, "platform": None, "app_version": None}
    return {**nobody, "fingerprint": f"erased:{seat_id}", "token_hash": token_digest(world.entropy.secret("")), "token_sealed": ""}


_licenses = (
    select(
        LicenseUser.license_id,
        LicenseUser.added_at,
        Product.code.label("product"),
        License.key_last4,
        License.starts_at,
        License.expires_at,
        License.suspended_at,
        License.revoked_at,
    )
    .join(License, License.id == LicenseUser.license_id)
    .join(Policy, Policy.id == License.policy_id)
    .join(Product, Product.id == Policy.product_id)
)
_exported_activations = select(
    Activation.id,
    Activation.license_id,
    Activation.fingerprint,
    Activation.name,
    Activation.platform,
    Activation.app_version,
    Activation.activated_at,
    Activation.last_seen_at,
    Activation.lease_expires_at,
    Activation.released_at,
    Activation.release_reason,
)
SECTIONS = (
    ExportSection("licenses", _licenses.where(LicenseUser.user_id == EXPORTED_USER), LicenseUser.license_id),
    ExportSection("activations", _exported_activations.where(Activation.user_id == EXPORTED_USER), Activation.id),
)


_a_process = func.replace(Activation.user_key, "-", "") == func.replace(cast(Activation.id, String), "-", "")
"""Whether the seat is one of its own for each process; an identifier in a table's text has dashes on one database alone."""


async def prune_session_seats(world: World) -> int:
    """Delete a batch of the `session` seats that were given back, or lapsed, longer than `SEAT_RETENTION` ago; how many."""
    past = Activation.released_at <= world.clock.now() - world.settings.seat_retention
    indexed = Activation.user_key != literal_column("''")
    return await prune(world.db, Activation, past, indexed, _a_process)
