"""`/v1/me/receipts`, `/v1/receipts/verify`, `/v1/agreement-events/{id}`: read and verify receipts, and annotate events."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends, Response

from app.agreements.ledger import receipt_pages, receipts, seals
from app.agreements.ledger.receipt_schemas import (
    AnnotationIn,
    AnnotationOut,
    EventOut,
    InclusionOut,
    ReceiptDetails,
    ReceiptIn,
    ReceiptOut,
    ReceiptVerdict,
)
from app.agreements.problems import AgreementEventNotFound, LedgerSealBroken, NotSealedYet, ReceiptNotFound
from app.users.problems import UserErased
from app.web.callers import Operator, RequireScope, TheSubject, TheWorld
from app.web.fields import Page
from app.web.negotiation import Accept, choose_form
from app.web.paging import PageWindow, page_window
from app.web.problems import NotAcceptable, ScopeMissing, SubjectTokenRequired
from app.web.routing import VERDICT, refuses
from app.web.routing import router as new_router

router = new_router("agreements")
Reader = Annotated[Operator, Depends(RequireScope("agreements:read"))]
Writer = Annotated[Operator, Depends(RequireScope("agreements:write"))]
JSON = "application/json"
_TEXT: dict[str, Any] = {"schema": {"type": "string"}}
FORMS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The receipt, in the format of the `Accept` header", "content": dict.fromkeys(receipt_pages.FORMS, _TEXT)}
}


@router.get("/v1/me/receipts", summary="List My Receipts", responses=refuses(SubjectTokenRequired))
async def my_receipts(world: TheWorld, subject: TheSubject, window: Annotated[PageWindow, Depends(page_window)]) -> Page[ReceiptOut]:
    """List the end user's receipts (accepted, declined, withdrawn, shown), newest first."""
    rows, cursor = await receipts.list_receipts(world, subject, window)
    return Page(data=[ReceiptOut.model_validate(row) for row in rows], next_cursor=cursor)


@router.get(
    "/v1/me/receipts/{event_id}",
    summary="Get My Receipt",
    response_model=ReceiptDetails,
    responses={**FORMS, **refuses(SubjectTokenRequired, ReceiptNotFound, NotAcceptable)},
)
async def my_receipt(world: TheWorld, subject: TheSubject, event_id: UUID, accept: Accept) -> ReceiptDetails | Response:
    """Return one receipt: as JSON with its text, as the JWS alone (`application/jwt`), or as a text or HTML page to print."""
    form = choose_form(accept, (JSON, *receipt_pages.FORMS))
    receipt = await receipts.get_receipt(world, subject, event_id)
    return ReceiptDetails.of(receipt) if form == JSON else _page_response(form, receipt)


def _page_response(form: str, receipt: receipts.Receipt) -> Response:
    rendered = receipt_pages.render_receipt(form, receipt)
    headers = {"Content-Language": rendered.language, "Vary": "Accept", **rendered.headers}
    return Response(rendered.body, media_type=form, headers=headers)


@router.get(
    "/v1/me/receipts/{event_id}/inclusion",
    summary="Get Inclusion Proof of My Receipt",
    responses=refuses(SubjectTokenRequired, ReceiptNotFound, NotSealedYet, LedgerSealBroken),
)
async def my_inclusion(world: TheWorld, subject: TheSubject, event_id: UUID) -> InclusionOut:
    """Return the proof that a seal includes the receipt: it existed, unchanged, when the seal was signed."""
    return InclusionOut.of(await seals.prove_own_inclusion(world, subject, event_id))


@router.post("/v1/receipts/verify", openapi_extra=VERDICT)
async def verify_receipt(world: TheWorld, body: ReceiptIn) -> ReceiptVerdict:
    """Verify a receipt, without credentials. The answer is 200 for every receipt; see `valid` and `code`."""
    return ReceiptVerdict.of(await receipts.verify_receipt(world, body.receipt))


@router.get("/v1/agreement-events/{event_id}", summary="Get Agreement Event", responses=refuses(ScopeMissing, AgreementEventNotFound))
async def get_event(world: TheWorld, operator: Reader, event_id: UUID) -> EventOut:
    """Return an event with its context and annotations. Reading the IP address and user agent is recorded."""
    return EventOut.of_record(await receipts.get_event(world, operator.actor, event_id))


@router.get(
    "/v1/agreement-events/{event_id}/inclusion",
    summary="Get Inclusion Proof of Event",
    responses=refuses(ScopeMissing, AgreementEventNotFound, NotSealedYet, LedgerSealBroken),
)
async def get_inclusion(world: TheWorld, operator: Reader, event_id: UUID) -> InclusionOut:
    """Return the proof that a seal includes the receipt of an event."""
    return InclusionOut.of(await seals.prove_inclusion(world, event_id))


@router.post(
    "/v1/agreement-events/{event_id}/annotations",
    summary="Annotate Agreement Event",
    status_code=201,
    responses=refuses(ScopeMissing, AgreementEventNotFound, UserErased),
)
async def annotate(world: TheWorld, operator: Writer, event_id: UUID, body: AnnotationIn) -> AnnotationOut:
    """Add a correction to an event: a signed note in the same chain, which changes no state."""
    return AnnotationOut.of(await receipts.annotate_event(world, operator.actor, event_id, body.reason))
