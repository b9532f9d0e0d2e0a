"""`/v1/me/agreements`, `/v1/me/presentations`: with the end user's own token only (agreements R16)."""

from collections.abc import Mapping
from typing import Annotated
from uuid import UUID

from fastapi import Header, Query, Response

from app.agreements import problems
from app.agreements.acceptance import decisions, overview, presentations, withdrawal
from app.agreements.acceptance.decisions import UserDecision
from app.agreements.acceptance.overview import LanguageRequest
from app.agreements.acceptance.schemas import (
    ClaimsIn,
    DecisionIn,
    DecisionOut,
    MyAgreements,
    PresentationIn,
    PresentationOut,
    PresentationState,
    WithdrawalOut,
)
from app.agreements.models import EventType
from app.catalog.problems import ProductNotFound
from app.web.callers import TheOrigin, TheSubject, TheWorld
from app.web.fields import Locale, Slug
from app.web.problems import SubjectTokenRequired
from app.web.routing import refuses
from app.web.routing import router as new_router

router = new_router("agreements")
AcceptLanguage = Annotated[str | None, Header()]
EVENT_TYPES: Mapping[str, EventType] = {"accept": EventType.ACCEPTED, "decline": EventType.DECLINED}
STATUS: Mapping[str, int] = {"created": 201, "replayed": 200, "already_accepted": 200}


@router.get("/v1/me/agreements", summary="List My Agreements", responses=refuses(SubjectTokenRequired, ProductNotFound))
async def my_agreements(
    world: TheWorld,
    subject: TheSubject,
    product: Annotated[Slug, Query()],
    locale: Annotated[Locale | None, Query()] = None,
    accept_language: AcceptLanguage = None,
) -> MyAgreements:
    """List the agreements of a product with the end user's status and the text in the preferred language."""
    return MyAgreements.from_agreements(
        *await overview.list_agreements(world, subject.id, product, LanguageRequest(locale, accept_language))
    )


@router.post(
    "/v1/me/agreements/{document_id}/presentations",
    summary="Start Presentation",
    status_code=201,
    responses=refuses(
        SubjectTokenRequired,
        problems.AgreementNotFound,
        problems.AgreementVersionNotFound,
        problems.AgreementVersionCancelled,
        problems.FormatNotAvailable,
    ),
)
async def present(
    world: TheWorld, subject: TheSubject, origin: TheOrigin, document_id: UUID, body: PresentationIn, accept_language: AcceptLanguage = None
) -> PresentationOut:
    """Get the text to show, and start a presentation. Send the decision for it before it expires. A notice counts as shown."""
    languages = LanguageRequest(body.locale, accept_language)
    screen = body.model_dump(exclude={"locale", "version"})
    return PresentationOut.from_presentation(
        await presentations.start_presentation(world, subject, origin, document_id, body.version, languages, screen)
    )


@router.patch(
    "/v1/me/presentations/{presentation_id}",
    responses=refuses(SubjectTokenRequired, problems.PresentationNotFound, problems.AlreadyDecided, problems.PresentationExpired),
)
async def update_presentation(world: TheWorld, subject: TheSubject, presentation_id: UUID, body: ClaimsIn) -> PresentationState:
    """Report how the end user reads the text. The server stores these values without checking them."""
    return PresentationState.model_validate(
        await presentations.record_reading(world, subject, presentation_id, body.scrolled_to_end, body.dwell_ms)
    )


@router.post(
    "/v1/me/presentations/{presentation_id}/decision",
    summary="Accept or Decline",
    status_code=201,
    responses={
        200: {"model": DecisionOut, "description": "`replayed` or `already_accepted`: the earlier event counts"},
        **refuses(
            SubjectTokenRequired,
            problems.GuardianRequired,
            problems.MinorsDenied,
            problems.PresentationNotFound,
            problems.TextMismatch,
            problems.AlreadyDecided,
            problems.PresentationElsewhere,
            problems.PresentationExpired,
            problems.AgreementVersionCancelled,
            problems.NotDecidable,
            problems.AcceptCurrentFirst,
            problems.RequiredLocaleNotPresented,
        ),
    },
)
async def decide(
    world: TheWorld, subject: TheSubject, origin: TheOrigin, presentation_id: UUID, body: DecisionIn, response: Response
) -> DecisionOut:
    """Accept or decline the presented text. The receipt is signed and chained to the previous one."""
    decision = UserDecision(EVENT_TYPES[body.decision], body.text_sha256, body.claims.as_claims())
    outcome = await decisions.record_decision(world, subject, origin, presentation_id, decision)
    response.status_code = STATUS[outcome.result]
    return DecisionOut.from_outcome(outcome)


@router.post(
    "/v1/me/agreements/{document_id}/withdrawal",
    summary="Withdraw Acceptance",
    status_code=201,
    responses={
        200: {"model": WithdrawalOut, "description": "`replayed`: already withdrawn, and not accepted since"},
        **refuses(SubjectTokenRequired, problems.AgreementNotFound, problems.NotWithdrawable, problems.NothingToWithdraw),
    },
)
async def withdraw(world: TheWorld, subject: TheSubject, origin: TheOrigin, document_id: UUID, response: Response) -> WithdrawalOut:
    """Withdraw the acceptance of an agreement from now on. Earlier receipts stay; the end user can accept it again."""
    outcome = await withdrawal.record_withdrawal(world, subject, origin, document_id)
    response.status_code = STATUS[outcome.result]
    return WithdrawalOut.from_outcome(outcome)
