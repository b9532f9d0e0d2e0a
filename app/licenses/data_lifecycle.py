"""Export, erase and prune the licensing data of an end user. Erased seats keep the user's id as history."""

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
from app.security.sealing import digest_token
from app.world import World

_activations = table(Activation)


async def lock_licenses(tx: Transaction, user_id: UUID) -> None:
    """Lock every license that the user is assigned to or has a seat of, ordered by id. Call it before locking the user's row."""
    assigned = select(LicenseUser.license_id).where(LicenseUser.user_id == user_id)
    seated = select(Activation.license_id).where(Activation.user_id == user_id)
    for license_id in sorted((await tx.scalars(union(assigned, seated))).all()):
        await locks.lock_license(tx, license_id)


async def erase(tx: Transaction, world: World, actor: Actor, user: AnyRow) -> None:
    """Remove the user from every license, release their seats, and revoke the codes that are bound to their address.

    The caller has locked the user's row: a concurrent activation either has committed or will find the user erased. Licenses
    that the user got since `lock_licenses` are locked here.
    """
    await lock_licenses(tx, user.id)
    assignments = delete(LicenseUser).where(LicenseUser.user_id == user.id).returning(LicenseUser.license_id)
    for license_id in (await tx.scalars(assignments)).all():
        await record(tx, world, "license.user_removed", actor, ("license", license_id), user.id)
    await releases.release_seats(tx, world, actor, "user_erased", _activations.c.user_id == user.id)
    for seat_id in (await tx.scalars(select(Activation.id).where(Activation.user_id == user.id))).all():
        await tx.execute(update(_activations).where(_activations.c.id == seat_id).values(_build_erased_device(world, seat_id)))
    codes = update(ActivationCode).where(ActivationCode.email_folded == user.email_folded)
    revoked = func.coalesce(ActivationCode.revoked_at, world.clock.now())
    await tx.execute(codes.values(revoked_at=revoked, email=None, email_folded=None))


def _build_erased_device(world: World, seat_id: UUID) -> dict[str, object]:
    """Build values that erase the device of a seat. The seat's id replaces the fingerprint, which must stay unique; no token matches."""
    return {
        "name": None,
        "platform": None,
        "app_version": None,
        "fingerprint": f"erased:{seat_id}",
        "token_hash": digest_token(world.entropy.secret("")),
        "token_sealed": "",
    }


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


_is_session_seat = func.replace(Activation.user_key, "-", "") == func.replace(cast(Activation.id, String), "-", "")
"""Whether the seat belongs to one process (`user_key` is the seat's id). Only PostgreSQL casts an identifier to text with dashes."""


async def prune_session_seats(world: World) -> int:
    """Delete a batch of `session` seats that were released, or lapsed, before `SEAT_RETENTION`; return their number."""
    is_old = Activation.released_at <= world.clock.now() - world.settings.seat_retention
    is_indexed = Activation.user_key != literal_column("''")
    return await prune(world.db, Activation, is_old, is_indexed, _is_session_seat)
