"""Posting to addresses that a customer chose. Nothing is sent to the inside of a network, no redirect is followed, no proxy asked.

The name is resolved once for each post, every address it has is judged, and the connection goes to a judged address itself (with the
name in Host and SNI), so that a name which answers differently a moment later leads nowhere else.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from ipaddress import ip_address
from threading import Thread
from typing import Self, TypeAlias

import httpx

from app.config.settings import Settings
from app.webhooks.networks import Network, networks, reachable

EXCERPT = 500
"""Octets of an answer that are read; the rest is left where it is."""
TRIED = 3
"""Addresses of one name that are tried."""

ASKED = 64
"""Names that are asked for at once; more than there are webhooks."""
EXCERPT_WITHIN = 1.0
"""Seconds in which the words behind a status may come; the status is the answer."""

Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port to addresses. Raises OSError."""


Found: TypeAlias = Sequence[str] | OSError | UnicodeError


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


class Resolver:
    """The system's own. Each name is asked for in a thread of its own, once at a time however many wait for it: one that takes long
    holds up nobody else, neither here nor in the loop's own pool, nor the end of the process. An address is itself."""

    def __init__(self) -> None:
        self.asked: dict[tuple[str, int], asyncio.Future[Sequence[str]]] = {}

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        with suppress(ValueError):
            return [str(ip_address(host))]
        answer = self.asked.get((host, port)) or self._ask(host, port)
        return await asyncio.shield(answer)

    def _ask(self, host: str, port: int) -> "asyncio.Future[Sequence[str]]":
        if len(self.asked) >= ASKED:
            raise OSError("too many names are being asked for")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Sequence[str]] = loop.create_future()
        try:
            Thread(target=self._ask_system, args=(loop, host, port), daemon=True).start()
        except RuntimeError as full:  # no more threads
            raise OSError("nobody is there to ask for the name") from full
        self.asked[host, port] = answer  # what the thread says is heard after this
        return answer

    def _ask_system(self, loop: asyncio.AbstractEventLoop, host: str, port: int) -> None:
        """In the thread."""
        found: Found
        try:
            found = list(dict.fromkeys(str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
        except (OSError, UnicodeError) as error:
            found = error
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(self._told, (host, port), found)

    def _told(self, name: tuple[str, int], found: Found) -> None:
        answer = self.asked.pop(name)
        if isinstance(found, Exception):
            answer.set_exception(found)
            answer.exception()  # seen, also where whoever asked has gone
        else:
            answer.set_result(found)


@cache
def _roots() -> ssl.SSLContext:
    """The certificates that everybody trusts, read when they are first wanted: that takes longer than a start should."""
    return httpx.create_ssl_context()


@dataclass(frozen=True)
class Egress:
    """`timeout` is seconds for everything together: name, connection, sending, status. `insecure`: whether `http` will do.
    `trust`: None is what everybody trusts."""

    allowed: Sequence[Network]
    timeout: float
    insecure: bool
    resolve: Resolve = field(default_factory=Resolver, repr=False)
    trust: ssl.SSLContext | None = field(default=None, repr=False)

    @classmethod
    def of(cls, settings: Settings, resolve: Resolve | None = None) -> Self:
        allowed, seconds = networks(settings.webhook_allowed_networks), settings.webhook_timeout.total_seconds()
        return cls(allowed, seconds, settings.env == "development", resolve or Resolver())

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Raises Unsent."""
        try:
            async with asyncio.timeout(self.timeout) as limit:
                return await self._post(httpx.URL(url), body, headers, limit)
        except TimeoutError:
            raise Unsent("timeout") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unsent("timeout" if isinstance(error, httpx.TimeoutException) else "no_answer") from error

    async def _post(self, url: httpx.URL, body: bytes, headers: Mapping[str, str], limit: asyncio.Timeout) -> Answer:
        """To the first address that takes the connection; each has its share of the time, so that one that is silent is not all."""
        found = await self._judged(url)
        for address in found:
            try:
                return await self._exchanged(url, address, self.timeout / len(found), body, headers, limit)
            except (httpx.ConnectError, httpx.ConnectTimeout):
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

    async def _exchanged(
        self, url: httpx.URL, address: str, connecting: float, body: bytes, headers: Mapping[str, str], limit: asyncio.Timeout
    ) -> Answer:
        """One client for each post: a connection that is kept was proven for one name and would serve another at the same address."""
        named = {**headers, "Host": url.netloc.decode("ascii"), "Accept-Encoding": "identity"}
        trust = (self.trust or _roots()) if url.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        timeout = httpx.Timeout(self.timeout, connect=connecting)
        client = httpx.AsyncClient(verify=trust, trust_env=False, follow_redirects=False, timeout=timeout)
        there, sni = url.copy_with(host=address), {"sni_hostname": url.raw_host.decode()}
        async with client, client.stream("POST", there, content=body, headers=named, extensions=sni) as answer:
            limit.reschedule(None)  # it is answered
            excerpt = "" if answer.is_success else await _beginning(answer)
            return Answer(answer.status_code, answer.headers.get("retry-after"), excerpt)


async def _beginning(answer: httpx.Response) -> str:
    """As it came, undecoded: a small answer may unpack to a large one."""
    read = b""
    with suppress(httpx.HTTPError, TimeoutError):  # its words are a courtesy
        async with asyncio.timeout(EXCERPT_WITHIN):
            async for chunk in answer.aiter_raw():
                read += chunk
                if len(read) >= EXCERPT:
                    break
    return "".join(sign if sign.isprintable() else " " for sign in read[:EXCERPT].decode(errors="replace"))
