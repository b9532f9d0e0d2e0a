"""An account by its mailbox: finding it, telling its owner."""

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
from app.users.models import Status, User
from app.users.rules import fold_identifier
from app.world import World

ANONYMOUS = Actor("anonymous")
_accounts = select(*table(User).columns, HAS_SECOND_FACTOR.label("has_second_factor"))


async def find_by_address(tx: Transaction, address: str) -> AnyRow | None:
    """Whoever has this address, proven or not, open or not."""
    return (await tx.execute(_accounts.where(User.email_folded == fold_identifier(address)))).one_or_none()


async def find_with_product(world: World, who: AnySelect, parameters: Mapping[str, object], product: str | None) -> AnyRow | None:
    """Whoever a login names, by a statement of the caller's, and at the same moment whether its product is one. Raises ProductNotFound."""

    async def ask(tx: Transaction) -> tuple[AnyRow | None, bool]:
        known = product is None or await tx.scalar(select(Product.id).where(Product.code == product)) is not None
        return (await tx.execute(who, dict(parameters))).one_or_none(), known

    row, known = await world.db.find(ask)
    if not known:
        raise ProductNotFound
    return row


async def find_by_id(tx: Transaction, user_id: UUID) -> AnyRow | None:
    return (await tx.execute(_accounts.where(User.id == user_id))).one_or_none()


def active_or_none(row: AnyRow | None) -> AnyRow | None:
    """The account if it is there and open."""
    return row if row is not None and row.status == Status.ACTIVE else None


async def mail_owner(tx: Transaction, world: World, row: AnyRow, template: Template, facts: Facts) -> None:
    """A letter to the owner of the account. Only a proven address is greeted by a name: a squatter would have chosen it."""
    name = row.display_name if row.email_verified_at is not None else None
    await enqueue_letter(tx, world, Recipient(row.email, row.locale, name, row.id), template, facts)


def require_mail(world: World) -> None:
    """Raises MailNotConfigured."""
    if not world.settings.mail_configured:
        raise MailNotConfigured


def mask_address(address: str) -> str:
    """An address that its owner knows again and a stranger does not learn: `o…@example.com`."""
    local, _, domain = address.rpartition("@")
    return f"{local[:1]}…@{domain}"
