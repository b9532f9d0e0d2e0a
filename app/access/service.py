"""Reading the facts of a decision in one transaction, judging them, renewing a lease that is half gone, signing the grant."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256

from sqlalchemy import bindparam, select

from app.access import rules
from app.access.rules import Decision, Facts, SessionFacts
from app.agreements.duties import NOTHING_OWED
from app.agreements.service import standing as agreements_of
from app.base.signing import Signer
from app.catalog.models import Product
from app.catalog.problems import ProductNotFound
from app.db.database import Session
from app.db.types import AnyRow
from app.licenses import guesses, seats, standing
from app.licenses import rules as licensing
from app.licenses.keys import key_digest
from app.licenses.rules import Asked, Standing
from app.login import sessions
from app.login.rules import Proofs, acr
from app.signing_keys.service import signer
from app.users.models import Status
from app.web.callers import Device, EndUser
from app.world import World

GRANT_TYPE = "grant+jwt"
_product = select(Product.id, Product.code, Product.requires).where(Product.code == bindparam("code"))


@dataclass(frozen=True)
class Request:
    """What the application asks. `dry_run` judges and writes nothing."""

    product: str
    license_key: str | None = field(repr=False)
    fingerprint: str | None
    features: Sequence[str]
    nonce: str | None
    dry_run: bool


@dataclass(frozen=True)
class Answer:
    """The decision with what it rests on; `grant` only on an allow that is no dry run."""

    decision: Decision
    facts: Facts
    acr: str | None
    amr: Sequence[str]
    grant: str | None = field(repr=False)


async def decide(world: World, ip: str | None, who: EndUser | None, device: Device | None, request: Request) -> Answer:
    """Judge every requirement. Any failure inside is an error, never an allow. Raises ProductNotFound, TooManyAttempts."""
    sign = await signer(world)
    now = world.clock.now()
    found = await _read(world, who, device, request, now)
    if request.license_key is not None and not found.candidates:
        await guesses.failed(world, ip, request.license_key)
    facts, decision = rules.best(found.facts, found.candidates, now)
    if decision.allow and not request.dry_run and facts.license is not None and licensing.renewal_due(facts.license, now):
        facts = replace(facts, license=await _renewed(world, facts.license))
        decision = rules.decide(facts, now)
    level = acr(found.proofs, now, world.settings.second_factor_lifetime) if found.proofs else None
    answer = Answer(decision, facts, level, found.amr, None)
    if not decision.allow or request.dry_run:
        return answer
    return replace(answer, grant=_grant(world, sign, found.subject, request, answer, now))


@dataclass(frozen=True)
class _Found:
    """What one transaction read. `subject`, `proofs` and `amr` are those of a session that lives, or of nobody."""

    facts: Facts
    candidates: Sequence[Standing]
    subject: EndUser | None
    proofs: Proofs | None
    amr: Sequence[str]


async def _read(world: World, who: EndUser | None, device: Device | None, request: Request, now: datetime) -> _Found:
    async with world.db.read() as session:
        product = (await session.execute(_product, {"code": request.product})).one_or_none()
        if product is None:
            raise ProductNotFound
        row = await sessions.row_of(session, who) if who is not None else None
        login = _session_facts(row, now, who) if row is not None and who is not None else None
        subject = who if login is not None and login.present else None
        candidates = await _licenses(session, world, subject, device, request, now)
        agreed = await agreements_of(session, world, subject.id, product.id) if subject is not None else None
    facts = Facts(
        requires=product.requires,
        session=login,
        second_factor_lifetime=world.settings.second_factor_lifetime,
        license=None,
        license_named=request.license_key is not None or device is not None,
        asked=Asked(request.fingerprint, request.features, subject is not None),
        agreements=agreed.compliance(now) if agreed is not None else NOTHING_OWED,
    )
    if row is None or subject is None:
        return _Found(facts, candidates, None, None, ())
    return _Found(facts, candidates, subject, Proofs(row.password_at, row.second_factor_at), row.amr)


def _session_facts(row: AnyRow, now: datetime, who: EndUser) -> SessionFacts:
    return SessionFacts(
        alive=sessions.alive(row, now, who),
        active=row.status == Status.ACTIVE,
        email_verified=row.email_verified_at is not None,
        has_second_factor=row.has_second_factor,
        second_factor_at=row.second_factor_at,
        expires_at=row.session_expires_at,
    )


async def _licenses(
    session: Session, world: World, who: EndUser | None, device: Device | None, request: Request, now: datetime
) -> Sequence[Standing]:
    """The license that the caller names by key or seat; else all of the user's own."""
    if request.license_key is not None:
        digest = key_digest(world.keys.lookup, request.license_key)
        user_id = who.id if who is not None else None
        facts = standing.facts(now, fingerprint=request.fingerprint, user_id=user_id, product=request.product, key_hash=digest)
        found = await standing.standing(session, standing.BY_KEY, facts)
    elif device is not None:
        facts = standing.facts(now, license_id=device.license_id, seat_id=device.activation_id)
        found = await standing.standing(session, standing.BY_SEAT, facts)
    else:
        return await standing.of_user(session, request.product, who.id, request.fingerprint, now) if who is not None else ()
    return (found,) if found is not None and found.product == request.product else ()


async def _renewed(world: World, it: Standing) -> Standing:
    """The standing with its lease renewed; or, if the seat was lost meanwhile, without a seat."""
    if it.seat is None:
        return it
    async with world.db.write() as session:
        return replace(it, seat=await seats.renew_live(session, world, it.license_id, it.seat, it.lease))


def _grant(world: World, sign: Signer, who: EndUser | None, request: Request, answer: Answer, now: datetime) -> str:
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
        "sub": str(who.id) if who is not None else None,
        "sid": str(who.session_id) if who is not None else None,
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
