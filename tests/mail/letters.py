"""A letter with a token, and its recipient."""

from datetime import timedelta
from uuid import UUID

from app.mail.models import Template
from app.mail.service import Facts, Recipient, enqueue_letter
from app.world import World

OLA = Recipient("ola@example.com", "nb", "Ola Nordmann", UUID(int=7))
TOKEN = "vfy_JDO-iDzIkCnLyfe6Be9HxO0v2328dZEJ5Z9i5tkWxh4"


async def enqueue_verification(world: World, to: Recipient | None = OLA, **facts: str) -> None:
    """Put a letter with a token into the outbox."""
    values: Facts = {"token": TOKEN, "expires": world.clock.now() + timedelta(hours=24), **facts}
    async with world.db.write() as tx:
        await enqueue_letter(tx, world, to, Template.VERIFY_EMAIL, values)
