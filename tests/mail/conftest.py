"""Fixture: a world whose mail server is a real SMTP server on loopback."""

from dataclasses import replace

import pytest

from app.world import World
from tests.postbox import Postbox


@pytest.fixture
def mailing(world: World, postbox: Postbox) -> World:
    return replace(world, settings=postbox.settings(world.settings))
