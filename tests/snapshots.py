"""The frozen contract: the OpenAPI document and the list of codes; and the generated reference pages.

`python -m tests.snapshots --check` says what moved.

A change of the contract is a decision: `--write` renews the files, and their diff is read in review. The program's version is
not part of the contract.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from difflib import unified_diff
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from app.base.problems import ADVISORIES, DECLARED
from app.config.settings import Settings
from app.main import build_app
from app.web.errors import STATUS
from app.world import World
from tests.docs import reference
from tests.random_keys import SECRETS

FOLDER = Path(__file__).parent / "contract"
USAGE = "python -m tests.snapshots --check | --write\n"


@cache
def application() -> FastAPI:
    """The application as it is built for serving, over a database that is never opened."""
    return build_app(World.of(Settings.load(SECRETS)))


def document() -> dict[str, Any]:
    """The OpenAPI document, without the number of the release."""
    document_ = application().openapi()
    return {**document_, "info": {**document_["info"], "version": "0"}}


def openapi_text() -> str:
    return json.dumps(document(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def codes_text() -> str:
    """One line for each code: the status that it is refused with, or `-` where it only appears inside a verdict."""
    application()  # packages declare their codes when they are imported
    refusals = {code: str(STATUS[problem.kind]) for code, problem in DECLARED.items() if problem.__module__.startswith("app.")}
    document_ = refusals | dict.fromkeys(ADVISORIES, "-")
    return "".join(f"{code} {document_[code]}\n" for code in sorted(document_))


SNAPSHOTS: Mapping[str, Callable[[], str]] = {"openapi.json": openapi_text, "codes.txt": codes_text}


def drift(folder: Path = FOLDER) -> str:
    """What the program says now against what is frozen, as a unified diff; empty when they agree."""
    return "".join(_diff(folder / name, render()) for name, render in SNAPSHOTS.items())


def _diff(path: Path, now: str) -> str:
    if not path.exists():
        return f"{path.name} is not frozen yet\n"
    frozen = path.read_text(encoding="utf-8")
    return "".join(unified_diff(frozen.splitlines(True), now.splitlines(True), f"frozen/{path.name}", f"now/{path.name}"))


def write(folder: Path = FOLDER) -> None:
    for name, render in SNAPSHOTS.items():
        (folder / name).write_text(render(), encoding="utf-8")


def main(arguments: Sequence[str], folder: Path = FOLDER) -> int:
    """The exit code: 0, 1 for a contract that moved, 2 for a wrong call."""
    if arguments == ["--write"]:
        write(folder)
        reference.write(application())
        return 0
    if arguments != ["--check"]:
        sys.stderr.write(USAGE)
        return 2
    if moved := drift(folder) + reference.drift(application()):
        sys.stderr.write(moved + "The contract moved. If that is meant: make openapi\n")
    return 1 if moved else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
