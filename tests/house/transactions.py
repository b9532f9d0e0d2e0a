"""Rules of transactions: who opens and ends one, and what must not happen inside. Checked on the syntax tree."""

import ast
from collections.abc import Iterator

from tests.house.source import Function, Source

WAYS_IN = (".db.read", ".db.write", ".db.query", ".db.snapshot")
SLOW = ("hasher.", "to_thread.", "asyncio.sleep", "anyio.sleep", "httpx.")
ENDINGS = ("commit", "rollback", "begin", "begin_nested", "close")


def faults(source: Source) -> list[str]:
    """List every broken rule of transactions, as `path:line: sentence`."""
    return [f"{source.path}:{fault}" for function in _outermost(source.tree) for check in CHECKS for fault in check(function)]


def first_parameter(function: Function) -> str:
    """Return the name of the first parameter, or an empty string."""
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


def check_first_parameter(function: Function) -> Iterator[str]:
    """A public async function is a use case (`world` first) or a step (`tx` first)."""
    if (
        isinstance(function, ast.AsyncFunctionDef)
        and not function.name.startswith("_")
        and first_parameter(function) not in {"world", "tx"}
    ):
        yield f"{function.lineno}: {function.name} is neither a use case (world first) nor a step (tx first)"


def check_step(function: Function) -> Iterator[str]:
    """A step neither commits nor opens a transaction."""
    if first_parameter(function) == "tx":
        for name, line in _calls(function):
            if name.startswith("tx.") and name.rpartition(".")[2] in ENDINGS:
                yield f"{line}: the step {function.name} must leave the transaction to its use case"
            if name.endswith(WAYS_IN):
                yield f"{line}: the step {function.name} must not open a transaction"


def check_commit(function: Function) -> Iterator[str]:
    """`write()` commits at its end; no code commits explicitly."""
    yield from (f"{line}: `write()` commits at its end" for name, line in _calls(function) if name.endswith((".commit", ".rollback")))


def check_opening(function: Function) -> Iterator[str]:
    """Only a use case opens a transaction."""
    if first_parameter(function) not in {"world", "tx"}:
        yield from (
            f"{line}: {function.name} opens a transaction but is not a use case"
            for name, line in _calls(function)
            if name.endswith(WAYS_IN)
        )


def check_slow_calls(function: Function) -> Iterator[str]:
    """SQLite has one writer: no hashing, no HTTP, no sleep and no second transaction inside a write block."""
    for block in ast.walk(function):
        if isinstance(block, ast.AsyncWith) and any(".db.write(" in ast.unparse(item.context_expr) for item in block.items):
            for statement in block.body:
                for name, line in _calls(statement):
                    if name.endswith(WAYS_IN) or any(slow in name for slow in SLOW):
                        yield f"{line}: {name} inside a write block"


CHECKS = (check_first_parameter, check_step, check_commit, check_opening, check_slow_calls)
