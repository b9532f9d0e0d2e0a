"""The frozen contract: the OpenAPI document and the list of codes; and the generated reference pages.

`python -m tests.snapshots --check` prints the differences.

`--write` renews the files, so that a review of a change sees their diff. The version of the program is not part of the contract.
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
    """Return the application as it is served, with a database that is never opened."""
    return build_app(World.of(Settings.load(SECRETS)))


def document() -> dict[str, Any]:
    """Return the OpenAPI document without the version of the release."""
    document_ = application().openapi()
    return {**document_, "info": {**document_["info"], "version": "0"}}


def openapi_text() -> str:
    return json.dumps(document(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def codes_text() -> str:
    """Return a line for each code: its HTTP status, or `-` for a code that only occurs inside a verdict."""
    application()  # packages declare their codes when they are imported
    refusals = {code: str(STATUS[problem.kind]) for code, problem in DECLARED.items() if problem.__module__.startswith("app.")}
    statuses = refusals | dict.fromkeys(ADVISORIES, "-")
    return "".join(f"{code} {statuses[code]}\n" for code in sorted(statuses))


SNAPSHOTS: Mapping[str, Callable[[], str]] = {"openapi.json": openapi_text, "codes.txt": codes_text}


def drift(folder: Path = FOLDER) -> str:
    """Return a unified diff from the snapshots to the current program; empty without a difference."""
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
    """Return the exit code: 0, 1 for a changed contract, 2 for wrong arguments."""
    if arguments == ["--write"]:
        write(folder)
        reference.write(application())
        return 0
    if arguments != ["--check"]:
        sys.stderr.write(USAGE)
        return 2
    if difference := drift(folder) + reference.drift(application()):
        sys.stderr.write(difference + "The contract changed. If that is intended: make openapi\n")
    return 1 if difference else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
