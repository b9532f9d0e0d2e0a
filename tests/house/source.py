"""The program's own source as the house tests read it: parsed, never imported."""

import ast
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SHARED_PACKAGES = ("background", "base", "cli", "config", "db", "observability", "security", "server", "web")
"""Packages without a domain of their own: their files are named after what they contain."""
SUFFIXES = ("routes", "schemas")
"""Kinds that may have several files in a large package, such as `me_routes.py`."""
NOT_SHIPPED = {".git", ".venv", ".venv-newest", "var", "__pycache__", ".hypothesis", ".schemathesis"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """One file: its path relative to the root, with slashes, its text and its syntax tree."""

    path: str
    text: str
    tree: ast.Module

    @classmethod
    def of(cls, path: str, text: str) -> "Source":
        return cls(path, text, ast.parse(text))

    @property
    def kind(self) -> str:
        """The kind of file, from its name: `models`, `rules`, `routes`, …; `me_routes` is `routes` too."""
        stem = Path(self.path).stem
        suffix = stem.rpartition("_")[2]
        return suffix if suffix in SUFFIXES else stem

    @property
    def package(self) -> str:
        """The package below `app`; empty for files directly in `app`."""
        parts = Path(self.path).parts
        return parts[1] if parts[0] == "app" and len(parts) > 2 else ""

    def functions(self) -> Iterator[Function]:
        return (node for node in ast.walk(self.tree) if isinstance(node, Function))

    def imports(self) -> Iterator[tuple[str, int]]:
        """Yield every imported name with its module, as in `sqlalchemy.select`, and its line."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from ((alias.name, node.lineno) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


@cache
def program() -> Sequence[Source]:
    """Return every file under `app`, and migrations/env.py."""
    files = [*sorted((ROOT / "app").rglob("*.py")), ROOT / "migrations" / "env.py"]
    return [Source.of(file.relative_to(ROOT).as_posix(), file.read_text(encoding="utf-8")) for file in files]


@cache
def tree() -> Sequence[Path]:
    """Return every file that is shipped. Works without git."""
    paths: list[Path] = []
    for folder, inner, names in os.walk(ROOT):
        inner[:] = sorted(name for name in inner if name not in NOT_SHIPPED and not name.endswith("_cache"))
        paths += [Path(folder, name) for name in sorted(names) if name not in NOT_SHIPPED]
    return paths


def is_within(name: str, *packages: str) -> bool:
    """Tell whether a dotted name is one of the packages or is inside one."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)
