"""A world with mail, and a client whose IP address differs from the server's."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from app.world import World
from tests.postbox import Postbox
from tests.privacy.histories import IP, with_mail


@pytest.fixture
def world(world: World, postbox: Postbox) -> World:
    configured: World = with_mail(world, postbox)
    return configured


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, client=(IP, 4711))
    async with httpx.AsyncClient(transport=transport, base_url="http://licentia.test") as client:
        yield client
