"""Mail, and a caller whose address is not the server's own."""

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI

from app.world import World
from tests.postbox import Postbox
from tests.privacy.life import IP, mailing


@pytest.fixture
def world(world: World, postbox: Postbox) -> World:
    configured: World = mailing(world, postbox)
    return configured


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app, client=(IP, 4711))
    async with httpx.AsyncClient(transport=transport, base_url="http://licentia.test") as client:
        yield client
