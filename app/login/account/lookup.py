"""Find an account by its address or id, and send e-mail to its owner."""

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import select

from app.catalog.models import Product
from app.catalog.problems import ProductNotFound
from app.db.base import table
from app.db.database import Transaction
from app.db.types import AnyRow, AnySelect
from app.events.service import Actor
from app.login.conditions import HAS_SECOND_FACTOR
from app.login.problems import MailNotConfigured
from app.mail.models import Template
from app.mail.service import Facts, Recipient, enqueue_letter
from app.users.models import User, UserStatus
from app.users.rules import fold_identifier
from app.world import World

ANONYMOUS = Actor("anonymous")
_accounts = select(*table(User).columns, HAS_SECOND_FACTOR.label("has_second_factor"))


async def find_by_address(tx: Transaction, address: str) -> AnyRow | None:
    """Find the account with this address, verified or not, active or not."""
    return (await tx.execute(_accounts.where(User.email_folded == fold_identifier(address)))).one_or_none()


async def find_with_product(world: World, statement: AnySelect, parameters: Mapping[str, object], product: str | None) -> AnyRow | None:
    """Run the caller's account query, and in the same snapshot check that the product exists. Raises ProductNotFound."""

    async def find(tx: Transaction) -> tuple[AnyRow | None, bool]:
        has_product = product is None or await tx.scalar(select(Product.id).where(Product.code == product)) is not None
        return (await tx.execute(statement, dict(parameters))).one_or_none(), has_product

    row, has_product = await world.db.query_with_retry(find)
    if not has_product:
        raise ProductNotFound
    return row


async def find_by_id(tx: Transaction, user_id: UUID) -> AnyRow | None:
    """Find an account by its id, active or not."""
    return (await tx.execute(_accounts.where(User.id == user_id))).one_or_none()


def keep_if_active(row: AnyRow | None) -> AnyRow | None:
    """Return the account if it exists and is active, else None."""
    return row if row is not None and row.status == UserStatus.ACTIVE else None


async def mail_owner(tx: Transaction, world: World, row: AnyRow, template: Template, facts: Facts) -> None:
    """Send an e-mail to the owner of the account.

    Unverified addresses are not greeted by name, because a squatter could have chosen that name.
    """
    name = row.display_name if row.email_verified_at is not None else None
    await enqueue_letter(tx, world, Recipient(row.email, row.locale, name, row.id), template, facts)


def require_mail(world: World) -> None:
    """Raise MailNotConfigured if this server cannot send e-mail."""
    if not world.settings.mail_configured:
        raise MailNotConfigured


def mask_address(address: str) -> str:
    """Mask an address so that only its owner recognises it: `o…@example.com`."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}…@{domain}"
