"""Every event type that the program records is declared with a description, and every declared type is recorded."""

import ast
import re
from collections.abc import Iterator, Sequence

import pytest

from app.agreements.models import EventType
from app.events.kinds import KINDS, is_known, match_kinds, matches_kind
from tests.house.source import Source, program

SHAPE = re.compile(r"[a-z_]+\.[a-z_]+")
DECISIONS = {f"agreement.{type_}" for type_ in EventType}
"""All values of the one type that is composed (agreements/acceptance/decisions.py)."""


def find_records(source: Source) -> Iterator[ast.expr]:
    """Yield the expressions that are passed to `record` as the type."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "record" and len(node.args) > 2:
            yield node.args[2]


def possible_types(kind: ast.expr, source: Source) -> set[str]:
    """Return the types the expression can have; for a name, every text of the file that looks like a type. Raises ValueError."""
    match kind:
        case ast.Constant(value=str(text)):
            return {text}
        case ast.IfExp(body=body, orelse=orelse):
            return possible_types(body, source) | possible_types(orelse, source)
        case ast.JoinedStr(values=[ast.Constant(value="agreement."), ast.FormattedValue()]):
            return DECISIONS
        case ast.Name():
            constants = {node.value for node in ast.walk(source.tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
            return {text for text in constants if SHAPE.fullmatch(text)}
    raise ValueError(f"{source.path}: {ast.unparse(kind)} is not a type that this test can read")


def find_undeclared(sources: Sequence[Source]) -> set[str]:
    return {kind for source in sources for each in find_records(source) for kind in possible_types(each, source)} - set(KINDS)


def test_every_recorded_type_is_declared() -> None:
    assert find_undeclared(program()) == set()


@pytest.mark.parametrize(
    "text",
    [
        "await record(tx, world, 'license.eaten', by, about)",
        "await record(tx, world, 'license.issued' if new else 'license.eaten', by, about)",
        "event = 'license.eaten'\nawait record(tx, world, event, by, about)",
    ],
)
def test_an_undeclared_type_is_found(text: str) -> None:
    assert find_undeclared([Source.of("app/licenses/issuing/service.py", text)]) == {"license.eaten"}


def test_a_type_that_cannot_be_read_is_found() -> None:
    with pytest.raises(ValueError, match="not a type"):
        find_undeclared([Source.of("app/licenses/issuing/service.py", "await record(tx, world, f'license.{word}', by, about)")])


def test_every_declared_type_is_recorded() -> None:
    """A webhook cannot subscribe to something that never happens."""
    recorded = {kind for source in program() for each in find_records(source) for kind in possible_types(each, source)}
    assert set(KINDS) - recorded == {"webhook.test"}  # named by its constant


def test_types_are_sorted_and_described() -> None:
    assert [kind for kind, title in KINDS.items() if not SHAPE.fullmatch(kind) or not title.endswith(".")] == []
    assert list(KINDS) == sorted(KINDS)


def test_a_pattern_matches_a_type_a_noun_or_all() -> None:
    assert [pattern for pattern in ("license.issued", "license.*", "*", "license", "license.", ".*", "l*", "") if is_known(pattern)] == [
        "license.issued",
        "license.*",
        "*",
    ]
    assert match_kinds(["sessions.*", "login.failed"]) == ["login.failed", "sessions.revoked"]
    assert set(match_kinds(["*"])) == set(KINDS)
    assert not matches_kind("license.*", "license_x.issued")
