"""`/v1/ledger` and `/v1/users/{id}/evidence`: verify the ledger, list seals, and manage the evidence of one end user."""

from typing import Annotated
from uuid import UUID

from fastapi import Depends, Response

from app.agreements.ledger import seals
from app.agreements.problems import LegalHold
from app.agreements.verification import evidence
from app.agreements.verification import service as verification
from app.agreements.verification.schemas import ErasedContextsOut, EvidenceOut, LedgerIn, LedgerVerdict, LegalHoldOut, SealOut
from app.users.problems import UserNotFound
from app.web.callers import Operator, RequireScope, TheWorld
from app.web.fields import Page
from app.web.paging import PageWindow, page_window
from app.web.problems import ScopeMissing
from app.web.routing import VERDICT, refuses
from app.web.routing import router as new_router

router = new_router("agreements")
Reader = Annotated[Operator, Depends(RequireScope("agreements:read"))]
Writer = Annotated[Operator, Depends(RequireScope("agreements:write"))]
EVERYTHING = LedgerIn()


@router.post("/v1/ledger/verify", openapi_extra=VERDICT, responses=refuses(ScopeMissing, UserNotFound))
async def verify_ledger(world: TheWorld, operator: Reader, body: LedgerIn = EVERYTHING) -> LedgerVerdict:
    """Verify every chain, text, state and seal, and report the first place that differs from what was written.

    The call can take minutes for millions of events; set the client's timeout accordingly.
    """
    return LedgerVerdict.of(await verification.verify_ledger(world, body.user))


@router.get("/v1/ledger/seals", responses=refuses(ScopeMissing))
async def list_seals(world: TheWorld, operator: Reader, window: Annotated[PageWindow, Depends(page_window)]) -> Page[SealOut]:
    """List the seals of the ledger, newest first. Store copies elsewhere: they reveal later changes to earlier events."""
    rows, cursor = await seals.list_seals(world, window)
    return Page(data=[SealOut.of(row) for row in rows], next_cursor=cursor)


@router.get("/v1/users/{user_id}/evidence", responses=refuses(ScopeMissing, UserNotFound))
async def get_evidence(world: TheWorld, operator: Reader, user_id: UUID, response: Response) -> EvidenceOut:
    """Return receipts, texts, proofs and keys in one signed document that can be verified offline. Reading it is recorded."""
    response.headers["Content-Disposition"] = f'attachment; filename="evidence-{user_id}.json"'
    return EvidenceOut.model_validate(await evidence.build_bundle(world, operator.actor, user_id))


@router.delete(
    "/v1/users/{user_id}/evidence/context", summary="Erase Evidence Context", responses=refuses(ScopeMissing, UserNotFound, LegalHold)
)
async def erase_context(world: TheWorld, operator: Writer, user_id: UUID) -> ErasedContextsOut:
    """Erase IP address, user agent and session of the end user's events permanently. The receipts stay and still verify."""
    return ErasedContextsOut(erased=await evidence.erase_contexts(world, operator.actor, user_id))


@router.put("/v1/users/{user_id}/evidence/legal-hold", summary="Put Under Legal Hold", responses=refuses(ScopeMissing, UserNotFound))
async def put_hold(world: TheWorld, operator: Writer, user_id: UUID) -> LegalHoldOut:
    """Put the end user's evidence under legal hold: none of it is erased until the hold is released."""
    await evidence.set_legal_hold(world, operator.actor, user_id, active=True)
    return LegalHoldOut(user=user_id, legal_hold=True)


@router.delete("/v1/users/{user_id}/evidence/legal-hold", summary="Release Legal Hold", responses=refuses(ScopeMissing, UserNotFound))
async def release_hold(world: TheWorld, operator: Writer, user_id: UUID) -> LegalHoldOut:
    """Release the legal hold on the end user's evidence."""
    await evidence.set_legal_hold(world, operator.actor, user_id, active=False)
    return LegalHoldOut(user=user_id, legal_hold=False)
