"""A world that may tell a receiver on loopback, and what tests do with webhooks."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI

from app.webhooks.delivery import outbox
from app.webhooks.delivery.egress import Egress, Resolve
from app.world import World
from tests.given import Given
from tests.webhooks.delivery.receiver import Receiver, open_receiver

LOOPBACK = ["127.0.0.0/8"]


def egress_of(world: World, resolve: Resolve | None = None) -> Egress:
    return Egress.of(world.settings, resolve)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with open_receiver() as receiver:
        yield receiver


@dataclass
class Hooks:
    """Webhooks over HTTP, and the runner's work done when a test wants it."""

    given: Given
    receiver: Receiver

    @property
    def world(self) -> World:
        return self.given.world

    async def made(self, *types: str, url: str | None = None) -> dict[str, Any]:
        return await self.given.post("/v1/webhooks", {"url": url or self.receiver.url, "types": list(types) or ["*"]})

    async def told(self, resolve: Resolve | None = None) -> int:
        """Deliver what is due now."""
        return await outbox.deliver_due(self.world, egress_of(self.world, resolve))

    async def get(self, path: str) -> Any:
        return self.given.expect(await self.given.client.get(path, headers=self.given.root))

    async def listed(self, hook: dict[str, Any], state: str = "") -> Sequence[dict[str, Any]]:
        """Its deliveries, the oldest first."""
        found: list[dict[str, Any]] = (await self.get(f"/v1/webhooks/{hook['id']}/deliveries{state and f'?state={state}'}"))["data"]
        return found[::-1]

    async def shown(self, hook: dict[str, Any]) -> dict[str, Any]:
        told: dict[str, Any] = await self.get(f"/v1/webhooks/{hook['id']}")
        return told

    async def changed(self, hook: dict[str, Any], **fields: Any) -> dict[str, Any]:
        answer = await self.given.client.patch(f"/v1/webhooks/{hook['id']}", json=fields, headers=self.given.root)
        return self.given.expect(answer)


@pytest.fixture
def hooks(given: Given, app: FastAPI, receiver: Receiver) -> Hooks:
    """Short of patience, so that a receiver that hangs costs a test little."""
    given.configured(app, webhook_allowed_networks=LOOPBACK, webhook_timeout=timedelta(seconds=1))
    return Hooks(given, receiver)
