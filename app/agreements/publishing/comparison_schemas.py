"""Wire shapes of a comparison of two versions."""

from typing import Self
from uuid import UUID

from app.agreements.publishing.comparison import Comparison
from app.agreements.publishing.differences import Block, Op
from app.agreements.publishing.documents import AgreementDetails
from app.agreements.rules import VersionState
from app.db.types import AnyRow
from app.web.fields import WireModel


class SideOut(WireModel):
    """One side: which version, and the hash of its text."""

    version: UUID
    document: UUID
    ordinal: int | None
    label: str | None
    state: VersionState
    text: UUID
    sha256: str

    @classmethod
    def of(cls, whole: AgreementDetails, text: AnyRow) -> Self:
        row = whole.row
        return cls(
            version=row.id,
            document=row.document_id,
            ordinal=row.ordinal,
            label=row.label,
            state=whole.state(row),
            text=text.id,
            sha256=text.sha256,
        )


class PieceOut(WireModel):
    """`before` is null in an insertion, `after` in a deletion. Joined, either side is its text again."""

    op: Op
    before: str | None
    after: str | None


class BlockOut(PieceOut):
    """Whole lines. `words`: the pieces of a replaced passage, else empty."""

    words: list[PieceOut]

    @classmethod
    def of(cls, block: Block) -> Self:
        words = [PieceOut(op=it.op, before=it.before, after=it.after) for it in block.words]
        return cls(op=block.op, before=block.before, after=block.after, words=words)


class FieldOut(WireModel):
    """Something beside the body that differs, by the name that it has in a text."""

    field: str
    before: str | None
    after: str | None


class DiffOut(WireModel):
    """`same`: neither the body nor anything beside it differs. `unified` is the body's difference as `diff -u` tells it."""

    locale: str
    before: SideOut
    after: SideOut
    same: bool
    fields: list[FieldOut]
    body: list[BlockOut]
    unified: str

    @classmethod
    def of(cls, found: Comparison) -> Self:
        before, after = SideOut.of(*found.before), SideOut.of(*found.after)
        names = f"--- {before.version}\n+++ {after.version}\n" if found.body.unified else ""
        return cls(
            locale=found.after[1].locale,
            before=before,
            after=after,
            same=before.sha256 == after.sha256 and not found.fields,
            fields=[FieldOut(field=name, before=old, after=new) for name, old, new in found.fields],
            body=[BlockOut.of(block) for block in found.body.blocks],
            unified=names + found.body.unified,
        )
