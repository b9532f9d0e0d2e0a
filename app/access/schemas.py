"""Wire models of the access decision."""

from typing import Annotated, Self
from uuid import UUID

from pydantic import Field

from app.access.facts import AccessRequest
from app.access.service import AccessResult
from app.licenses.schemas import LicenseSummary
from app.licenses.seats.schemas import FingerprintIn
from app.web.fields import Flag, Instant, Nonce, ReasonOut, Secret, Slug, WarningOut, WireModel


class AccessIn(WireModel):
    """A request for a decision. `product`: the product's code. `dry_run`: only decide; renew no lease and sign no grant."""

    product: Slug
    license_key: Secret | None = None
    device: FingerprintIn | None = None
    features: Annotated[list[Slug], Field(max_length=100)] = []
    nonce: Nonce | None = None
    dry_run: Flag = False

    def to_request(self) -> AccessRequest:
        fingerprint = self.device.fingerprint if self.device else None
        return AccessRequest(self.product, self.license_key, fingerprint, self.features, self.nonce, self.dry_run)


class SeatSummary(WireModel):
    id: UUID
    lease_expires_at: Instant | None


class SessionAssurance(WireModel):
    """The current assurance level of the session and its authentication methods (RFC 8176)."""

    acr: str
    amr: list[str]


class OutstandingDocument(WireModel):
    document: UUID
    ordinal: int


class AgreementsSummary(WireModel):
    compliant: bool
    outstanding: list[OutstandingDocument]


class AccessOut(WireModel):
    """`code`: `ok`, or the code of the first reason. `check_again_at`: the earliest time at which the decision can change.

    `grant`: an EdDSA JWT (`typ: grant+jwt`), verifiable offline with the JWKS.
    """

    allow: bool
    code: str
    reasons: list[ReasonOut]
    warnings: list[WarningOut]
    product: str
    requires: list[str]
    license: LicenseSummary | None
    activation: SeatSummary | None
    session: SessionAssurance | None
    agreements: AgreementsSummary
    grant: str | None
    check_again_at: Instant | None
    nonce: str | None

    @classmethod
    def of(cls, result: AccessResult, request: AccessRequest) -> Self:
        decision, license, agreements, now = result.decision, result.facts.license, result.facts.agreements, result.at
        seat = license.seat if license is not None else None
        return cls(
            allow=decision.allow,
            code=decision.reasons[0].code if decision.reasons else "ok",
            reasons=[ReasonOut(**reason.to_dict()) for reason in decision.reasons],
            warnings=[WarningOut(**warning.to_dict()) for warning in decision.warnings],
            product=request.product,
            requires=list(decision.requires),
            license=LicenseSummary.of(license, now) if license is not None else None,
            activation=SeatSummary(id=seat.id, lease_expires_at=seat.lease_expires_at) if seat and seat.is_live(now) else None,
            session=SessionAssurance(acr=result.acr, amr=list(result.amr)) if result.acr is not None else None,
            agreements=AgreementsSummary(
                compliant=agreements.compliant,
                outstanding=[OutstandingDocument(document=document, ordinal=ordinal) for document, ordinal in agreements.outstanding],
            ),
            grant=result.grant,
            check_again_at=decision.check_again_at,
            nonce=request.nonce,
        )
