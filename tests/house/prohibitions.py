"""What each kind of file in a room must not do: the table of house.md section 1, as one judgement over a parsed file."""

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from tests.house.source import ROOT, Source, within

HTTP = ("fastapi", "starlette", "httpx")
DATABASE = ("sqlalchemy", "app.db.base", "app.db.database", "app.db.dialect", "app.db.revision")
WIRE = ("app.web.fields", "app.web.routing", "app.web.errors", "app.web.contract.openapi")
WORLD = ("app.world", "app.base.clock", "app.base.entropy", "app.config.settings")


@dataclass(frozen=True)
class Ban:
    """Packages that a kind of file may not import, names of them that it may after all, and what else it may not do."""

    imports: Sequence[str]
    but: Sequence[str] = ()
    also: Sequence[Callable[[Source], Iterator[str]]] = ()


def faults(source: Source) -> list[str]:
    """Every prohibition that the file breaks, as `path:line: sentence`."""
    ban = BANS.get(source.kind, SERVICE)
    told = [
        f"{source.path}:{line}: {source.kind} must not import {name}"
        for name, line in source.imports()
        if within(name, *ban.imports) and name not in ban.but
    ]
    return told + [f"{source.path}:{fault}" for judge in ban.also for fault in judge(source)]


def other_rooms(source: Source) -> Iterator[str]:
    """A table stands alone; a foreign key names its parent as text."""
    for name, line in source.imports():
        if within(name, "app") and not within(name, "app.base", "app.db", f"app.{source.room}"):
            yield f"{line}: models must not import another room ({name})"


def links(source: Source) -> Iterator[str]:
    """No `relationship()`, and every `ForeignKey` names its column as text."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func).rpartition(".")[2]
            if name in {"relationship", "backref", "column_property"}:
                yield f"{node.lineno}: models must not use {name}()"
            if name == "ForeignKey" and not (node.args and isinstance(node.args[0], ast.Constant)):
                yield f"{node.lineno}: a foreign key names its column as text"


def waits(source: Source) -> Iterator[str]:
    """A rule is a plain function of values."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Await | ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith):
            yield f"{node.lineno}: rules must not wait"
        if isinstance(node, ast.arg) and node.arg in {"tx", "session", "world", "clock"}:
            yield f"{node.lineno}: rules must not take {node.arg}"
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith((".now", ".utcnow", ".today")):
            yield f"{node.lineno}: rules are handed `now`"


def tables(source: Source) -> Iterator[str]:
    """From a room's models only the state words may be taken, never a table."""
    for name, line in source.imports():
        module, _, item = name.rpartition(".")
        if module.startswith("app.") and module.endswith(".models") and item not in state_words(module):
            yield f"{line}: {source.kind} must not import the table {name}"


@cache
def state_words(module: str) -> frozenset[str]:
    """The StrEnums of a models module."""
    path = f"{module.replace('.', '/')}.py"
    tree = Source.of(path, (ROOT / path).read_text(encoding="utf-8")).tree
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    return frozenset(node.name for node in classes if any(ast.unparse(base) == "StrEnum" for base in node.bases))


def decides(source: Source) -> Iterator[str]:
    """A route's handler parses, calls once, shapes. One `if` may choose among answers (200 or 202, 304); it refuses nothing."""
    for node in source.tree.body:
        if isinstance(node, ast.AsyncFunctionDef) and any(ast.unparse(each).startswith("router.") for each in node.decorator_list):
            inner = list(ast.walk(node))
            if sum(isinstance(each, ast.If) for each in inner) > 1 or any(isinstance(each, BRANCHES) for each in inner):
                yield f"{node.lineno}: {node.name} decides something"
            if sum(isinstance(each, ast.Await) for each in inner) > 1:
                yield f"{node.lineno}: {node.name} waits for more than one use case"


BRANCHES = (ast.Raise, ast.Match, ast.For, ast.While, ast.Try)
SERVICE = Ban((*HTTP, *WIRE))
BANS: Mapping[str, Ban] = {
    "__init__": Ban((*HTTP, *DATABASE, "app")),
    "models": Ban((*HTTP, "app.web", "app.world", "sqlalchemy.orm.relationship"), but=("app.web.models",), also=(other_rooms, links)),
    "rules": Ban((*HTTP, *DATABASE, *WORLD, "app.web"), also=(waits, tables)),
    "problems": Ban((*HTTP, *DATABASE, "app.web", "app.world")),
    "fields": Ban((*HTTP, *DATABASE, "app.world"), also=(tables,)),
    "egress": Ban(("fastapi", "starlette", *WIRE)),
    "schemas": Ban((*HTTP, *DATABASE, "app.world"), but=("sqlalchemy.Row",), also=(tables,)),
    "routes": Ban(("sqlalchemy", "app.db"), also=(tables, decides)),
    "guard": Ban(("fastapi", *DATABASE), also=(tables,)),
}
