"""`/v1/ledger` and `/v1/users/{id}/evidence`: whether the record is whole, and the proof of what one end user agreed to."""

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
Reads = Annotated[Operator, Depends(RequireScope("agreements:read"))]
Writes = Annotated[Operator, Depends(RequireScope("agreements:write"))]
EVERYTHING = LedgerIn()


@router.post("/v1/ledger/verify", openapi_extra=VERDICT, responses=refuses(ScopeMissing, UserNotFound))
async def verify_ledger(world: TheWorld, operator: Reads, body: LedgerIn = EVERYTHING) -> LedgerVerdict:
    """Read every chain, text, state and seal with suspicion, and name the first place that is not as it was written.

    The answer comes when all is read: minutes for millions of events.
    """
    return LedgerVerdict.of(await verification.verify(world, body.user))


@router.get("/v1/ledger/seals", responses=refuses(ScopeMissing))
async def list_seals(world: TheWorld, operator: Reads, wanted: Annotated[PageWindow, Depends(page_window)]) -> Page[SealOut]:
    """The seals, the latest first. Whoever keeps one elsewhere can tell later whether anything before it was touched."""
    rows, cursor = await seals.list_seals(world, wanted)
    return Page(data=[SealOut.of(row) for row in rows], next_cursor=cursor)


@router.get("/v1/users/{user_id}/evidence", responses=refuses(ScopeMissing, UserNotFound))
async def get_evidence(world: TheWorld, operator: Reads, user_id: UUID, response: Response) -> EvidenceOut:
    """Receipts, texts, proofs and keys in one signed document that can be checked without us. Who read it is recorded."""
    response.headers["Content-Disposition"] = f'attachment; filename="evidence-{user_id}.json"'
    return EvidenceOut.model_validate(await evidence.build_bundle(world, operator.actor, user_id))


@router.delete("/v1/users/{user_id}/evidence/context", responses=refuses(ScopeMissing, UserNotFound, LegalHold))
async def erase_context(world: TheWorld, operator: Writes, user_id: UUID) -> ErasedContextsOut:
    """Erase for ever where the end user's acts came from: address, user agent, session. The receipts stay, and verify as before."""
    return ErasedContextsOut(erased=await evidence.erase_contexts(world, operator.actor, user_id))


@router.put("/v1/users/{user_id}/evidence/legal-hold", responses=refuses(ScopeMissing, UserNotFound))
async def put_hold(world: TheWorld, operator: Writes, user_id: UUID) -> LegalHoldOut:
    """Let nothing of the end user's evidence be erased until the hold is released."""
    await evidence.set_legal_hold(world, operator.actor, user_id, held=True)
    return LegalHoldOut(user=user_id, legal_hold=True)


@router.delete("/v1/users/{user_id}/evidence/legal-hold", responses=refuses(ScopeMissing, UserNotFound))
async def release_hold(world: TheWorld, operator: Writes, user_id: UUID) -> LegalHoldOut:
    await evidence.set_legal_hold(world, operator.actor, user_id, held=False)
    return LegalHoldOut(user=user_id, legal_hold=False)
