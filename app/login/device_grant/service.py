"""An application without keyboard or browser asks to be let in by a short code, polls, and is let in once (RFC 8628).

Nothing is proven here: the new session has what the approving one had shown, when it had shown it, and only while that one lives.
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
from app.security.sealing import token_digest
from app.signing_keys.service import load_signer
from app.web import counters
from app.web.callers import Origin
from app.web.counters import WindowLimit
from app.world import World

PREFIX = "dvc_"
LIFETIME = timedelta(minutes=10)
INTERVAL = 5
"""Seconds between two polls at first, and how many more after each that came too soon (RFC 8628 section 3.5)."""
REQUEST_LIMIT = WindowLimit(timedelta(minutes=10), 30)
MAX_DRAWS = 5


@dataclass(frozen=True)
class DeviceAuthorization:
    """What the application shows, and what it polls with. Times in seconds."""

    device_code: str = field(repr=False)
    user_code: str = field(repr=False)
    verification_uri: str
    expires_in: int
    interval: int

    @property
    def verification_uri_complete(self) -> str:
        return f"{self.verification_uri}?user_code={self.user_code}"


def _verification_uri(world: World) -> str:
    """The application's page, if it has pages; else our own call, which another application of the user makes."""
    settings = world.settings
    return f"{settings.pages_url}/device" if settings.pages_url is not None else f"{settings.public_url}/v1/device"


def hash_user_code(world: World, typed: str) -> bytes:
    """Under our key: the code is short."""
    return world.keys.lookup.digest("device.user_code", models.normalize_user_code(typed))


async def begin(world: World, origin: Origin, client: ClientDetails) -> DeviceAuthorization:
    """A new request; an address has so many at once.

    Raises ProductNotFound, TooManyAttempts.
    """
    if client.product is not None:
        await catalog.get_product(world, client.product)
    device_code, now = world.entropy.secret(PREFIX), world.clock.now()
    async with world.db.write(commit_now=True) as tx:
        refusal = await counters.count_in_window(tx, attempts.network_key(world, "device_codes", origin), REQUEST_LIMIT, now)
        if refusal is None:
            user_code = await _insert_request(tx, world, origin, device_code, client)
    if refusal is not None:
        raise refusal
    return DeviceAuthorization(
        device_code, models.format_user_code(user_code), _verification_uri(world), int(LIFETIME.total_seconds()), INTERVAL
    )


def _draw_user_code(world: World) -> str:
    letters = ""
    while len(letters) < models.USER_CODE_LENGTH:
        letters += models.map_to_letters(world.entropy.random_bytes(models.USER_CODE_LENGTH))
    return letters[: models.USER_CODE_LENGTH]


async def _insert_request(tx: Transaction, world: World, origin: Origin, device_code: str, client: ClientDetails) -> str:
    """Write the request down under a user code that nobody else has; the code."""
    now, code_id = world.clock.now(), world.entropy.identifier()
    values = {
        "id": code_id,
        "device_hash": token_digest(device_code),
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
            about = ("device_code", code_id)
            await record(tx, world, "device.authorization_requested", Actor("anonymous"), about, product=client.product)
            return user_code
    raise Busy


async def redeem(world: World, origin: Origin, device_code: str) -> IssuedTokens:
    """A session, if somebody has approved; once. Raises AuthorizationPending, SlowDown, AccessDenied, ExpiredToken."""
    sign = await load_signer(world)
    row = await _load_polled_request(world, token_digest(device_code))
    if row.status == DeviceCodeStatus.DENIED:
        raise AccessDenied
    if row.status == DeviceCodeStatus.PENDING:
        raise AuthorizationPending(facts={"interval": row.interval}, retry_after=row.interval)
    async with world.db.write() as tx:
        return tokens.issue_tokens(world, sign, *await _open_session(tx, world, origin, row))


async def _load_polled_request(world: World, device_hash: bytes) -> AnyRow:
    """The request, if the application has waited as long as it was told to. A code that leads nowhere costs a read."""
    now = world.clock.now()
    there = (DeviceCode.device_hash == device_hash, DeviceCode.status != DeviceCodeStatus.CONSUMED, DeviceCode.expires_at > now)

    async def known(tx: Transaction) -> bool:
        return await tx.scalar(select(DeviceCode.id).where(*there)) is not None

    if not await world.db.find(known):
        raise ExpiredToken
    async with world.db.write(commit_now=True) as tx:
        row, slower = await _record_poll(tx, update(DeviceCode).where(*there), now)
    if slower is not None:
        raise SlowDown(facts={"interval": slower}, retry_after=slower)
    if row is None:
        raise ExpiredToken
    return row


async def _record_poll(tx: Transaction, there: Any, now: datetime) -> tuple[AnyRow | None, int | None]:
    """(the row, if the poll is in time; the interval from now on, if it is not). One statement each: a burst counts every poll."""
    moment = int(now.timestamp() * 1000)
    due = or_(DeviceCode.last_poll.is_(None), DeviceCode.last_poll + DeviceCode.interval * 1000 <= moment)
    polled = there.where(due).values(last_poll=moment).returning(*table(DeviceCode).columns)
    row = (await tx.execute(polled)).one_or_none()
    if row is not None:
        return row, None
    slowed = there.values(interval=DeviceCode.interval + INTERVAL, last_poll=moment).returning(DeviceCode.interval)
    return None, await tx.scalar(slowed)


async def _open_session(tx: Transaction, world: World, origin: Origin, row: AnyRow) -> tuple[dict[str, Any], refresh.IssuedRefreshToken]:
    """Spend the approval on a session, if the one that gave it lives and the account is as it was then (authentication R58, R59)."""
    if not await lock_session(tx, world, row.user_id, row.claimed_session_id, row.auth_epoch):
        raise AccessDenied
    approved = (DeviceCode.id == row.id, DeviceCode.status == DeviceCodeStatus.APPROVED, DeviceCode.expires_at > world.clock.now())
    if not (await tx.execute(update(DeviceCode).where(*approved).values(status=DeviceCodeStatus.CONSUMED))).rowcount:
        raise ExpiredToken
    client = ClientDetails(row.product, row.device, row.device_digest, row.claimed_session_id)
    return await sessions.open_session(tx, world, origin, row.user_id, row.auth_epoch, sessions.read_proofs(row), client)
