"""`/v1/agreements`, `/v1/agreement-versions`, `/v1/agreement-texts`: what the operator publishes, and the public texts."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Response

from app.agreements.problems import (
    AgreementAlreadyScheduled,
    AgreementChangesMissing,
    AgreementDatesImpossible,
    AgreementDefaultLocaleFixed,
    AgreementDefaultTextMissing,
    AgreementExists,
    AgreementFirstNotMaterial,
    AgreementMinorsImpossible,
    AgreementNotFound,
    AgreementRegionUnknown,
    AgreementRequiredTextMissing,
    AgreementTextFrozen,
    AgreementTextNotFound,
    AgreementVersionCancelled,
    AgreementVersionDecided,
    AgreementVersionFirst,
    AgreementVersionNotFound,
    AgreementVersionNotScheduled,
    AgreementVersionPublished,
)
from app.agreements.publishing import comparison, documents, texts, versions
from app.agreements.publishing.comparison_schemas import DiffOut
from app.agreements.publishing.schemas import (
    AgreementIn,
    AgreementOut,
    AgreementPatch,
    AgreementWhole,
    PublishIn,
    TextIn,
    TextOut,
    VersionIn,
    VersionOut,
    VersionPatch,
)
from app.catalog.problems import ProductNotFound
from app.web import negotiation
from app.web.callers import Operator, RequireScope, TheWorld
from app.web.fields import Locale, Page, Slug
from app.web.negotiation import Accept
from app.web.paging import PageWindow, page_window
from app.web.problems import NotAcceptable, ScopeMissing
from app.web.routing import refuses
from app.web.routing import router as new_router

router: APIRouter = new_router("agreements")
Reads = Annotated[Operator, Depends(RequireScope("agreements:read"))]
Writes = Annotated[Operator, Depends(RequireScope("agreements:write"))]
FOR_EVER = "public, max-age=31536000, immutable"
INERT = "default-src 'none'; base-uri 'none'; form-action 'none'; sandbox"
"""The policy of a text as HTML: should the sanitiser ever miss something, no browser runs or loads it."""
AT_ONCE = PublishIn()
DRAFT = (ScopeMissing, AgreementVersionNotFound, AgreementVersionPublished, AgreementVersionCancelled)
TEXT: dict[int | str, dict[str, Any]] = {
    200: {"content": {form: {"schema": {"type": "string"}} for form in texts.MEDIA_TYPES}},
    304: {"description": "The text that you have is this one"},
    **refuses(AgreementTextNotFound, NotAcceptable),
}


class Markdown(Response):
    media_type = "text/markdown"


@router.post(
    "/v1/agreements",
    status_code=201,
    responses=refuses(ScopeMissing, ProductNotFound, AgreementExists, AgreementRegionUnknown, AgreementMinorsImpossible),
)
async def create_agreement(world: TheWorld, operator: Writes, body: AgreementIn, response: Response) -> AgreementWhole:
    """Declare what a product asks its end users to agree to. It asks for nothing until a version is published."""
    made = await documents.create(world, operator.actor, body.model_dump())
    response.headers["Location"] = f"/v1/agreements/{made.row.id}"
    return AgreementWhole.whole(made)


@router.get("/v1/agreements", responses=refuses(ScopeMissing))
async def list_agreements(
    world: TheWorld, operator: Reads, wanted: Annotated[PageWindow, Depends(page_window)], product: Annotated[Slug | None, Query()] = None
) -> Page[AgreementOut]:
    rows, cursor = await documents.list_documents(world, wanted, product)
    return Page(data=[AgreementOut.model_validate(row) for row in rows], next_cursor=cursor)


@router.get("/v1/agreements/{document_id}", responses=refuses(ScopeMissing, AgreementNotFound))
async def get_agreement(world: TheWorld, operator: Reads, document_id: UUID) -> AgreementWhole:
    return AgreementWhole.whole(await documents.get_document(world, document_id))


@router.patch(
    "/v1/agreements/{document_id}",
    responses=refuses(
        ScopeMissing, AgreementNotFound, AgreementMinorsImpossible, AgreementDefaultLocaleFixed, AgreementRequiredTextMissing
    ),
)
async def change_agreement(world: TheWorld, operator: Writes, document_id: UUID, body: AgreementPatch) -> AgreementWhole:
    """Change what is no part of any version. A language that becomes required must be there in every version that can be shown."""
    return AgreementWhole.whole(await documents.change(world, operator.actor, document_id, body.model_dump(exclude_unset=True)))


@router.post("/v1/agreements/{document_id}/versions", status_code=201, responses=refuses(ScopeMissing, AgreementNotFound))
async def create_version(world: TheWorld, operator: Writes, document_id: UUID, body: VersionIn, response: Response) -> VersionOut:
    """Draft a version. `material` asks everyone again, `notice` informs, `editorial` does neither."""
    made = await versions.create_draft(world, operator.actor, document_id, body.model_dump())
    response.headers["Location"] = f"/v1/agreement-versions/{made.row.id}"
    return VersionOut.whole(made)


@router.get("/v1/agreement-versions/{version_id}", responses=refuses(ScopeMissing, AgreementVersionNotFound))
async def get_version(world: TheWorld, operator: Reads, version_id: UUID) -> VersionOut:
    return VersionOut.whole(await versions.get_version(world, version_id))


@router.patch("/v1/agreement-versions/{version_id}", responses=refuses(*DRAFT))
async def change_version(world: TheWorld, operator: Writes, version_id: UUID, body: VersionPatch) -> VersionOut:
    """Change the class or the label of a draft."""
    return VersionOut.whole(await versions.change(world, operator.actor, version_id, body.model_dump(exclude_unset=True)))


@router.delete("/v1/agreement-versions/{version_id}", status_code=204, responses=refuses(*DRAFT))
async def delete_version(world: TheWorld, operator: Writes, version_id: UUID) -> None:
    """Delete a draft with its texts. What was ever published stays."""
    await versions.discard(world, operator.actor, version_id)


@router.put(
    "/v1/agreement-versions/{version_id}/texts/{locale}",
    responses=refuses(ScopeMissing, AgreementVersionNotFound, AgreementTextFrozen, AgreementChangesMissing, AgreementVersionCancelled),
)
async def put_text(world: TheWorld, operator: Writes, version_id: UUID, locale: Locale, body: TextIn) -> TextOut:
    """Write one language: freely in a draft; a published version only takes a language that it lacks."""
    return TextOut.model_validate(await texts.write(world, operator.actor, version_id, locale, body.model_dump()))


@router.post(
    "/v1/agreement-versions/{version_id}/publish",
    responses=refuses(
        *DRAFT,
        AgreementFirstNotMaterial,
        AgreementDefaultTextMissing,
        AgreementRequiredTextMissing,
        AgreementChangesMissing,
        AgreementAlreadyScheduled,
        AgreementDatesImpossible,
    ),
)
async def publish_version(world: TheWorld, operator: Writes, version_id: UUID, body: PublishIn = AT_ONCE) -> VersionOut:
    """Freeze a version and its texts for ever, and put it in force now or at `effective_at`."""
    return VersionOut.whole(await versions.publish(world, operator.actor, version_id, body.effective_at, body.grace_until))


@router.post(
    "/v1/agreement-versions/{version_id}/cancel",
    responses=refuses(ScopeMissing, AgreementVersionNotFound, AgreementVersionNotScheduled, AgreementVersionDecided),
)
async def cancel_version(world: TheWorld, operator: Writes, version_id: UUID) -> VersionOut:
    """Take back a version that is not in effect yet and that nobody decided on. Doing it again changes nothing."""
    return VersionOut.whole(await versions.cancel(world, operator.actor, version_id))


@router.get(
    "/v1/agreement-versions/{version_id}/diff",
    responses=refuses(ScopeMissing, AgreementVersionNotFound, AgreementVersionFirst, AgreementTextNotFound),
)
async def compare_versions(
    world: TheWorld,
    operator: Reads,
    version_id: UUID,
    against: Annotated[UUID | None, Query()] = None,
    locale: Annotated[Locale | None, Query()] = None,
) -> DiffOut:
    """What changed since `against` (absent: the published version before this one) in one language (absent: the default one)."""
    return DiffOut.of(await comparison.compare(world, version_id, against, locale))


@router.delete(
    "/v1/agreement-versions/{version_id}/texts/{locale}",
    status_code=204,
    responses=refuses(ScopeMissing, AgreementVersionNotFound, AgreementTextNotFound, AgreementTextFrozen),
)
async def delete_text(world: TheWorld, operator: Writes, version_id: UUID, locale: Locale) -> None:
    """Delete one language of a draft."""
    await texts.discard(world, operator.actor, version_id, locale)


@router.get("/v1/agreement-texts/{text_id}", response_class=Markdown, responses=TEXT)
async def get_text(world: TheWorld, text_id: UUID, accept: Accept, if_none_match: Annotated[str | None, Header()] = None) -> Response:
    """A published text, byte for byte as its hash was taken: its Markdown source, or the HTML or plain text made of it at publish.

    For everybody, without accepting anything; it never changes. `ETag` is the SHA-256 of the bytes of this form.
    """
    form = negotiation.choose_form(accept, texts.MEDIA_TYPES)
    text = await texts.get_published(world, text_id, form)
    etag = f'"{text.sha256}"'
    headers = {"ETag": etag, "Cache-Control": FOR_EVER, "Content-Language": text.locale, "Vary": "Accept"}
    headers |= {"Content-Security-Policy": INERT} if form == "text/html" else {}
    known = negotiation.matches_etag(if_none_match, etag)
    return Response(status_code=304, headers=headers) if known else Response(text.body, headers=headers, media_type=form)
