"""The facts of a decision by at most two prepared statements: who asks and what they have agreed to; then the license and its seat.

Both see one moment, in a transaction that cannot write; and that moment is after the request came in: whatever was answered before (a
logout, a revocation, a seat given back) is seen. Of somebody who is not logged in there is one statement to ask, and one moment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from sqlalchemy import Uuid, and_, bindparam, join, select

from app.access.rules import AccessFacts, SessionFacts
from app.agreements.facts import OBLIGATION_COLUMNS, OPEN_VERSIONS_JOIN, STATE_JOIN, read_obligations
from app.agreements.models import AgreementDocument, AgreementState, AgreementVersion
from app.agreements.obligations import NOTHING_OWED
from app.catalog.models import Product
from app.catalog.problems import ProductNotFound
from app.db.fast_reads import Rows
from app.db.types import AnyRow, AnySelect
from app.licenses import facts as standing
from app.licenses.keys import digest_key
from app.licenses.rules import LicenseFacts, UseRequest
from app.login.models import SessionRow
from app.login.rules import Proofs
from app.login.sessions import service as sessions
from app.users.models import Status, User
from app.web.callers import ActivatedDevice, EndUser
from app.world import World

_product = select(Product.requires).where(Product.code == bindparam("code"))
_their_session = and_(SessionRow.id == bindparam("session_id", type_=Uuid), SessionRow.user_id == bindparam("user", type_=Uuid))
_person = (
    select(Product.requires, *sessions.SESSION_COLUMNS, User.region.label("user_region"), *OBLIGATION_COLUMNS)
    .select_from(Product)
    .outerjoin(join(SessionRow, User, User.id == SessionRow.user_id), _their_session)
    .outerjoin(AgreementDocument, AgreementDocument.product_id == Product.id)
    .outerjoin(AgreementState, STATE_JOIN)
    .outerjoin(AgreementVersion, OPEN_VERSIONS_JOIN)
    .where(Product.code == bindparam("code"))
    .order_by(AgreementDocument.id, AgreementVersion.ordinal)
)
"""The product, the end user's session if there is one, and a row for each version ahead of each agreement of the product."""


@dataclass(frozen=True)
class AccessRequest:
    """What the application asks. `dry_run` judges and writes nothing."""

    product: str
    license_key: str | None = field(repr=False)
    fingerprint: str | None
    features: Sequence[str]
    nonce: str | None
    dry_run: bool


@dataclass(frozen=True)
class AccessInputs:
    """What was read. `subject`, `proofs` and `amr` are those of a session that lives, or of nobody."""

    facts: AccessFacts
    candidates: Sequence[LicenseFacts]
    subject: EndUser | None = None
    proofs: Proofs | None = None
    amr: Sequence[str] = ()


async def load(
    world: World, end_user: EndUser | None, device: ActivatedDevice | None, request: AccessRequest, now: datetime
) -> AccessInputs:
    """Raises ProductNotFound."""
    if end_user is None:
        return await _of_nobody(world, device, request, now)
    return await world.db.snapshot(lambda rows: _of_somebody(world, rows, end_user, device, request, now))


async def _of_somebody(
    world: World, rows: Rows, end_user: EndUser, device: ActivatedDevice | None, request: AccessRequest, now: datetime
) -> AccessInputs:
    found = await rows(_person, {"code": request.product, "session_id": end_user.session_id, "user": end_user.id})
    if not found:
        raise ProductNotFound
    row = found[0]
    login = _session(row, now, end_user, passkeys=world.settings.passkeys_enabled) if row.session_id is not None else None
    facts = replace(_facts(world, device, request, row.requires), session=login)
    if login is None or not login.present(now):
        return AccessInputs(facts, await _licenses(world, rows, None, device, request, now))
    facts = replace(facts, asked=replace(facts.asked, has_user=True), agreements=read_obligations(world, found).compliance(now))
    licenses = await _licenses(world, rows, end_user, device, request, now)
    return AccessInputs(facts, licenses, end_user, Proofs(row.password_at, row.second_factor_at), row.amr)


async def _of_nobody(world: World, device: ActivatedDevice | None, request: AccessRequest, now: datetime) -> AccessInputs:
    """A license that is named tells what its product requires; the product itself is only asked when there is none."""
    candidates = await _licenses(world, world.db.query_many, None, device, request, now)
    if candidates:
        return AccessInputs(_facts(world, device, request, candidates[0].requires), candidates)
    product = await world.db.query_one(_product, {"code": request.product})
    if product is None:
        raise ProductNotFound
    return AccessInputs(_facts(world, device, request, product.requires), candidates)


def _facts(world: World, device: ActivatedDevice | None, request: AccessRequest, requires: Sequence[str]) -> AccessFacts:
    """As nobody in particular asks them."""
    return AccessFacts(
        requires=requires,
        session=None,
        second_factor_lifetime=world.settings.second_factor_lifetime,
        license=None,
        license_named=request.license_key is not None or device is not None,
        asked=UseRequest(request.fingerprint, request.features),
        agreements=NOTHING_OWED,
    )


def _session(row: AnyRow, now: datetime, end_user: EndUser, *, passkeys: bool) -> SessionFacts:
    return SessionFacts(
        alive=sessions.is_alive(row, now, end_user),
        active=row.status == Status.ACTIVE,
        email_verified=row.email_verified_at is not None,
        has_second_factor=row.has_second_factor,
        second_factor_at=row.second_factor_at,
        expires_at=row.session_expires_at,
        has_passkey=row.has_passkey and passkeys,
        passkey_at=row.passkey_at,
    )


async def _licenses(
    world: World, rows: Rows, end_user: EndUser | None, device: ActivatedDevice | None, request: AccessRequest, now: datetime
) -> Sequence[LicenseFacts]:
    """The license that the caller names by key or seat; else all of the user's own. One statement, or none."""
    user_id = end_user.id if end_user is not None else None
    if request.license_key is not None:
        digest = digest_key(world.keys.lookup, request.license_key)
        named = standing.parameters(now, fingerprint=request.fingerprint, user_id=user_id, product=request.product, key_hash=digest)
        return await _standings(rows, standing.BY_KEY, named)
    if device is not None:
        named = standing.parameters(now, license_id=device.license_id, seat_id=device.activation_id)
        return [it for it in await _standings(rows, standing.BY_SEAT, named) if it.product == request.product]
    if user_id is None:
        return ()
    own = standing.parameters(now, fingerprint=request.fingerprint, user_id=user_id, product=request.product)
    return await _standings(rows, standing.BY_USER, own)


async def _standings(rows: Rows, statement: AnySelect, named: Mapping[str, object]) -> list[LicenseFacts]:
    return [standing.from_row(row) for row in await rows(statement, named)]
