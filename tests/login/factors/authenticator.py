"""An application without a keyboard and the session that lets it in, as both would go about it (RFC 8628)."""

from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.given import Given, Person

DEVICE = {"fingerprint": "tv-1", "name": "Living room", "platform": "tvOS"}
AGENT = {"User-Agent": "Studio-TV/1"}
INTERVAL, LIFETIME = 5, 600


@dataclass
class Television:
    """What it was told. It waits as long as it has to before it asks again."""

    given: Given
    told: dict[str, Any] = field(repr=False)

    @classmethod
    async def on(cls, given: Given, client: httpx.AsyncClient | None = None, **body: Any) -> "Television":
        answer = await (client or given.client).post("/v1/device/code", json={"device": DEVICE, **body}, headers=AGENT)
        return cls(given, given.expect(answer))

    @property
    def named(self) -> dict[str, str]:
        return {"user_code": self.told["user_code"]}

    async def poll(self, key: str | None = None) -> httpx.Response:
        """`key`: an Idempotency-Key."""
        headers = AGENT if key is None else {**AGENT, "Idempotency-Key": key}
        return await self.given.client.post("/v1/device/token", json={"device_code": self.told["device_code"]}, headers=headers)

    async def polled(self) -> httpx.Response:
        """A poll in time."""
        self.given.clock.forward(seconds=INTERVAL)
        return await self.poll()

    async def opened(self, person: Person, client: httpx.AsyncClient | None = None) -> httpx.Response:
        return await (client or self.given.client).get("/v1/device", params=self.named, headers=person.auth)

    async def decided(self, person: Person, decision: str = "approve", client: httpx.AsyncClient | None = None) -> httpx.Response:
        return await (client or self.given.client).post(f"/v1/device/{decision}", json=self.named, headers=person.auth)

    async def approved(self, person: Person) -> "Television":
        """Opened and approved by the person's session."""
        self.given.expect(await self.opened(person))
        self.given.expect(await self.decided(person))
        return self
