"""Recovery codes: ten on paper, each good once, for the day the authenticator is lost (authentication R24 to R28)."""

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, insert, select, update

from app.base.base32 import ALPHABET, correct_lookalikes, random_characters, strip_separators
from app.db.database import Transaction
from app.db.types import AnyRow
from app.events.service import Actor, record
from app.login import notices
from app.login.models import Factor, FactorKind, FactorState
from app.mail.models import Template
from app.world import World

COUNT = 10
LOW_COUNT = 3
SELECTOR_SIGNS = 4
SECRET_SIGNS = 16
_FORM = re.compile(f"[{ALPHABET}]{{{SELECTOR_SIGNS + SECRET_SIGNS}}}")


@dataclass(frozen=True)
class RecoveryCodes:
    """A fresh set: the codes as they are shown, this once, and what is stored of each."""

    codes: list[str] = field(repr=False)
    stored: list[tuple[str, str]] = field(repr=False)


async def generate(world: World) -> RecoveryCodes:
    """Ten codes `SSSS-XXXX-XXXX-XXXX-XXXX`: 20 bits that find the row, 80 that open it, each hashed with a salt of its own (authentication R24, R25)."""
    selectors: set[str] = set()
    while len(selectors) < COUNT:
        selectors.add(random_characters(world.entropy, SELECTOR_SIGNS))
    whole = [selector + random_characters(world.entropy, SECRET_SIGNS) for selector in sorted(selectors)]
    hashes = await world.hasher.hash_codes(whole)
    codes = ["-".join(code[start : start + 4] for start in range(0, len(code), 4)) for code in whole]
    return RecoveryCodes(codes, [(code[:SELECTOR_SIGNS], hashed) for code, hashed in zip(whole, hashes, strict=True)])


def _mine(user_id: UUID) -> tuple[Any, ...]:
    return (Factor.user_id == user_id, Factor.kind == FactorKind.RECOVERY, Factor.state == FactorState.ACTIVE)


async def replace(tx: Transaction, world: World, actor: Actor, user_id: UUID, paper: RecoveryCodes) -> None:
    """A new set in the place of the whole old one (authentication R27)."""
    now = world.clock.now()
    await discard(tx, user_id)
    one = {"user_id": user_id, "kind": FactorKind.RECOVERY, "state": FactorState.ACTIVE, "created_at": now, "confirmed_at": now}
    rows = [{**one, "id": world.entropy.identifier(), "selector": selector, "hash": hashed} for selector, hashed in paper.stored]
    await tx.execute(insert(Factor), rows)
    await record(tx, world, "recovery_codes.made", actor, ("user", user_id), user_id, count=len(rows))


async def discard(tx: Transaction, user_id: UUID) -> None:
    """The codes open nothing any more; that there were some stays on record."""
    await tx.execute(update(Factor).where(*_mine(user_id)).values(state=FactorState.REVOKED, hash=None, selector=None))


async def find_candidate(tx: Transaction, user_id: UUID, code: str) -> tuple[str, AnyRow | None]:
    """(the code in its one form, the unspent row that its first signs name). A wrong guess costs one hash, not ten."""
    bare = correct_lookalikes(strip_separators(code).upper())
    if not _FORM.fullmatch(bare):
        return "", None
    named = select(Factor.id, Factor.hash).where(*_mine(user_id), Factor.selector == bare[:SELECTOR_SIGNS], Factor.used_at.is_(None))
    return bare, (await tx.execute(named)).one_or_none()


async def spend(tx: Transaction, world: World, user_id: UUID, factor_id: UUID, now: datetime) -> bool:
    """Spend the code once, in the transaction of what it opens (authentication R26)."""
    unspent = update(Factor).where(*_mine(user_id), Factor.id == factor_id, Factor.used_at.is_(None)).values(used_at=now)
    if not (await tx.execute(unspent)).rowcount:
        return False
    left = await count_remaining(tx, user_id)
    about = ("factor", factor_id)
    await record(tx, world, "recovery_code.used", Actor("user", user_id), about, user_id, remaining=left.remaining)
    await notices.notify(tx, world, user_id, Template.RECOVERY_CODE_USED, left=left.remaining)
    return True


@dataclass(frozen=True)
class RemainingCodes:
    """How many codes are still good, of how many, and since when there are these."""

    remaining: int
    total: int
    created_at: datetime | None


async def count_remaining(tx: Transaction, user_id: UUID) -> RemainingCodes:
    counted = select(func.count(), func.count(Factor.used_at), func.max(Factor.created_at)).where(*_mine(user_id))
    total, used, at = (await tx.execute(counted)).one()
    return RemainingCodes(total - used, total, at)
