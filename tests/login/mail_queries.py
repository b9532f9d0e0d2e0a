"""Which mails a person was sent."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select

from app.mail.models import Message
from tests.given import Given, Person


async def list_mail_templates(given: Given, person: Person) -> Sequence[str]:
    """List the templates of all mails to the person, oldest first."""
    async with given.world.db.query() as tx:
        templates = await tx.scalars(select(Message.template).where(Message.user_id == UUID(person.id)).order_by(Message.id))
        return templates.all()
