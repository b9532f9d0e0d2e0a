"""Load the facts of a decision by at most two prepared statements: the session with its agreements, then the license and its seat.

Both statements read one snapshot, taken after the request arrived. It includes every logout, revocation and release answered before.
Without an end user, one statement is usually enough.
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
from app.licenses import facts as licensing
from app.licenses.keys import digest_key
from app.licenses.rules import LicenseFacts, UseRequest
from app.login.models import SessionRow
from app.login.rules import Proofs
from app.login.sessions import service as sessions
from app.users.models import User, UserStatus
from app.web.callers import ActivatedDevice, EndUser
from app.world import World

_product_statement = select(Product.requires).where(Product.code == bindparam("code"))
_own_session = and_(SessionRow.id == bindparam("session_id", type_=Uuid), SessionRow.user_id == bindparam("user", type_=Uuid))
_session_statement = (
    select(Product.requires, *sessions.SESSION_COLUMNS, User.region.label("user_region"), *OBLIGATION_COLUMNS)
    .select_from(Product)
    .outerjoin(join(SessionRow, User, User.id == SessionRow.user_id), _own_session)
    .outerjoin(AgreementDocument, AgreementDocument.product_id == Product.id)
    .outerjoin(AgreementState, STATE_JOIN)
    .outerjoin(AgreementVersion, OPEN_VERSIONS_JOIN)
    .where(Product.code == bindparam("code"))
    .order_by(AgreementDocument.id, AgreementVersion.ordinal)
)
"""The product, the end user's session if it exists, and one row per agreement of the product and version not yet accepted."""


@dataclass(frozen=True)
class AccessRequest:
    """The application's request. `nonce` is repeated in the grant. `dry_run`: decide only; write nothing and sign nothing."""

    product: str
    license_key: str | None = field(repr=False)
    fingerprint: str | None
    features: Sequence[str]
    nonce: str | None
    dry_run: bool


@dataclass(frozen=True)
class AccessInputs:
    """The input of a decision, as loaded. `end_user`, `proofs` and `amr` are set only for a live session."""

    facts: AccessFacts
    candidates: Sequence[LicenseFacts]
    end_user: EndUser | None = None
    proofs: Proofs | None = None
    amr: Sequence[str] = ()


async def load_inputs(
    world: World, end_user: EndUser | None, device: ActivatedDevice | None, request: AccessRequest, now: datetime
) -> AccessInputs:
    """Load everything that the decision needs. Raises ProductNotFound."""
    if end_user is None:
        return await _load_anonymous(world, device, request, now)
    return await world.db.snapshot(lambda rows: _load_for_user(world, rows, end_user, device, request, now))


async def _load_for_user(
    world: World, rows: Rows, end_user: EndUser, device: ActivatedDevice | None, request: AccessRequest, now: datetime
) -> AccessInputs:
    login_rows = await rows(_session_statement, {"code": request.product, "session_id": end_user.session_id, "user": end_user.id})
    if not login_rows:
        raise ProductNotFound
    row = login_rows[0]
    session = _build_session(row, now, end_user, passkeys=world.settings.passkeys_enabled) if row.session_id is not None else None
    facts = replace(_build_facts(world, device, request, row.requires), session=session)
    if session is None or not session.is_logged_in(now):
        return AccessInputs(facts, await _load_licenses(world, rows, None, device, request, now))
    facts = replace(facts, use=replace(facts.use, has_user=True), agreements=read_obligations(world, login_rows).compliance(now))
    licenses = await _load_licenses(world, rows, end_user, device, request, now)
    return AccessInputs(facts, licenses, end_user, Proofs(row.password_at, row.second_factor_at), row.amr)


async def _load_anonymous(world: World, device: ActivatedDevice | None, request: AccessRequest, now: datetime) -> AccessInputs:
    """Load by key or seat. The license's row includes the product's requirements; the product is read only if there is no license."""
    candidates = await _load_licenses(world, world.db.query_many, None, device, request, now)
    if candidates:
        return AccessInputs(_build_facts(world, device, request, candidates[0].requires), candidates)
    product = await world.db.query_one(_product_statement, {"code": request.product})
    if product is None:
        raise ProductNotFound
    return AccessInputs(_build_facts(world, device, request, product.requires), candidates)


def _build_facts(world: World, device: ActivatedDevice | None, request: AccessRequest, requires: Sequence[str]) -> AccessFacts:
    """Build the facts without an end user and without a license."""
    return AccessFacts(
        requires=requires,
        session=None,
        second_factor_lifetime=world.settings.second_factor_lifetime,
        license=None,
        names_license=request.license_key is not None or device is not None,
        use=UseRequest(request.fingerprint, request.features),
        agreements=NOTHING_OWED,
    )


def _build_session(row: AnyRow, now: datetime, end_user: EndUser, *, passkeys: bool) -> SessionFacts:
    return SessionFacts(
        alive=sessions.is_alive(row, now, end_user),
        active=row.status == UserStatus.ACTIVE,
        email_verified=row.email_verified_at is not None,
        has_second_factor=row.has_second_factor,
        second_factor_at=row.second_factor_at,
        expires_at=row.session_expires_at,
        has_passkey=row.has_passkey and passkeys,
        passkey_at=row.passkey_at,
    )


async def _load_licenses(
    world: World, rows: Rows, end_user: EndUser | None, device: ActivatedDevice | None, request: AccessRequest, now: datetime
) -> Sequence[LicenseFacts]:
    """Load the license of the key or activation token; without either, all licenses of the user. At most one statement."""
    user_id = end_user.id if end_user is not None else None
    if request.license_key is not None:
        digest = digest_key(world.keys.lookup, request.license_key)
        parameters = licensing.build_parameters(
            now, fingerprint=request.fingerprint, user_id=user_id, product=request.product, key_hash=digest
        )
        return await _read_licenses(rows, licensing.BY_KEY, parameters)
    if device is not None:
        parameters = licensing.build_parameters(now, license_id=device.license_id, seat_id=device.activation_id)
        return [license for license in await _read_licenses(rows, licensing.BY_SEAT, parameters) if license.product == request.product]
    if user_id is None:
        return ()
    parameters = licensing.build_parameters(now, fingerprint=request.fingerprint, user_id=user_id, product=request.product)
    return await _read_licenses(rows, licensing.BY_USER, parameters)


async def _read_licenses(rows: Rows, statement: AnySelect, parameters: Mapping[str, object]) -> list[LicenseFacts]:
    return [licensing.build_facts(row) for row in await rows(statement, parameters)]
