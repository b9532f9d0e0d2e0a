"""Judging what was read, renewing a lease that is half gone, signing the grant."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256

from app.access import facts as reading
from app.access import rules
from app.access.facts import AccessRequest
from app.access.rules import AccessFacts, Decision
from app.licenses import guess_limits
from app.licenses import rules as licensing
from app.licenses.rules import LicenseFacts
from app.licenses.seats import service as seats
from app.login.rules import compute_acr
from app.observability.counters import decision_counter
from app.security.signing import Signer
from app.signing_keys.service import load_signer
from app.web.callers import ActivatedDevice, EndUser
from app.world import World

GRANT_TYPE = "grant+jwt"


@dataclass(frozen=True)
class AccessResult:
    """The decision with what it rests on; `grant` only on an allow that is no dry run."""

    decision: Decision
    facts: AccessFacts
    acr: str | None
    amr: Sequence[str]
    grant: str | None = field(repr=False)
    at: datetime


async def decide(
    world: World, ip: str | None, end_user: EndUser | None, device: ActivatedDevice | None, request: AccessRequest
) -> AccessResult:
    """Judge every requirement. Any failure inside is an error, never an allow. Raises ProductNotFound, TooManyAttempts."""
    sign = await load_signer(world)
    now = world.clock.now()
    found = await reading.load(world, end_user, device, request, now)
    if request.license_key is not None and not found.candidates:
        await guess_limits.count_wrong_guess(world, ip, request.license_key)
    facts, decision = rules.best(found.facts, found.candidates, now)
    if decision.allow and not request.dry_run and facts.license is not None and licensing.is_renewal_due(facts.license, now):
        renewed = await _renewed(world, facts.license)
        facts, decision = rules.best(found.facts, [renewed if it is facts.license else it for it in found.candidates], now)
    decision_counter("access", "allowed" if decision.allow else decision.reasons[0].code).inc()
    level = compute_acr(found.proofs, now, world.settings.second_factor_lifetime) if found.proofs else None
    answer = AccessResult(decision, facts, level, found.amr, None, now)
    if not decision.allow or request.dry_run:
        return answer
    return replace(answer, grant=_grant(world, sign, found.subject, request, answer, now))


async def _renewed(world: World, it: LicenseFacts) -> LicenseFacts:
    """The standing with its lease renewed; or, if the seat was lost meanwhile, without a seat."""
    if it.seat is None:
        return it
    async with world.db.write() as tx:
        return replace(it, seat=await seats.renew_live(tx, world, it.license_id, it.seat, it.lease))


def _grant(world: World, sign: Signer, end_user: EndUser | None, request: AccessRequest, answer: AccessResult, now: datetime) -> str:
    """The decision as an EdDSA JWT that the application can check offline; it outlives nothing it rests on.

    `dev` is the SHA-256 of the fingerprint of the seat that is held, whatever device the caller names.
    """
    latest = now + world.settings.grant_lifetime
    until = min(latest, answer.decision.check_again_at or latest)
    it = answer.facts.license
    seat = it.seat if it is not None and it.seat is not None and it.seat.live(now) else None
    claims = {
        "iss": world.settings.public_url,
        "aud": request.product,
        "sub": str(end_user.id) if end_user is not None else None,
        "sid": str(end_user.session_id) if end_user is not None else None,
        "jti": str(world.entropy.identifier()),
        "iat": int(now.timestamp()),
        "exp": int(until.timestamp()),
        "lic": str(it.license_id) if it is not None else None,
        "act": str(seat.id) if seat is not None else None,
        "dev": sha256(seat.fingerprint.encode()).hexdigest() if seat is not None and seat.fingerprint else None,
        "features": dict(it.features) if it is not None else None,
        "acr": answer.acr,
        "agreements": {str(document): ordinal for document, ordinal in answer.facts.agreements.accepted} or None,
        "nonce": request.nonce,
    }
    return sign.sign(GRANT_TYPE, {name: value for name, value in claims.items() if value is not None})
