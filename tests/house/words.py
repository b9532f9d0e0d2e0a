"""The words that this project does not use, and where they still occur.

`python -m tests.house.words [PATH …]` prints every occurrence below the paths (default: everything that is checked).
"""

import ast
import re
import sys
import tokenize
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path

from tests.docs.pages import ROOT_PAGES
from tests.house.source import ROOT

CHECKED = ("app", "deploy", "examples", "migrations", "ops", "tests", "docs", *ROOT_PAGES)
"""Folders and files that are checked."""

REFUSED = {
    "anew": "again",
    "bell": "wake-up",
    "beside": "next to, in addition to, in parallel with",
    "deed": "action",
    "doorman": "registry",
    "doormen": "registry",
    "farewell": "last message",
    "for ever": "permanently, without limit",
    "knock": "request",
    "lane": "fast reads",
    "octet": "byte",
    "octets": "bytes",
    "of before": "earlier, previous",
    "patience": "timeout",
    "room": "package",
    "rooms": "packages",
    "signpost": "static routes",
    "so long": "for that time",
    "somebody": "someone",
    "standpoint": "document ordinal",
    "told": "reported, returned, sent",
    "whence": "from where",
    "whoever": "anyone who, the caller",
    "wish": "request",
    "wishes": "requests",
}
"""Words refused in names, comments, strings and documents, each with the plain word to use."""

NAMES = frozenset({"face", "found", "held", "it", "kept", "made", "named", "shown", "standing", "theirs", "told", "twin", "who"})
"""Names refused for variables, parameters and attributes: they do not say what the value is."""

PARTICIPLES = frozenset(
    {
        "asked", "begun", "bound", "checked", "chosen", "compared", "copied", "counted", "cut", "drawn", "ended", "enrolled", "evaluated",
        "exported", "filled", "forgotten", "found", "gathered", "given", "gone", "guarded", "handed", "held", "included", "joined",
        "judged", "kept", "known", "led", "listed", "loaded", "locked", "looked", "made", "marked", "measured", "migrated", "missed",
        "moved", "named", "normalised", "opened", "owed", "paced", "parsed", "passed", "polled", "posted", "proven", "pruned", "reached",
        "recorded", "redeemed", "refused", "rendered", "resumed", "sealed", "seen", "settled", "shaped", "shown", "stored", "told",
        "tried", "unified", "verified", "violated", "walked", "wanted", "watched", "wiped", "written",
    }
)  # fmt: skip
"""First words refused for functions: a function is named by a verb that says what happens. Properties may describe a state."""

EXEMPT = {"tests/house/words.py", "tests/house/test_words.py"}
_WORDS = re.compile(r"(?<![\w-])(" + "|".join(sorted(REFUSED, key=len, reverse=True)) + r")(?![\w-])", re.IGNORECASE)
_PIECE = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def faults(path: str, text: str) -> list[str]:
    """Every refused word of a file, as `path:line: word`. A Python file is checked by its names too."""
    if not path.endswith(".py"):
        return [f"{path}:{number}: {word}" for number, line in enumerate(text.splitlines(), 1) for word in _refused(line)]
    return [f"{path}:{line}: {word}" for line, word in sorted({*_prose(text), *_names(path, text)})]


def _refused(text: str) -> Iterator[str]:
    return (found.group(1).lower() for found in _WORDS.finditer(text))


def _prose(text: str) -> Iterator[tuple[int, str]]:
    """Refused words in comments and strings."""
    for token in tokenize.generate_tokens(StringIO(text).readline):
        if token.type in {tokenize.COMMENT, tokenize.STRING}:
            for offset, line in enumerate(token.string.splitlines()):
                yield from ((token.start[0] + offset, word) for word in _refused(line))


def _names(path: str, text: str) -> Iterator[tuple[int, str]]:
    """Refused words as parts of names, names that say nothing, and functions named by a participle."""
    for node in ast.walk(ast.parse(text)):
        name, line = _named(node)
        if name:
            yield from ((line, f"{name} ({word})") for word in pieces(name) if word in REFUSED)
            if name.strip("_") in NAMES and isinstance(node, ast.Name | ast.arg):
                yield line, f"{name} (says nothing)"
        if path.startswith("app/") and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _is_participle(node):
            yield node.lineno, f"{node.name} (a function is a verb)"


def pieces(name: str) -> list[str]:
    """The words of a name: `TheLastBell` and `the_last_bell` are `the`, `last`, `bell`."""
    return [piece.lower() for piece in _PIECE.findall(name)]


def _named(node: ast.AST) -> tuple[str, int]:
    """What a node gives a name to, and its line; empty for every other node."""
    match node:
        case ast.Name(id=name, ctx=ast.Store()):
            return name, node.lineno
        case ast.arg(arg=name):
            return name, node.lineno
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            return name, node.lineno
    return "", 0


def _is_participle(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    is_property = any(ast.unparse(each).rpartition(".")[2] in {"property", "cached_property"} for each in node.decorator_list)
    return not is_property and node.name.strip("_").split("_")[0] in PARTICIPLES


def files(folders: Sequence[str]) -> Iterator[Path]:
    """The Python, Markdown and YAML files below the folders."""
    for folder in folders:
        path = ROOT / folder
        found = [path] if path.is_file() else sorted(path.rglob("*"))
        yield from (each for each in found if each.suffix in {".py", ".md", ".yaml", ".sh", ".json"} and "__pycache__" not in each.parts)


def check(folders: Sequence[str]) -> list[str]:
    """Every fault of the files below the folders."""
    paths = ((path.relative_to(ROOT).as_posix(), path) for path in files(folders))
    return [fault for name, path in paths if name not in EXEMPT for fault in faults(name, path.read_text(encoding="utf-8"))]


if __name__ == "__main__":
    sys.stdout.write("".join(f"{fault}\n" for fault in check(sys.argv[1:] or CHECKED)))
