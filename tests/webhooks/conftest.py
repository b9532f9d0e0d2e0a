"""Fixtures: a receiver on loopback, and webhooks that may reach it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from fastapi import FastAPI

from app.webhooks.delivery import outbox
from app.webhooks.delivery.egress import Egress, Resolve
from app.world import World
from tests.assertions import DEADLINE
from tests.given import Given
from tests.webhooks.delivery.receiver import Receiver, open_receiver

LOOPBACK = ["127.0.0.0/8"]


def make_egress(world: World, resolve: Resolve | None = None) -> Egress:
    return Egress.of(world.settings, resolve)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with open_receiver() as receiver:
        yield receiver


async def deliver_due(world: World, egress: Egress) -> int:
    """Send everything that is due, to all endpoints concurrently; return the number of deliveries."""
    due = await outbox.find_due(world)
    return sum(await asyncio.gather(*(outbox.deliver_to_endpoint(world, egress, each, asyncio.Event()) for each in due.endpoints)))


@dataclass
class Hooks:
    """Calls the API of webhooks, and delivers on demand instead of in a background worker."""

    given: Given
    receiver: Receiver

    @property
    def world(self) -> World:
        return self.given.world

    async def create(self, *types: str, url: str | None = None) -> dict[str, Any]:
        return await self.given.post("/v1/webhooks", {"url": url or self.receiver.url, "types": list(types) or ["*"]})

    async def deliver(self, resolve: Resolve | None = None) -> int:
        """Deliver everything that is due; return the number of deliveries."""
        return await deliver_due(self.world, make_egress(self.world, resolve))

    async def get(self, path: str) -> Any:
        return self.given.expect(await self.given.client.get(path, headers=self.given.root))

    async def list_deliveries(self, hook: dict[str, Any], state: str = "") -> Sequence[dict[str, Any]]:
        """List a webhook's deliveries, oldest first."""
        deliveries: list[dict[str, Any]] = (await self.get(f"/v1/webhooks/{hook['id']}/deliveries{state and f'?state={state}'}"))["data"]
        return deliveries[::-1]

    async def get_webhook(self, hook: dict[str, Any]) -> dict[str, Any]:
        webhook: dict[str, Any] = await self.get(f"/v1/webhooks/{hook['id']}")
        return webhook

    async def change(self, hook: dict[str, Any], **fields: Any) -> dict[str, Any]:
        answer = await self.given.client.patch(f"/v1/webhooks/{hook['id']}", json=fields, headers=self.given.root)
        return self.given.expect(answer)


@pytest.fixture
def hooks(given: Given, app: FastAPI, receiver: Receiver) -> Hooks:
    given.configured(app, webhook_allowed_networks=LOOPBACK, webhook_timeout=timedelta(seconds=DEADLINE))
    return Hooks(given, receiver)
