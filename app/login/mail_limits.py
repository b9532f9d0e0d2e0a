"""How many letters may be asked for: three an hour to one address, twenty an hour from one network (R40). Known and unknown alike."""

from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network
from math import ceil

from sqlalchemy import LargeBinary, case, delete, select, update
from sqlalchemy.orm import Mapped, mapped_column

from app.db import dialect
from app.db.base import Base
from app.db.database import Session
from app.db.types import Instant
from app.users.rules import folded
from app.web.callers import Origin
from app.web.problems import TooManyAttempts
from app.world import World

PER_ADDRESS, PER_NETWORK = 3, 20
SPAN = timedelta(hours=1)
SWEPT = 20
NETWORK_BITS = 64


class MailCount(Base):
    """Letters asked for in one window of time. `key` is an HMAC, so the table names nobody."""

    __tablename__ = "mail_counts"

    key: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    count: Mapped[int]
    until: Mapped[Instant] = mapped_column(index=True)


async def admit(world: World, origin: Origin, address: str) -> bool:
    """Count one request for a letter. Raises TooManyAttempts for the network; False when the address has had its letters."""
    await from_network(world, origin)
    return await to_address(world, address)


async def from_network(world: World, origin: Origin) -> None:
    """Count one request from where it comes. Raises TooManyAttempts."""
    now, key = world.clock.now(), world.keys.lookup.digest("mail.network", network_of(origin.ip))
    async with world.db.write(stands=True) as session:
        until = await _count(session, key, PER_NETWORK, now)
        stale = select(MailCount.key).where(MailCount.until <= now).limit(SWEPT).with_for_update(skip_locked=True)
        await session.execute(delete(MailCount).where(MailCount.key.in_(stale)))
    if until is not None:
        wait = max(1, ceil((until - now).total_seconds()))
        raise TooManyAttempts("Too many letters were asked for from here; wait before the next one.", retry_after=wait)


async def to_address(world: World, address: str) -> bool:
    """Count one letter to an address; False when it has had its share. Nothing is said about that, and nothing is sent."""
    now, key = world.clock.now(), world.keys.lookup.digest("mail.address", folded(address))
    async with world.db.write(stands=True) as session:
        return await _count(session, key, PER_ADDRESS, now) is None


def network_of(ip: str | None) -> str:
    """An IPv4 address, or the /64 that one customer has; one bucket for whoever has no address (R46)."""
    if ip is None:
        return "-"
    address = ip_address(ip)
    if address.version == 6 and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ip_network((address, NETWORK_BITS), strict=False)) if address.version == 6 else str(address)


async def _count(session: Session, key: bytes, limit: int, now: datetime) -> datetime | None:
    """Count one more; or, if none is left, when the window ends. One guarded statement is the answer."""
    over = MailCount.until <= now
    values = {"count": case((over, 1), else_=MailCount.count + 1), "until": case((over, now + SPAN), else_=MailCount.until)}
    counted = update(MailCount).where(MailCount.key == key, over | (MailCount.count < limit)).values(values)
    if (await session.execute(counted)).rowcount:
        return None
    if await dialect.insert_once(session, MailCount, {"key": key, "count": 1, "until": now + SPAN}, unless=["key"]):
        return None
    if (await session.execute(counted)).rowcount:  # a twin made the row in between
        return None
    return await session.scalar(select(MailCount.until).where(MailCount.key == key))
