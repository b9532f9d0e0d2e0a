"""Decide access, renew a lease that is half over, and sign the grant."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256

from app.access import facts as loading
from app.access import rules
from app.access.facts import AccessRequest
from app.access.rules import AccessDecision, AccessFacts
from app.licenses import guess_limits
from app.licenses import rules as licensing
from app.licenses.rules import LicenseFacts
from app.licenses.seats.leases import renew_live_seat
from app.login.rules import compute_acr
from app.observability.counters import decision_counter
from app.security.signing import Signer
from app.signing_keys.service import load_signer
from app.web.callers import ActivatedDevice, EndUser
from app.world import World

GRANT_TYPE = "grant+jwt"


@dataclass(frozen=True)
class AccessResult:
    """The decision with its facts. `grant` is set only if access is allowed and the request is not a dry run.

    `acr` and `amr` describe the session, if there is one. `at`: when the decision was made.
    """

    decision: AccessDecision
    facts: AccessFacts
    acr: str | None
    amr: Sequence[str]
    grant: str | None = field(repr=False)
    at: datetime


async def decide(
    world: World, ip: str | None, end_user: EndUser | None, device: ActivatedDevice | None, request: AccessRequest
) -> AccessResult:
    """Decide whether access is allowed. A failure raises an exception; it never allows access. Raises ProductNotFound, TooManyAttempts."""
    signer = await load_signer(world)
    now = world.clock.now()
    inputs = await loading.load_inputs(world, end_user, device, request, now)
    if request.license_key is not None and not inputs.candidates:
        await guess_limits.count_wrong_guess(world, ip, request.license_key)
    facts, decision = rules.choose_best(inputs.facts, inputs.candidates, now)
    if decision.allow and not request.dry_run and facts.license is not None and licensing.is_renewal_due(facts.license, now):
        renewed = await _renew_lease(world, facts.license)
        candidates = [renewed if license is facts.license else license for license in inputs.candidates]
        facts, decision = rules.choose_best(inputs.facts, candidates, now)
    decision_counter("access", "allowed" if decision.allow else decision.reasons[0].code).inc()
    level = compute_acr(inputs.proofs, now, world.settings.second_factor_lifetime) if inputs.proofs else None
    result = AccessResult(decision, facts, level, inputs.amr, None, now)
    if not decision.allow or request.dry_run:
        return result
    return replace(result, grant=_sign_grant(world, signer, inputs.end_user, request, result, now))


async def _renew_lease(world: World, license: LicenseFacts) -> LicenseFacts:
    """Renew the lease of the license's seat; if the seat was released in the meantime, return the license without a seat."""
    if license.seat is None:
        return license
    async with world.db.write() as tx:
        return replace(license, seat=await renew_live_seat(tx, world, license.license_id, license.seat, license.lease))


def _sign_grant(world: World, signer: Signer, end_user: EndUser | None, request: AccessRequest, result: AccessResult, now: datetime) -> str:
    """Sign the decision as an EdDSA JWT that the application can verify offline. It expires at the latest when its facts can change.

    `dev` is the SHA-256 of the fingerprint of the seat, which may differ from the device in the request.
    """
    latest = now + world.settings.grant_lifetime
    until = min(latest, result.decision.check_again_at or latest)
    license = result.facts.license
    seat = license.seat if license is not None and license.seat is not None and license.seat.is_live(now) else None
    claims = {
        "iss": world.settings.public_url,
        "aud": request.product,
        "sub": str(end_user.id) if end_user is not None else None,
        "sid": str(end_user.session_id) if end_user is not None else None,
        "jti": str(world.entropy.identifier()),
        "iat": int(now.timestamp()),
        "exp": int(until.timestamp()),
        "lic": str(license.license_id) if license is not None else None,
        "act": str(seat.id) if seat is not None else None,
        "dev": sha256(seat.fingerprint.encode()).hexdigest() if seat is not None and seat.fingerprint else None,
        "features": dict(license.features) if license is not None else None,
        "acr": result.acr,
        "agreements": {str(document): ordinal for document, ordinal in result.facts.agreements.accepted} or None,
        "nonce": request.nonce,
    }
    return signer.sign(GRANT_TYPE, {name: value for name, value in claims.items() if value is not None})
