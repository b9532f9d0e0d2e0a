"""Recovery codes: ten codes, each usable once, for users who lost their authenticator (authentication R24 to R28)."""

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
"""Number of remaining codes at which the user should generate a new set."""
SELECTOR_LENGTH = 4
SECRET_LENGTH = 16
_FORM = re.compile(f"[{ALPHABET}]{{{SELECTOR_LENGTH + SECRET_LENGTH}}}")


@dataclass(frozen=True)
class RecoveryCodes:
    """A new set. `codes`: the codes for the user, returned only once. `stored`: selector and hash of each."""

    codes: list[str] = field(repr=False)
    stored: list[tuple[str, str]] = field(repr=False)


async def generate(world: World) -> RecoveryCodes:
    """Generate ten codes `SSSS-XXXX-XXXX-XXXX-XXXX` (authentication R24, R25).

    The first 20 bits (the selector) find the row, the other 80 bits are the secret. Each code is hashed with its own salt. Raises Busy.
    """
    selectors: set[str] = set()
    while len(selectors) < COUNT:
        selectors.add(random_characters(world.entropy, SELECTOR_LENGTH))
    raw_codes = [selector + random_characters(world.entropy, SECRET_LENGTH) for selector in sorted(selectors)]
    hashes = await world.hasher.hash_codes(raw_codes)
    codes = ["-".join(code[start : start + 4] for start in range(0, len(code), 4)) for code in raw_codes]
    return RecoveryCodes(codes, [(code[:SELECTOR_LENGTH], hashed) for code, hashed in zip(raw_codes, hashes, strict=True)])


def _build_active_conditions(user_id: UUID) -> tuple[Any, ...]:
    return (Factor.user_id == user_id, Factor.kind == FactorKind.RECOVERY, Factor.state == FactorState.ACTIVE)


async def replace(tx: Transaction, world: World, actor: Actor, user_id: UUID, codes: RecoveryCodes) -> None:
    """Replace all recovery codes of the user by a new set (authentication R27)."""
    now = world.clock.now()
    await discard(tx, user_id)
    common = {"user_id": user_id, "kind": FactorKind.RECOVERY, "state": FactorState.ACTIVE, "created_at": now, "confirmed_at": now}
    rows = [{**common, "id": world.entropy.identifier(), "selector": selector, "hash": hashed} for selector, hashed in codes.stored]
    await tx.execute(insert(Factor), rows)
    await record(tx, world, "recovery_codes.made", actor, ("user", user_id), user_id, count=len(rows))


async def discard(tx: Transaction, user_id: UUID) -> None:
    """Revoke all recovery codes of the user. The rows stay without their secrets."""
    await tx.execute(update(Factor).where(*_build_active_conditions(user_id)).values(state=FactorState.REVOKED, hash=None, selector=None))


async def find_candidate(tx: Transaction, user_id: UUID, code: str) -> tuple[str, AnyRow | None]:
    """Return the normalised code and the unspent row of its selector, or None. One row: a wrong guess costs one hash instead of ten."""
    normalised_code = correct_lookalikes(strip_separators(code).upper())
    if not _FORM.fullmatch(normalised_code):
        return "", None
    matching = select(Factor.id, Factor.hash).where(
        *_build_active_conditions(user_id), Factor.selector == normalised_code[:SELECTOR_LENGTH], Factor.used_at.is_(None)
    )
    return normalised_code, (await tx.execute(matching)).one_or_none()


async def spend(tx: Transaction, world: World, user_id: UUID, factor_id: UUID, now: datetime) -> bool:
    """Spend a code; False if it was spent already. Call it in the transaction that uses the code (authentication R26)."""
    unspent = update(Factor).where(*_build_active_conditions(user_id), Factor.id == factor_id, Factor.used_at.is_(None)).values(used_at=now)
    if not (await tx.execute(unspent)).rowcount:
        return False
    codes_left = await count_remaining(tx, user_id)
    about = ("factor", factor_id)
    await record(tx, world, "recovery_code.used", Actor("user", user_id), about, user_id, remaining=codes_left.remaining)
    await notices.notify(tx, world, user_id, Template.RECOVERY_CODE_USED, left=codes_left.remaining)
    return True


@dataclass(frozen=True)
class RemainingCodes:
    """How many codes of the current set are unused, the size of the set, and when it was created."""

    remaining: int
    total: int
    created_at: datetime | None


async def count_remaining(tx: Transaction, user_id: UUID) -> RemainingCodes:
    """Count the recovery codes of the user."""
    counts = select(func.count(), func.count(Factor.used_at), func.max(Factor.created_at)).where(*_build_active_conditions(user_id))
    total, used, created_at = (await tx.execute(counts)).one()
    return RemainingCodes(total - used, total, created_at)
