"""Validate a license key for an application."""

from uuid import UUID

from app.licenses import facts, guess_limits, rules
from app.licenses.keys import digest_key
from app.licenses.rules import LicenseFacts, UseRequest, Verdict
from app.observability.counters import decision_counter
from app.world import World


async def validate(
    world: World, ip: str | None, key: str, product: str, use: UseRequest, user_id: UUID | None
) -> tuple[LicenseFacts | None, Verdict]:
    """Evaluate a key by one read: it takes no seat and starts no clock. Only a wrong key is recorded, as a failed guess."""
    now = world.clock.now()
    digest = digest_key(world.keys.lookup, key)
    parameters = facts.build_parameters(now, fingerprint=use.fingerprint, user_id=user_id, product=product, key_hash=digest)
    row = await world.db.query_one(facts.BY_KEY, parameters)
    if row is None:
        await guess_limits.count_wrong_guess(world, ip, key)
        license, verdict = None, Verdict((rules.LICENSE_NOT_FOUND,), (), None)
    else:
        license = facts.build_facts(row)
        verdict = rules.evaluate(license, use, now)
    decision_counter("validate", verdict.reasons[0].code if verdict.reasons else "allowed").inc()
    return license, verdict
