"""Device grant from the application's side: request a short code, poll, and open a session once it is approved (RFC 8628).

The new session gets the proofs of the approving session with their timestamps, and only while that session is valid.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import or_, select, update

from app.base.problems import Busy
from app.catalog import service as catalog
from app.db import dialect
from app.db.base import table
from app.db.database import Transaction
from app.db.types import AnyRow
from app.events.service import Actor, record
from app.login import attempts
from app.login.device_grant import models
from app.login.device_grant.models import DeviceCode, DeviceCodeStatus
from app.login.locks import lock_session
from app.login.problems import AccessDenied, AuthorizationPending, ExpiredToken, SlowDown
from app.login.sessions import refresh, tokens
from app.login.sessions import service as sessions
from app.login.sessions.service import ClientDetails
from app.login.sessions.tokens import IssuedTokens
from app.security.sealing import digest_token
from app.signing_keys.service import load_signer
from app.web import counters
from app.web.callers import Origin
from app.web.counters import WindowLimit
from app.world import World

PREFIX = "dvc_"
LIFETIME = timedelta(minutes=10)
INTERVAL = 5
"""Seconds between polls, and the increase after each early poll (RFC 8628 section 3.5)."""
REQUEST_LIMIT = WindowLimit(timedelta(minutes=10), 30)
"""Limit of requests per network address."""
MAX_DRAWS = 5
"""How many user codes are drawn for a request before it fails, if each collides."""


@dataclass(frozen=True)
class DeviceAuthorization:
    """A new request: the user code to show, and the device code to poll with. `expires_in` and `interval` are in seconds."""

    device_code: str = field(repr=False)
    user_code: str = field(repr=False)
    verification_uri: str
    expires_in: int
    interval: int

    @property
    def verification_uri_complete(self) -> str:
        return f"{self.verification_uri}?user_code={self.user_code}"


def _build_verification_uri(world: World) -> str:
    """Return the URI where the user approves: a page under `PAGES_URL` if it is set, else the API path for a logged-in application."""
    settings = world.settings
    return f"{settings.pages_url}/device" if settings.pages_url is not None else f"{settings.public_url}/v1/device"


def hash_user_code(world: World, typed: str) -> bytes:
    """Return the keyed digest of a user code; a plain hash of such a short code could be reversed."""
    return world.keys.lookup.digest("device.user_code", models.normalize_user_code(typed))


async def begin(world: World, origin: Origin, client: ClientDetails) -> DeviceAuthorization:
    """Create a request, limited per network address. Raises ProductNotFound, TooManyAttempts."""
    if client.product is not None:
        await catalog.get_product(world, client.product)
    device_code, now = world.entropy.secret(PREFIX), world.clock.now()
    async with world.db.write(commit_now=True) as tx:
        refusal = await counters.count_in_window(tx, attempts.build_network_key(world, "device_codes", origin), REQUEST_LIMIT, now)
        if refusal is None:
            user_code = await _insert_request(tx, world, origin, device_code, client)
    if refusal is not None:
        raise refusal
    return DeviceAuthorization(
        device_code, models.format_user_code(user_code), _build_verification_uri(world), int(LIFETIME.total_seconds()), INTERVAL
    )


def _draw_user_code(world: World) -> str:
    letters = ""
    while len(letters) < models.USER_CODE_LENGTH:
        letters += models.map_to_letters(world.entropy.random_bytes(models.USER_CODE_LENGTH))
    return letters[: models.USER_CODE_LENGTH]


async def _insert_request(tx: Transaction, world: World, origin: Origin, device_code: str, client: ClientDetails) -> str:
    """Insert the request under an unused user code and return the code. Raises Busy after repeated collisions."""
    now, code_id = world.clock.now(), world.entropy.identifier()
    values = {
        "id": code_id,
        "device_hash": digest_token(device_code),
        "status": DeviceCodeStatus.PENDING,
        "product": client.product,
        "device": client.device,
        "device_digest": client.digest,
        "ip": origin.ip,
        "user_agent": origin.user_agent,
        "interval": INTERVAL,
        "created_at": now,
        "expires_at": now + LIFETIME,
    }
    for _ in range(MAX_DRAWS):
        user_code = _draw_user_code(world)
        if await dialect.insert_once(tx, DeviceCode, {**values, "user_hash": hash_user_code(world, user_code)}, unless=["user_hash"]):
            target = ("device_code", code_id)
            await record(tx, world, "device.authorization_requested", Actor("anonymous"), target, product=client.product)
            return user_code
    raise Busy


async def redeem(world: World, origin: Origin, device_code: str) -> IssuedTokens:
    """Open the session once the request is approved, one time. Raises AuthorizationPending, SlowDown, AccessDenied, ExpiredToken."""
    token_signer = await load_signer(world)
    row = await _load_polled_request(world, digest_token(device_code))
    if row.status == DeviceCodeStatus.DENIED:
        raise AccessDenied
    if row.status == DeviceCodeStatus.PENDING:
        raise AuthorizationPending(facts={"interval": row.interval}, retry_after=row.interval)
    async with world.db.write() as tx:
        return tokens.issue_tokens(world, token_signer, *await _open_session(tx, world, origin, row))


async def _load_polled_request(world: World, device_hash: bytes) -> AnyRow:
    """Load the request and record the poll. An unknown code costs only a read. Raises SlowDown, ExpiredToken."""
    now = world.clock.now()
    open_request = (DeviceCode.device_hash == device_hash, DeviceCode.status != DeviceCodeStatus.CONSUMED, DeviceCode.expires_at > now)

    async def exists(tx: Transaction) -> bool:
        return await tx.scalar(select(DeviceCode.id).where(*open_request)) is not None

    if not await world.db.query_with_retry(exists):
        raise ExpiredToken
    async with world.db.write(commit_now=True) as tx:
        row, longer_interval = await _record_poll(tx, update(DeviceCode).where(*open_request), now)
    if longer_interval is not None:
        raise SlowDown(facts={"interval": longer_interval}, retry_after=longer_interval)
    if row is None:
        raise ExpiredToken
    return row


async def _record_poll(tx: Transaction, open_request: Any, now: datetime) -> tuple[AnyRow | None, int | None]:
    """Return (the row, None) if the poll is on time, else (None, the increased interval).

    Each is one guarded statement, so every poll of a burst counts.
    """
    milliseconds = int(now.timestamp() * 1000)
    due = or_(DeviceCode.last_poll.is_(None), DeviceCode.last_poll + DeviceCode.interval * 1000 <= milliseconds)
    polled = open_request.where(due).values(last_poll=milliseconds).returning(*table(DeviceCode).columns)
    row = (await tx.execute(polled)).one_or_none()
    if row is not None:
        return row, None
    slowed = open_request.values(interval=DeviceCode.interval + INTERVAL, last_poll=milliseconds).returning(DeviceCode.interval)
    return None, await tx.scalar(slowed)


async def _open_session(tx: Transaction, world: World, origin: Origin, row: AnyRow) -> tuple[dict[str, Any], refresh.IssuedRefreshToken]:
    """Open a session and spend the approval, if the approving session and the account's epoch are still valid (authentication R58, R59)."""
    if not await lock_session(tx, world, row.user_id, row.claimed_session_id, row.auth_epoch):
        raise AccessDenied
    approved = (DeviceCode.id == row.id, DeviceCode.status == DeviceCodeStatus.APPROVED, DeviceCode.expires_at > world.clock.now())
    if not (await tx.execute(update(DeviceCode).where(*approved).values(status=DeviceCodeStatus.CONSUMED))).rowcount:
        raise ExpiredToken
    client = ClientDetails(row.product, row.device, row.device_digest, row.claimed_session_id)
    return await sessions.open_session(tx, world, origin, row.user_id, row.auth_epoch, sessions.read_proofs(row), client)
