"""Who owns a transaction and what may happen inside one (house.md section 2), as a judgement over a parsed file."""

import ast
from collections.abc import Iterator

from tests.house.source import Function, Source

WAYS_IN = (".db.read", ".db.write", ".db.query", ".db.find")
SLOW = ("hasher.", "to_thread.", "asyncio.sleep", "anyio.sleep", "httpx.")
ENDINGS = ("commit", "rollback", "begin", "begin_nested", "close")


def faults(source: Source) -> list[str]:
    """Every broken rule of transactions, as `path:line: sentence`."""
    told: list[str] = []
    for function in _outermost(source.tree):
        told += [f"{source.path}:{fault}" for judge in JUDGES for fault in judge(function)]
    return told


def first(function: Function) -> str:
    """The name of the first parameter; empty when there is none."""
    parameters = [*function.args.posonlyargs, *function.args.args]
    return parameters[0].arg if parameters else ""


def _outermost(tree: ast.Module) -> Iterator[Function]:
    for node in tree.body:
        if isinstance(node, Function):
            yield node
        elif isinstance(node, ast.ClassDef):
            yield from (item for item in node.body if isinstance(item, Function))


def _calls(node: ast.AST) -> Iterator[tuple[str, int]]:
    return ((ast.unparse(each.func), each.lineno) for each in ast.walk(node) if isinstance(each, ast.Call))


def unnamed(function: Function) -> Iterator[str]:
    """A public async function is a use case (`world` first) or a step (`tx` first)."""
    if isinstance(function, ast.AsyncFunctionDef) and not function.name.startswith("_") and first(function) not in {"world", "tx"}:
        yield f"{function.lineno}: {function.name} is neither a use case (world first) nor a step (tx first)"


def step_ends_it(function: Function) -> Iterator[str]:
    """A step neither commits nor opens a transaction of its own."""
    if first(function) == "tx":
        for name, line in _calls(function):
            if name.startswith("tx.") and name.rpartition(".")[2] in ENDINGS:
                yield f"{line}: the step {function.name} must leave the transaction to its use case"
            if name.endswith(WAYS_IN):
                yield f"{line}: the step {function.name} must not open a transaction"


def use_case_ends_it(function: Function) -> Iterator[str]:
    """The block of `write()` commits; nobody does it by hand."""
    yield from (f"{line}: `write()` commits by itself" for name, line in _calls(function) if name.endswith((".commit", ".rollback")))


def stranger_opens(function: Function) -> Iterator[str]:
    """Only a use case opens a transaction."""
    if first(function) not in {"world", "tx"}:
        yield from (f"{line}: {function.name} is no use case" for name, line in _calls(function) if name.endswith(WAYS_IN))


def slow_inside(function: Function) -> Iterator[str]:
    """SQLite has one writer: no hashing, no HTTP, no sleep and no second transaction inside a write block."""
    for block in ast.walk(function):
        if isinstance(block, ast.AsyncWith) and any(".db.write(" in ast.unparse(item.context_expr) for item in block.items):
            for statement in block.body:
                for name, line in _calls(statement):
                    if name.endswith(WAYS_IN) or any(slow in name for slow in SLOW):
                        yield f"{line}: {name} inside a write block"


JUDGES = (unnamed, step_ends_it, use_case_ends_it, stranger_opens, slow_inside)
