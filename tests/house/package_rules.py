"""What each kind of file in a package must not do, checked on its syntax tree (docs/architecture.md)."""

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from tests.house.source import ROOT, Source, is_within

HTTP = ("fastapi", "starlette", "httpx")
DATABASE = ("sqlalchemy", "app.db.base", "app.db.database", "app.db.dialect", "app.db.revision")
WIRE = ("app.web.fields", "app.web.routing", "app.web.errors", "app.web.contract.openapi")
WORLD = ("app.world", "app.base.clock", "app.base.entropy", "app.config.settings")


@dataclass(frozen=True)
class Rules:
    """Rules for one kind of file: forbidden imports, exceptions to them, and further checks."""

    imports: Sequence[str]
    allowed: Sequence[str] = ()
    checks: Sequence[Callable[[Source], Iterator[str]]] = ()


def faults(source: Source) -> list[str]:
    """List every rule that the file breaks, as `path:line: sentence`."""
    rules = RULES.get(source.kind, SERVICE)
    forbidden = [
        f"{source.path}:{line}: {source.kind} must not import {name}"
        for name, line in source.imports()
        if is_within(name, *rules.imports) and name not in rules.allowed
    ]
    return forbidden + [f"{source.path}:{fault}" for check in rules.checks for fault in check(source)]


def find_other_packages(source: Source) -> Iterator[str]:
    """Tables import no other package; a foreign key names its parent as text."""
    for name, line in source.imports():
        if is_within(name, "app") and not is_within(name, "app.base", "app.db", f"app.{source.package}"):
            yield f"{line}: models must not import another package ({name})"


def find_links(source: Source) -> Iterator[str]:
    """Every `ForeignKey` names its column as text. (ruff forbids `relationship` and its like.)"""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func).rpartition(".")[2]
            if name == "ForeignKey" and not (node.args and isinstance(node.args[0], ast.Constant)):
                yield f"{node.lineno}: a foreign key names its column as text"


def find_io(source: Source) -> Iterator[str]:
    """A rule is a plain function of values: it does not wait, and `now` is a parameter."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.Await | ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith):
            yield f"{node.lineno}: rules must not wait"
        if isinstance(node, ast.arg) and node.arg in {"tx", "session", "world", "clock"}:
            yield f"{node.lineno}: rules must not take {node.arg}"
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith((".now", ".utcnow", ".today")):
            yield f"{node.lineno}: rules take `now` as a parameter"


def find_tables(source: Source) -> Iterator[str]:
    """Only enums may be imported from models, never a table."""
    for name, line in source.imports():
        module, _, item = name.rpartition(".")
        if module.startswith("app.") and module.endswith(".models") and item not in read_enums(module):
            yield f"{line}: {source.kind} must not import the table {name}"


@cache
def read_enums(module: str) -> frozenset[str]:
    """Return the names of the StrEnums of a models module."""
    path = f"{module.replace('.', '/')}.py"
    tree = Source.of(path, (ROOT / path).read_text(encoding="utf-8")).tree
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    return frozenset(node.name for node in classes if any(ast.unparse(base) == "StrEnum" for base in node.bases))


def find_decisions(source: Source) -> Iterator[str]:
    """A route handler parses, makes one call and builds the response. One `if` may choose the status; it raises no problem."""
    for node in source.tree.body:
        if isinstance(node, ast.AsyncFunctionDef) and any(ast.unparse(each).startswith("router.") for each in node.decorator_list):
            inner = list(ast.walk(node))
            if sum(isinstance(each, ast.If) for each in inner) > 1 or any(isinstance(each, BRANCHES) for each in inner):
                yield f"{node.lineno}: {node.name} contains decisions"
            if sum(isinstance(each, ast.Await) for each in inner) > 1:
                yield f"{node.lineno}: {node.name} awaits more than one use case"


BRANCHES = (ast.Raise, ast.Match, ast.For, ast.While, ast.Try)
SERVICE = Rules((*HTTP, *WIRE))
RULES: Mapping[str, Rules] = {
    "__init__": Rules((*HTTP, *DATABASE, "app")),
    "models": Rules((*HTTP, "app.web", "app.world"), allowed=("app.web.models",), checks=(find_other_packages, find_links)),
    "rules": Rules((*HTTP, *DATABASE, *WORLD, "app.web"), checks=(find_io, find_tables)),
    "problems": Rules((*HTTP, *DATABASE, "app.web", "app.world")),
    "fields": Rules((*HTTP, *DATABASE, "app.world"), checks=(find_tables,)),
    "egress": Rules(("fastapi", "starlette", *WIRE)),
    "schemas": Rules((*HTTP, *DATABASE, "app.world"), allowed=("sqlalchemy.Row",), checks=(find_tables,)),
    "routes": Rules(("sqlalchemy", "app.db"), checks=(find_tables, find_decisions)),
    "guard": Rules(("fastapi", *DATABASE), checks=(find_tables,)),
}
