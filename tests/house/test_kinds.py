"""Every kind of event that the program records is declared, with a sentence about it, and every declared one is recorded."""

import ast
import re
from collections.abc import Iterator, Sequence

import pytest

from app.agreements.models import EventType
from app.events.kinds import KINDS, is_known, match_kinds, matches_kind
from tests.house.source import Source, program

SHAPE = re.compile(r"[a-z_]+\.[a-z_]+")
ANY_DECISION = {f"agreement.{type_}" for type_ in EventType}
"""What the one kind that is put together (`agreements/decisions.py`) can become, and more."""


def recorded(source: Source) -> Iterator[ast.expr]:
    """What is handed to `record` as the kind."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "record" and len(node.args) > 2:
            yield node.args[2]


def named(kind: ast.expr, source: Source) -> set[str]:
    """The kinds that the expression can be; for a name, each text of the file that looks like one of its noun. Raises ValueError."""
    match kind:
        case ast.Constant(value=str(text)):
            return {text}
        case ast.IfExp(body=body, orelse=orelse):
            return named(body, source) | named(orelse, source)
        case ast.JoinedStr() if ast.unparse(kind) == "f'agreement.{act.type}'":
            return ANY_DECISION
        case ast.Name():
            constants = {node.value for node in ast.walk(source.tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
            return {text for text in constants if SHAPE.fullmatch(text)}
    raise ValueError(f"{source.path}: {ast.unparse(kind)} is no kind that can be read here")


def undeclared(sources: Sequence[Source]) -> set[str]:
    return {kind for source in sources for each in recorded(source) for kind in named(each, source)} - set(KINDS)


def test_every_recorded_kind_is_declared() -> None:
    assert undeclared(program()) == set()


@pytest.mark.parametrize(
    "text",
    [
        "await record(tx, world, 'license.eaten', by, about)",
        "await record(tx, world, 'license.issued' if new else 'license.eaten', by, about)",
        "event = 'license.eaten'\nawait record(tx, world, event, by, about)",
    ],
)
def test_an_undeclared_kind_is_seen(text: str) -> None:
    assert undeclared([Source.of("app/licenses/issuing/service.py", text)]) == {"license.eaten"}


def test_a_kind_that_nobody_can_read_is_seen() -> None:
    with pytest.raises(ValueError, match="no kind"):
        undeclared([Source.of("app/licenses/issuing/service.py", "await record(tx, world, f'license.{word}', by, about)")])


def test_every_declared_kind_is_recorded() -> None:
    """What a webhook can be set on does happen."""
    told = {kind for source in program() for each in recorded(source) for kind in named(each, source)}
    assert set(KINDS) - told == {"webhook.test"}  # named by its constant


def test_a_kind_is_a_noun_and_what_befell_it() -> None:
    assert [kind for kind, title in KINDS.items() if not SHAPE.fullmatch(kind) or not title.endswith(".")] == []
    assert list(KINDS) == sorted(KINDS)


def test_a_pattern_names_a_kind_a_noun_or_all() -> None:
    assert [pattern for pattern in ("license.issued", "license.*", "*", "license", "license.", ".*", "l*", "") if is_known(pattern)] == [
        "license.issued",
        "license.*",
        "*",
    ]
    assert match_kinds(["sessions.*", "login.failed"]) == ["login.failed", "sessions.revoked"]
    assert set(match_kinds(["*"])) == set(KINDS)
    assert not matches_kind("license.*", "license_x.issued")
