"""`/v1/agreements`, `/v1/agreement-versions`, `/v1/agreement-texts`: publishing by operators, and the public texts."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Query, Response

from app.agreements import problems
from app.agreements.publishing import comparison, documents, texts, versions
from app.agreements.publishing.comparison_schemas import DiffOut
from app.agreements.publishing.schemas import (
    AgreementIn,
    AgreementOut,
    AgreementPatch,
    AgreementWithVersions,
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
Reader = Annotated[Operator, Depends(RequireScope("agreements:read"))]
Writer = Annotated[Operator, Depends(RequireScope("agreements:write"))]
CACHE_PERMANENTLY = "public, max-age=31536000, immutable"
SANDBOX_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; sandbox"
"""Content-Security-Policy of HTML texts: browsers run and load nothing, even if the sanitiser misses something."""
PUBLISH_NOW = PublishIn()
DRAFT_PROBLEMS = (ScopeMissing, problems.AgreementVersionNotFound, problems.AgreementVersionPublished, problems.AgreementVersionCancelled)
TEXT_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"content": {media_type: {"schema": {"type": "string"}} for media_type in texts.MEDIA_TYPES}},
    304: {"description": "The text has not changed"},
    **refuses(problems.AgreementTextNotFound, NotAcceptable),
}


class Markdown(Response):
    media_type = "text/markdown"


@router.post(
    "/v1/agreements",
    status_code=201,
    responses=refuses(
        ScopeMissing, ProductNotFound, problems.AgreementExists, problems.AgreementRegionUnknown, problems.AgreementMinorsImpossible
    ),
)
async def create_agreement(world: TheWorld, operator: Writer, body: AgreementIn, response: Response) -> AgreementWithVersions:
    """Create an agreement for a product. It has no effect until a version is published."""
    details = await documents.create_document(world, operator.actor, body.model_dump())
    response.headers["Location"] = f"/v1/agreements/{details.row.id}"
    return AgreementWithVersions.from_details(details)


@router.get("/v1/agreements", responses=refuses(ScopeMissing))
async def list_agreements(
    world: TheWorld,
    operator: Reader,
    requested: Annotated[PageWindow, Depends(page_window)],
    product: Annotated[Slug | None, Query()] = None,
) -> Page[AgreementOut]:
    """List agreements, newest first."""
    rows, cursor = await documents.list_documents(world, requested, product)
    return Page(data=[AgreementOut.model_validate(row) for row in rows], next_cursor=cursor)


@router.get("/v1/agreements/{document_id}", responses=refuses(ScopeMissing, problems.AgreementNotFound))
async def get_agreement(world: TheWorld, operator: Reader, document_id: UUID) -> AgreementWithVersions:
    """Return an agreement with its versions."""
    return AgreementWithVersions.from_details(await documents.get_document(world, document_id))


@router.patch(
    "/v1/agreements/{document_id}",
    responses=refuses(
        ScopeMissing,
        problems.AgreementNotFound,
        problems.AgreementMinorsImpossible,
        problems.AgreementDefaultLocaleFixed,
        problems.AgreementRequiredTextMissing,
    ),
)
async def change_agreement(world: TheWorld, operator: Writer, document_id: UUID, body: AgreementPatch) -> AgreementWithVersions:
    """Change properties of an agreement. The current and the scheduled version must have every language that becomes required."""
    return AgreementWithVersions.from_details(
        await documents.change_document(world, operator.actor, document_id, body.model_dump(exclude_unset=True))
    )


@router.post(
    "/v1/agreements/{document_id}/versions",
    summary="Create Draft Version",
    status_code=201,
    responses=refuses(ScopeMissing, problems.AgreementNotFound),
)
async def create_version(world: TheWorld, operator: Writer, document_id: UUID, body: VersionIn, response: Response) -> VersionOut:
    """Create a draft version. `material` requires a new acceptance, `notice` must only be shown, `editorial` requires nothing."""
    details = await versions.create_draft(world, operator.actor, document_id, body.model_dump())
    response.headers["Location"] = f"/v1/agreement-versions/{details.row.id}"
    return VersionOut.from_details(details)


@router.get(
    "/v1/agreement-versions/{version_id}",
    summary="Get Agreement Version",
    responses=refuses(ScopeMissing, problems.AgreementVersionNotFound),
)
async def get_version(world: TheWorld, operator: Reader, version_id: UUID) -> VersionOut:
    """Return a version with its texts."""
    return VersionOut.from_details(await versions.get_version(world, version_id))


@router.patch("/v1/agreement-versions/{version_id}", summary="Change Draft Version", responses=refuses(*DRAFT_PROBLEMS))
async def change_version(world: TheWorld, operator: Writer, version_id: UUID, body: VersionPatch) -> VersionOut:
    """Change the class or the label of a draft."""
    return VersionOut.from_details(await versions.change_draft(world, operator.actor, version_id, body.model_dump(exclude_unset=True)))


@router.delete("/v1/agreement-versions/{version_id}", summary="Delete Draft Version", status_code=204, responses=refuses(*DRAFT_PROBLEMS))
async def delete_version(world: TheWorld, operator: Writer, version_id: UUID) -> None:
    """Delete a draft with its texts. A published version cannot be deleted."""
    await versions.delete_draft(world, operator.actor, version_id)


@router.put(
    "/v1/agreement-versions/{version_id}/texts/{locale}",
    summary="Write Text",
    responses=refuses(
        ScopeMissing,
        problems.AgreementVersionNotFound,
        problems.AgreementTextFrozen,
        problems.AgreementChangesMissing,
        problems.AgreementVersionCancelled,
    ),
)
async def put_text(world: TheWorld, operator: Writer, version_id: UUID, locale: Locale, body: TextIn) -> TextOut:
    """Write the text in one language. A published version only accepts a new language."""
    return TextOut.model_validate(await texts.write_text(world, operator.actor, version_id, locale, body.model_dump()))


@router.post(
    "/v1/agreement-versions/{version_id}/publish",
    responses=refuses(
        *DRAFT_PROBLEMS,
        problems.AgreementFirstNotMaterial,
        problems.AgreementDefaultTextMissing,
        problems.AgreementRequiredTextMissing,
        problems.AgreementChangesMissing,
        problems.AgreementAlreadyScheduled,
        problems.AgreementDatesImpossible,
    ),
)
async def publish_version(world: TheWorld, operator: Writer, version_id: UUID, body: PublishIn = PUBLISH_NOW) -> VersionOut:
    """Freeze a version and its texts permanently. It takes effect now or at `effective_at`."""
    return VersionOut.from_details(await versions.publish_version(world, operator.actor, version_id, body.effective_at, body.grace_until))


@router.post(
    "/v1/agreement-versions/{version_id}/cancel",
    summary="Cancel Scheduled Version",
    responses=refuses(
        ScopeMissing, problems.AgreementVersionNotFound, problems.AgreementVersionNotScheduled, problems.AgreementVersionDecided
    ),
)
async def cancel_version(world: TheWorld, operator: Writer, version_id: UUID) -> VersionOut:
    """Cancel a version that is not in effect yet and that no one has decided on. Repeating it changes nothing."""
    return VersionOut.from_details(await versions.cancel_version(world, operator.actor, version_id))


@router.get(
    "/v1/agreement-versions/{version_id}/diff",
    responses=refuses(ScopeMissing, problems.AgreementVersionNotFound, problems.AgreementVersionFirst, problems.AgreementTextNotFound),
)
async def compare_versions(
    world: TheWorld,
    operator: Reader,
    version_id: UUID,
    against: Annotated[UUID | None, Query()] = None,
    locale: Annotated[Locale | None, Query()] = None,
) -> DiffOut:
    """Compare a version with `against` (absent: the previous published version) in one language (absent: the default language)."""
    return DiffOut.from_comparison(await comparison.compare_versions(world, version_id, against, locale))


@router.delete(
    "/v1/agreement-versions/{version_id}/texts/{locale}",
    summary="Delete Draft Text",
    status_code=204,
    responses=refuses(ScopeMissing, problems.AgreementVersionNotFound, problems.AgreementTextNotFound, problems.AgreementTextFrozen),
)
async def delete_text(world: TheWorld, operator: Writer, version_id: UUID, locale: Locale) -> None:
    """Delete the text in one language from a draft."""
    await texts.delete_text(world, operator.actor, version_id, locale)


@router.get("/v1/agreement-texts/{text_id}", summary="Get Agreement Text", response_class=Markdown, responses=TEXT_RESPONSES)
async def get_text(world: TheWorld, text_id: UUID, accept: Accept, if_none_match: Annotated[str | None, Header()] = None) -> Response:
    """Read a published text: its Markdown source, or the HTML or plain text rendered at publishing.

    No login is needed, and the text never changes. `ETag` is the SHA-256 of the bytes in this format.
    """
    media_type = negotiation.choose_form(accept, texts.MEDIA_TYPES)
    text = await texts.get_published(world, text_id, media_type)
    etag = f'"{text.sha256}"'
    headers = {"ETag": etag, "Cache-Control": CACHE_PERMANENTLY, "Content-Language": text.locale, "Vary": "Accept"}
    headers |= {"Content-Security-Policy": SANDBOX_POLICY} if media_type == "text/html" else {}
    is_current = negotiation.matches_etag(if_none_match, etag)
    return Response(status_code=304, headers=headers) if is_current else Response(text.body, headers=headers, media_type=media_type)
