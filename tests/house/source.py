"""The program's own source as the house tests read it: parsed, never imported."""

import ast
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KITS = ("background", "base", "cli", "config", "db", "observability", "security", "server", "web")
"""Packages that are no rooms: their files are named after what they hold."""
BY_THING = ("routes", "schemas")
"""Duties that may have a file for each thing of a big room: `me_routes.py`."""
UNSHIPPED = {".git", ".venv", "var", "__pycache__", ".hypothesis", ".schemathesis"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """One file: its path from the root, with slashes, and its tree."""

    path: str
    text: str
    tree: ast.Module

    @classmethod
    def of(cls, path: str, text: str) -> "Source":
        return cls(path, text, ast.parse(text))

    @property
    def kind(self) -> str:
        """What the file is by its name: `models`, `rules`, `routes`, …; `me_routes` is `routes` too."""
        stem = Path(self.path).stem
        duty = stem.rpartition("_")[2]
        return duty if duty in BY_THING else stem

    @property
    def room(self) -> str:
        """The package below `app`; empty for the files of the top floor."""
        parts = Path(self.path).parts
        return parts[1] if parts[0] == "app" and len(parts) > 2 else ""

    def functions(self) -> Iterator[Function]:
        return (node for node in ast.walk(self.tree) if isinstance(node, Function))

    def imports(self) -> Iterator[tuple[str, int]]:
        """Every imported name in full, `sqlalchemy.select` for `from sqlalchemy import select`, with its line."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((alias.name, node.lineno) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


@cache
def program() -> Sequence[Source]:
    """Every file under `app`, and Alembic's entry."""
    files = [*sorted((ROOT / "app").rglob("*.py")), ROOT / "migrations" / "env.py"]
    return [Source.of(file.relative_to(ROOT).as_posix(), file.read_text(encoding="utf-8")) for file in files]


@cache
def tree() -> Sequence[Path]:
    """Every file that is shipped, whether or not git is at hand."""
    found: list[Path] = []
    for folder, inner, names in os.walk(ROOT):
        inner[:] = sorted(name for name in inner if name not in UNSHIPPED and not name.endswith("_cache"))
        found += [Path(folder, name) for name in sorted(names) if name not in UNSHIPPED]
    return found


def within(name: str, *packages: str) -> bool:
    """Whether a dotted name is one of the packages or lies in one."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)
