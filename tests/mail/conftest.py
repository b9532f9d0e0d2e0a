"""A world whose mailer is a real SMTP server on loopback."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from app.world import World
from tests.postbox import Postbox, open_postbox


@pytest.fixture
async def postbox() -> AsyncIterator[Postbox]:
    async with open_postbox() as box:
        yield box


@pytest.fixture
def mailing(world: World, postbox: Postbox) -> World:
    return replace(world, settings=postbox.settings(world.settings))
