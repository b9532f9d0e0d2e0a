"""A simulated television that logs in by device grant (RFC 8628), and the calls of the approving session."""

from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.given import Given, Person

DEVICE = {"fingerprint": "tv-1", "name": "Television", "platform": "tvOS"}
AGENT = {"User-Agent": "Studio-TV/1"}
INTERVAL, LIFETIME = 5, 600


@dataclass
class Television:
    """A device with the response to its request. `poll_on_time` waits for the polling interval."""

    given: Given
    authorization: dict[str, Any] = field(repr=False)

    @classmethod
    async def on(cls, given: Given, client: httpx.AsyncClient | None = None, **body: Any) -> "Television":
        answer = await (client or given.client).post("/v1/device/code", json={"device": DEVICE, **body}, headers=AGENT)
        return cls(given, given.expect(answer))

    @property
    def _user_code(self) -> dict[str, str]:
        return {"user_code": self.authorization["user_code"]}

    async def poll(self, key: str | None = None) -> httpx.Response:
        """`key`: an Idempotency-Key."""
        headers = AGENT if key is None else {**AGENT, "Idempotency-Key": key}
        return await self.given.client.post("/v1/device/token", json={"device_code": self.authorization["device_code"]}, headers=headers)

    async def poll_on_time(self) -> httpx.Response:
        """Wait for the interval, then poll."""
        self.given.clock.forward(seconds=INTERVAL)
        return await self.poll()

    async def open(self, person: Person, client: httpx.AsyncClient | None = None) -> httpx.Response:
        return await (client or self.given.client).get("/v1/device", params=self._user_code, headers=person.auth)

    async def decide(self, person: Person, decision: str = "approve", client: httpx.AsyncClient | None = None) -> httpx.Response:
        return await (client or self.given.client).post(f"/v1/device/{decision}", json=self._user_code, headers=person.auth)

    async def approve(self, person: Person) -> "Television":
        """Open and approve the request with the person's session."""
        self.given.expect(await self.open(person))
        self.given.expect(await self.decide(person))
        return self
