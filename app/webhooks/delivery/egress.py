"""Sends HTTP requests to URLs that operators chose: never into a private network, without redirects and without a proxy.

The host name is resolved once for each request, every address is checked, and the connection goes to a checked address (with the name
in Host and SNI). So a name that resolves differently a moment later (DNS rebinding) cannot lead to another address.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from ipaddress import ip_address
from threading import Thread
from typing import Self, TypeAlias

import httpx

from app.config.settings import Settings
from app.webhooks.networks import Network, is_reachable, parse_networks

MAX_EXCERPT = 500
"""Bytes of a response body that are read."""
EXCERPT_TIMEOUT = 1.0
"""Seconds to wait for the body of an error. The body is optional: the status alone decides."""
MAX_ADDRESSES = 3
"""The largest number of addresses of one name that are tried."""
MAX_LOOKUPS = 64
"""The largest number of concurrent name lookups, above the limit of webhooks."""

Resolve: TypeAlias = Callable[[str, int], Awaitable[Sequence[str]]]
"""Resolves (host, port) to addresses. Raises OSError."""


class NoResponse(Exception):
    """No response arrived. `reason`: `timeout`, `name_unknown`, `address_refused`, `not_connected` or `no_answer`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class ReceiverResponse:
    """A receiver's response. `excerpt` is the beginning of the body, read only if the status is not 2xx."""

    status: int
    retry_after: str | None
    excerpt: str = field(repr=False)


class Resolver:
    """The system's resolver, in one thread for each name that is being looked up.

    A slow name server blocks neither other names, nor the event loop's thread pool, nor the end of the process: the threads are daemons,
    which those of an executor are not. Concurrent calls for one name share a lookup.
    """

    def __init__(self) -> None:
        self.lookups: dict[tuple[str, int], Future[Sequence[str]]] = {}

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        with suppress(ValueError):
            return [str(ip_address(host))]
        return await asyncio.wrap_future(self.lookups.get((host, port)) or self._start(host, port))

    def _start(self, host: str, port: int) -> Future[Sequence[str]]:
        if len(self.lookups) >= MAX_LOOKUPS:
            raise OSError("too many name lookups are running")
        lookup: Future[Sequence[str]] = Future()
        lookup.set_running_or_notify_cancel()  # from here on a caller that is cancelled cancels only its own wait
        lookup.add_done_callback(lambda _: self.lookups.pop((host, port)))
        self.lookups[host, port] = lookup
        try:
            Thread(target=_look_up, args=(lookup, host, port), daemon=True).start()
        except RuntimeError:
            lookup.set_exception(OSError("no thread is left for a name lookup"))
        return lookup


def _look_up(lookup: Future[Sequence[str]], host: str, port: int) -> None:
    try:
        entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        lookup.set_result(list(dict.fromkeys(str(address[0]) for *_, address in entries)))
    except (OSError, UnicodeError) as error:
        lookup.set_exception(error)


@cache
def _load_public_roots() -> ssl.SSLContext:
    """Load the public root certificates, on first use because loading takes long."""
    return httpx.create_ssl_context()


@dataclass(frozen=True)
class Egress:
    """Sends requests. `timeout`: seconds for lookup, connection, request and status together. `insecure`: whether `http` is allowed.
    `trust`: None trusts the public root certificates."""

    allowed: Sequence[Network]
    timeout: float
    insecure: bool
    resolve: Resolve = field(default_factory=Resolver, repr=False)
    trust: ssl.SSLContext | None = field(default=None, repr=False)

    @classmethod
    def of(cls, settings: Settings, resolve: Resolve | None = None) -> Self:
        allowed, seconds = parse_networks(settings.webhook_allowed_networks), settings.webhook_timeout.total_seconds()
        return cls(allowed, seconds, settings.env == "development", resolve or Resolver())

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> ReceiverResponse:
        """Send a POST request. Raises NoResponse."""
        try:
            async with asyncio.timeout(self.timeout) as deadline:
                return await self._post(httpx.URL(url), body, headers, deadline)
        except TimeoutError:
            raise NoResponse("timeout") from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise NoResponse("timeout" if isinstance(error, httpx.TimeoutException) else "no_answer") from error

    async def _post(self, url: httpx.URL, body: bytes, headers: Mapping[str, str], deadline: asyncio.Timeout) -> ReceiverResponse:
        """Try the addresses in turn; each gets an equal share of the time, so that a silent address leaves time for the next."""
        addresses = await self._resolve_and_check(url)
        for address in addresses:
            try:
                return await self._exchange(url, address, self.timeout / len(addresses), body, headers, deadline)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                continue
        raise NoResponse("not_connected")

    async def _resolve_and_check(self, url: httpx.URL) -> Sequence[str]:
        """Return the addresses of the URL's host if all of them are allowed; one private address refuses the name."""
        if url.scheme != "https" and not (self.insecure and url.scheme == "http"):
            raise NoResponse("address_refused")
        try:
            addresses = await self.resolve(url.raw_host.decode(), url.port or (443 if url.scheme == "https" else 80))
        except (OSError, UnicodeError):
            raise NoResponse("name_unknown") from None
        if not addresses or not all(is_reachable(address, self.allowed) for address in addresses):
            raise NoResponse("address_refused")
        return addresses[:MAX_ADDRESSES]

    async def _exchange(
        self, url: httpx.URL, address: str, connect_timeout: float, body: bytes, headers: Mapping[str, str], deadline: asyncio.Timeout
    ) -> ReceiverResponse:
        """Send the request on a new connection: one that was verified for one name must not serve another name at the same address."""
        complete = {**headers, "Host": url.netloc.decode("ascii"), "Accept-Encoding": "identity"}
        trust = (self.trust or _load_public_roots()) if url.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        timeout = httpx.Timeout(self.timeout, connect=connect_timeout)
        client = httpx.AsyncClient(verify=trust, trust_env=False, follow_redirects=False, timeout=timeout)
        target, sni = url.copy_with(host=address), {"sni_hostname": url.raw_host.decode()}
        async with client, client.stream("POST", target, content=body, headers=complete, extensions=sni) as response:
            deadline.reschedule(None)  # the status has arrived in time
            excerpt = "" if response.is_success else await _read_excerpt(response)
            return ReceiverResponse(response.status_code, response.headers.get("retry-after"), excerpt)


async def _read_excerpt(response: httpx.Response) -> str:
    """Read the beginning of the body without decompressing it, because a small body may expand to a large one."""
    content = b""
    with suppress(httpx.HTTPError, TimeoutError):  # the excerpt is optional
        async with asyncio.timeout(EXCERPT_TIMEOUT):
            async for chunk in response.aiter_raw():
                content += chunk
                if len(content) >= MAX_EXCERPT:
                    break
    text = content[:MAX_EXCERPT].decode(errors="replace")
    return "".join(character if character.isprintable() else " " for character in text)
