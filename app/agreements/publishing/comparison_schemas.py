"""Wire models of a comparison of two versions."""

from typing import Self
from uuid import UUID

from app.agreements.publishing.comparison import Comparison
from app.agreements.publishing.differences import Block, Op
from app.agreements.publishing.documents import AgreementDetails
from app.agreements.rules import VersionState
from app.db.types import AnyRow
from app.web.fields import WireModel


class SideOut(WireModel):
    """One side of the comparison: the version, and the hash of its text."""

    version: UUID
    document: UUID
    ordinal: int | None
    label: str | None
    state: VersionState
    text: UUID
    sha256: str

    @classmethod
    def from_text(cls, details: AgreementDetails, text: AnyRow) -> Self:
        row = details.row
        return cls(
            version=row.id,
            document=row.document_id,
            ordinal=row.ordinal,
            label=row.label,
            state=details.state(row),
            text=text.id,
            sha256=text.sha256,
        )


class PieceOut(WireModel):
    """A passage. `before` is null in an insertion, `after` in a deletion. The joined pieces of one side are its text."""

    op: Op
    before: str | None
    after: str | None


class BlockOut(PieceOut):
    """A passage of whole lines. `words`: the pieces of a replaced passage, otherwise empty."""

    words: list[PieceOut]

    @classmethod
    def from_block(cls, block: Block) -> Self:
        words = [PieceOut(op=word.op, before=word.before, after=word.after) for word in block.words]
        return cls(op=block.op, before=block.before, after=block.after, words=words)


class FieldOut(WireModel):
    """A field other than the body that differs."""

    field: str
    before: str | None
    after: str | None


class DiffOut(WireModel):
    """The differences of two versions. `same`: body and fields are equal. `unified`: the body's differences in the format of `diff -u`."""

    locale: str
    before: SideOut
    after: SideOut
    same: bool
    fields: list[FieldOut]
    body: list[BlockOut]
    unified: str

    @classmethod
    def from_comparison(cls, comparison: Comparison) -> Self:
        before, after = SideOut.from_text(*comparison.before), SideOut.from_text(*comparison.after)
        names = f"--- {before.version}\n+++ {after.version}\n" if comparison.body.unified else ""
        return cls(
            locale=comparison.after[1].locale,
            before=before,
            after=after,
            same=before.sha256 == after.sha256 and not comparison.fields,
            fields=[FieldOut(field=name, before=old, after=new) for name, old, new in comparison.fields],
            body=[BlockOut.from_block(block) for block in comparison.body.blocks],
            unified=names + comparison.body.unified,
        )
