"""Small functions and small files: half of the functions have at most eight lines, none has more than fifty."""

import ast
from statistics import median, quantiles

from tests.house.source import Function, Source, program

MEDIAN, NINETIETH, MOST, FILE = 8, 25, 50, 300
PACKAGE_FILES, PACKAGE_LINES = 15, 1500


def count_lines(function: Function) -> int:
    """Count the lines from `def` to the end, without decorators and docstring."""
    count = (function.end_lineno or function.lineno) - function.lineno + 1
    opening = function.body[0]
    if len(function.body) > 1 and ast.get_docstring(function, clean=False) is not None:
        count -= (opening.end_lineno or opening.lineno) - opening.lineno + 1
    return count


SIZES = {f"{source.path}:{each.name}": count_lines(each) for source in program() for each in source.functions()}


def test_no_function_is_long() -> None:
    assert {name: size for name, size in SIZES.items() if size > MOST} == {}


def test_most_functions_are_short() -> None:
    """The median and the ninetieth percentile, over the whole program."""
    assert median(SIZES.values()) <= MEDIAN
    assert quantiles(SIZES.values(), n=10)[-1] <= NINETIETH


def test_no_file_is_long() -> None:
    assert {source.path: size for source in program() if (size := len(source.text.splitlines())) > FILE} == {}


def test_decorators_and_docstrings_are_not_counted() -> None:
    tree = Source.of("app/x.py", '@once\ndef add(\n    a: int,\n) -> int:\n    """Say\n    so."""\n    return a\n').tree
    assert [count_lines(node) for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)] == [4]


def test_no_package_is_large() -> None:
    """A package that outgrows this is split by what it is about."""
    packages: dict[str, list[Source]] = {}
    for source in program():
        packages.setdefault(source.path.rpartition("/")[0], []).append(source)
    large = {name: len(files) for name, files in packages.items() if len(files) > PACKAGE_FILES}
    assert large | {name: lines for name, files in packages.items() if (lines := count_all(files)) > PACKAGE_LINES} == {}


def count_all(sources: list[Source]) -> int:
    return sum(len(source.text.splitlines()) for source in sources)
