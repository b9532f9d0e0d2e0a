"""`/v1/me/agreements`, `/v1/me/presentations`: only with the end user's own token (agreements R16)."""

from collections.abc import Mapping
from typing import Annotated
from uuid import UUID

from fastapi import Header, Query, Response

from app.agreements.acceptance import decisions, overview, presentations, withdrawal
from app.agreements.acceptance.decisions import Decision
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
from app.agreements.problems import (
    AcceptCurrentFirst,
    AgreementNotFound,
    AgreementVersionCancelled,
    AgreementVersionNotFound,
    AlreadyDecided,
    FormatNotAvailable,
    GuardianRequired,
    MinorsDenied,
    NotDecidable,
    NothingToWithdraw,
    NotWithdrawable,
    PresentationElsewhere,
    PresentationExpired,
    PresentationNotFound,
    RequiredLocaleNotPresented,
    TextMismatch,
)
from app.catalog.problems import ProductNotFound
from app.web.callers import TheOrigin, TheSubject, TheWorld
from app.web.fields import Locale, Slug
from app.web.problems import SubjectTokenRequired
from app.web.routing import refuses
from app.web.routing import router as new_router

router = new_router("agreements")
AcceptLanguage = Annotated[str | None, Header()]
WORDS: Mapping[str, EventType] = {"accept": EventType.ACCEPTED, "decline": EventType.DECLINED}
STATUS: Mapping[str, int] = {"created": 201, "replayed": 200, "already_accepted": 200}


@router.get("/v1/me/agreements", responses=refuses(SubjectTokenRequired, ProductNotFound))
async def my_agreements(
    world: TheWorld,
    subject: TheSubject,
    product: Annotated[Slug, Query()],
    locale: Annotated[Locale | None, Query()] = None,
    accept_language: AcceptLanguage = None,
) -> MyAgreements:
    """What a product asks you to agree to, where you stand with it, and the text in your language."""
    return MyAgreements.of(*await overview.list_agreements(world, subject.id, product, LanguageRequest(locale, accept_language)))


@router.post(
    "/v1/me/agreements/{document_id}/presentations",
    status_code=201,
    responses=refuses(SubjectTokenRequired, AgreementNotFound, AgreementVersionNotFound, AgreementVersionCancelled, FormatNotAvailable),
)
async def present(
    world: TheWorld, subject: TheSubject, origin: TheOrigin, document_id: UUID, body: PresentationIn, accept_language: AcceptLanguage = None
) -> PresentationOut:
    """Have the text shown, once: the decision must name this presentation while it lives. News is noted as shown by this."""
    wish = LanguageRequest(body.locale, accept_language)
    screen = body.model_dump(exclude={"locale", "version"})
    return PresentationOut.of(await presentations.present(world, subject, origin, document_id, body.version, wish, screen))


@router.patch(
    "/v1/me/presentations/{presentation_id}",
    responses=refuses(SubjectTokenRequired, PresentationNotFound, AlreadyDecided, PresentationExpired),
)
async def claim(world: TheWorld, subject: TheSubject, presentation_id: UUID, body: ClaimsIn) -> PresentationState:
    """Note how the text is being read. A claim of the client, kept as such."""
    return PresentationState.model_validate(
        await presentations.record_reading(world, subject, presentation_id, body.scrolled_to_end, body.dwell_ms)
    )


@router.post(
    "/v1/me/presentations/{presentation_id}/decision",
    status_code=201,
    responses={
        200: {"model": DecisionOut, "description": "`replayed` or `already_accepted`: the earlier event stands"},
        **refuses(
            SubjectTokenRequired,
            GuardianRequired,
            MinorsDenied,
            PresentationNotFound,
            TextMismatch,
            AlreadyDecided,
            PresentationElsewhere,
            PresentationExpired,
            AgreementVersionCancelled,
            NotDecidable,
            AcceptCurrentFirst,
            RequiredLocaleNotPresented,
        ),
    },
)
async def decide(
    world: TheWorld, subject: TheSubject, origin: TheOrigin, presentation_id: UUID, body: DecisionIn, response: Response
) -> DecisionOut:
    """Accept or decline what was shown. The receipt is signed, and chained to the one before it."""
    decision = Decision(WORDS[body.decision], body.text_sha256, body.claims.told())
    outcome = await decisions.decide(world, subject, origin, presentation_id, decision)
    response.status_code = STATUS[outcome.result]
    return DecisionOut.of(outcome)


@router.post(
    "/v1/me/agreements/{document_id}/withdrawal",
    status_code=201,
    responses={
        200: {"model": WithdrawalOut, "description": "`replayed`: it was withdrawn before, and not accepted since"},
        **refuses(SubjectTokenRequired, AgreementNotFound, NotWithdrawable, NothingToWithdraw),
    },
)
async def withdraw(world: TheWorld, subject: TheSubject, origin: TheOrigin, document_id: UUID, response: Response) -> WithdrawalOut:
    """End the agreement from now on. What was agreed until now stays on record; it can be accepted again."""
    outcome = await withdrawal.withdraw(world, subject, origin, document_id)
    response.status_code = STATUS[outcome.result]
    return WithdrawalOut.of(outcome)
