"""Posting to addresses that a customer chose. Nothing is sent to the inside of a network, no redirect is followed, no proxy asked.

The name is resolved once for each post, every address it has is judged, and the connection goes to a judged address itself (with the
name in Host and SNI), so that a name which answers differently a moment later leads nowhere else.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Self, TypeAlias

import httpx

from app.base.addresses import Network, networks, reachable
from app.base.settings import Settings

EXCERPT = 500
"""Octets of an answer that are read; the rest is left where it is."""
TRIED = 3
"""Addresses of one name that are tried."""

_ASKING = ThreadPoolExecutor(8, "resolver")
"""Threads for names that take their time: in the loop's own pool they would hold up whoever else works there."""

Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port to addresses. Raises OSError."""


class Unsent(Exception):
    """Nothing was answered. `word` says why: `timeout`, `name_unknown`, `address_refused`, `not_connected`, `no_answer`."""

    def __init__(self, word: str) -> None:
        super().__init__(word)
        self.word = word


@dataclass(frozen=True)
class Answer:
    """`excerpt` is the beginning of a body, read only when the status is no success."""

    status: int
    retry_after: str | None
    excerpt: str = field(repr=False)


async def resolved(host: str, port: int) -> Sequence[str]:
    """By the system's resolver."""
    loop, ask = asyncio.get_running_loop(), partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await loop.run_in_executor(_ASKING, ask)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@cache
def _roots() -> ssl.SSLContext:
    """The certificates that everybody trusts, read when they are first wanted: that takes longer than a start should."""
    return httpx.create_ssl_context()


@dataclass(frozen=True)
class Egress:
    """`timeout` is seconds for everything together: name, connection, sending, answer. `insecure`: whether `http` will do.
    `trust`: None is what everybody trusts."""

    allowed: Sequence[Network]
    timeout: float
    insecure: bool
    resolve: Resolve = resolved
    trust: ssl.SSLContext | None = field(default=None, repr=False)

    @classmethod
    def of(cls, settings: Settings, resolve: Resolve = resolved) -> Self:
        allowed, seconds = networks(settings.webhook_allowed_networks), settings.webhook_timeout.total_seconds()
        return cls(allowed, seconds, settings.env == "development", resolve)

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Raises Unsent."""
        try:
            async with asyncio.timeout(self.timeout):
                return await self._post(httpx.URL(url), body, headers)
        except TimeoutError:
            raise Unsent("timeout") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unsent("timeout" if isinstance(error, httpx.TimeoutException) else "no_answer") from error

    async def _post(self, url: httpx.URL, body: bytes, headers: Mapping[str, str]) -> Answer:
        for address in await self._judged(url):
            try:
                return await self._exchanged(url, address, body, headers)
            except httpx.ConnectError:
                continue
        raise Unsent("not_connected")

    async def _judged(self, url: httpx.URL) -> Sequence[str]:
        """Where the name leads, if all of it may be sent to: one address inside is enough to refuse the name."""
        if url.scheme != "https" and not (self.insecure and url.scheme == "http"):
            raise Unsent("address_refused")
        try:
            found = await self.resolve(url.raw_host.decode(), url.port or (443 if url.scheme == "https" else 80))
        except (OSError, UnicodeError):
            raise Unsent("name_unknown") from None
        if not found or not all(reachable(address, self.allowed) for address in found):
            raise Unsent("address_refused")
        return found[:TRIED]

    async def _exchanged(self, url: httpx.URL, address: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """One client for each post: a connection that is kept was proven for one name and would serve another at the same address."""
        named = {**headers, "Host": url.netloc.decode("ascii"), "Accept-Encoding": "identity"}
        trust = (self.trust or _roots()) if url.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        client = httpx.AsyncClient(verify=trust, trust_env=False, follow_redirects=False, timeout=self.timeout)
        there, sni = url.copy_with(host=address), {"sni_hostname": url.raw_host.decode()}
        async with client, client.stream("POST", there, content=body, headers=named, extensions=sni) as answer:
            excerpt = "" if answer.is_success else await _beginning(answer)
            return Answer(answer.status_code, answer.headers.get("retry-after"), excerpt)


async def _beginning(answer: httpx.Response) -> str:
    """As it came, undecoded: a small answer may unpack to a large one."""
    read = b""
    try:
        async for chunk in answer.aiter_raw():
            read += chunk
            if len(read) >= EXCERPT:
                break
    except httpx.HTTPError:
        pass  # the status is the answer; its words are a courtesy
    return "".join(sign if sign.isprintable() else " " for sign in read[:EXCERPT].decode(errors="replace"))
