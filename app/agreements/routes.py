"""`/v1/agreements`, `/v1/agreement-versions`, `/v1/agreement-texts`: what the operator publishes, and the public texts."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Response

from app.agreements import documents, ledger_routes, me_routes, receipt_routes
from app.agreements.problems import (
    AgreementAlreadyScheduled,
    AgreementChangesMissing,
    AgreementDatesImpossible,
    AgreementDefaultTextMissing,
    AgreementExists,
    AgreementFirstNotMaterial,
    AgreementNotFound,
    AgreementTextFrozen,
    AgreementTextNotFound,
    AgreementVersionNotFound,
    AgreementVersionPublished,
)
from app.agreements.schemas import AgreementIn, AgreementOut, AgreementWhole, PublishIn, TextIn, TextOut, VersionIn, VersionOut
from app.catalog.problems import ProductNotFound
from app.web.callers import Operates, Operator, TheWorld
from app.web.paging import Window, window
from app.web.problems import ScopeMissing
from app.web.routing import refuses
from app.web.routing import router as new_router
from app.web.shapes import Locale, Page, Slug

router: APIRouter = new_router("agreements")
Reads = Annotated[Operator, Depends(Operates("agreements:read"))]
Writes = Annotated[Operator, Depends(Operates("agreements:write"))]
FOR_EVER = "public, max-age=31536000, immutable"
AT_ONCE = PublishIn()


class Markdown(Response):
    media_type = "text/markdown"


@router.post("/v1/agreements", status_code=201, responses=refuses(ScopeMissing, ProductNotFound, AgreementExists))
async def create_agreement(world: TheWorld, by: Writes, body: AgreementIn, response: Response) -> AgreementWhole:
    """Declare what a product asks its end users to agree to. It asks for nothing until a version is published."""
    made = await documents.create(world, by.actor, body.model_dump())
    response.headers["Location"] = f"/v1/agreements/{made.row.id}"
    return AgreementWhole.whole(made)


@router.get("/v1/agreements", responses=refuses(ScopeMissing))
async def list_agreements(
    world: TheWorld, by: Reads, wanted: Annotated[Window, Depends(window)], product: Annotated[Slug | None, Query()] = None
) -> Page[AgreementOut]:
    rows, cursor = await documents.documents(world, wanted, product)
    return Page(data=[AgreementOut.model_validate(row) for row in rows], next_cursor=cursor)


@router.get("/v1/agreements/{document_id}", responses=refuses(ScopeMissing, AgreementNotFound))
async def get_agreement(world: TheWorld, by: Reads, document_id: UUID) -> AgreementWhole:
    return AgreementWhole.whole(await documents.document(world, document_id))


@router.post("/v1/agreements/{document_id}/versions", status_code=201, responses=refuses(ScopeMissing, AgreementNotFound))
async def create_version(world: TheWorld, by: Writes, document_id: UUID, body: VersionIn, response: Response) -> VersionOut:
    """Draft a version. `material` asks everyone again, `notice` informs, `editorial` does neither."""
    made = await documents.draft(world, by.actor, document_id, body.model_dump())
    response.headers["Location"] = f"/v1/agreement-versions/{made.row.id}"
    return VersionOut.whole(made)


@router.get("/v1/agreement-versions/{version_id}", responses=refuses(ScopeMissing, AgreementVersionNotFound))
async def get_version(world: TheWorld, by: Reads, version_id: UUID) -> VersionOut:
    return VersionOut.whole(await documents.version(world, version_id))


@router.put(
    "/v1/agreement-versions/{version_id}/texts/{locale}",
    responses=refuses(ScopeMissing, AgreementVersionNotFound, AgreementTextFrozen, AgreementChangesMissing),
)
async def put_text(world: TheWorld, by: Writes, version_id: UUID, locale: Locale, body: TextIn) -> TextOut:
    """Write one language: freely in a draft; a published version only takes a language that it lacks."""
    return TextOut.model_validate(await documents.write_text(world, by.actor, version_id, locale, body.model_dump()))


@router.post(
    "/v1/agreement-versions/{version_id}/publish",
    responses=refuses(
        ScopeMissing,
        AgreementVersionNotFound,
        AgreementVersionPublished,
        AgreementFirstNotMaterial,
        AgreementDefaultTextMissing,
        AgreementChangesMissing,
        AgreementAlreadyScheduled,
        AgreementDatesImpossible,
    ),
)
async def publish_version(world: TheWorld, by: Writes, version_id: UUID, body: PublishIn = AT_ONCE) -> VersionOut:
    """Freeze a version and its texts for ever, and put it in force now or at `effective_at`."""
    return VersionOut.whole(await documents.publish(world, by.actor, version_id, body.effective_at, body.grace_until))


@router.get(
    "/v1/agreement-texts/{text_id}",
    response_class=Markdown,
    responses={304: {"description": "The text that you have is this one"}, **refuses(AgreementTextNotFound)},
)
async def get_text(world: TheWorld, text_id: UUID, if_none_match: Annotated[str | None, Header()] = None) -> Response:
    """A published text, byte for byte as its hash was taken. For everybody, without accepting anything; it never changes."""
    text = await documents.public_text(world, text_id)
    etag = f'"{text.sha256}"'
    headers = {"ETag": etag, "Cache-Control": FOR_EVER, "Content-Language": text.locale, "Vary": "Accept"}
    return Response(status_code=304, headers=headers) if _has(if_none_match, etag) else Markdown(text.body, headers=headers)


def _has(if_none_match: str | None, etag: str) -> bool:
    """Weak comparison, as RFC 9110 section 13.1.2 wants it here."""
    told = {tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")}
    return bool(told & {"*", etag})


router.include_router(me_routes.router)
router.include_router(receipt_routes.router)
router.include_router(ledger_routes.router)
