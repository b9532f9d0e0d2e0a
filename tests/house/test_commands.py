"""The Makefile and the CI script: they parse, check before they test, and run only locked tools."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.house.source import ROOT, tree

MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
CI = ROOT / ".ci" / "run"
SCRIPTS = [*CI.parent.iterdir(), *(path for path in tree() if path.suffix == ".sh")]
UNSET = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE")


def recipe(target: str) -> list[str]:
    """Return the lines of a target."""
    match = re.search(rf"^{re.escape(target)}:.*\n((?:\t.*\n)*)", MAKEFILE, re.MULTILINE)
    assert match is not None, f"no target {target}"
    return match.group(1).splitlines()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_parses_stops_at_the_first_error_and_is_executable(script: object) -> None:
    path = ROOT / str(script)
    assert subprocess.run(["bash", "-n", str(path)], check=False).returncode == 0
    assert "set -euo pipefail" in path.read_text(encoding="utf-8")
    assert path.stat().st_mode & 0o111


def test_ci_checks_and_then_tests() -> None:
    """The suite runs last, so that its summary ends the output. Image and browser checks run before it, with a time limit."""
    lines = [line for line in CI.read_text(encoding="utf-8").splitlines() if line and not line.startswith(("#", "set ", "cd "))]
    assert lines == ["make check", "timeout 1200 deploy/image-check.sh --if-possible", "timeout 1200 .ci/browser", "make test"]


def test_the_image_check_is_skipped_where_tools_are_missing(tmp_path: Path) -> None:
    """Without root or tools CI only reports it; a direct call of the check fails."""
    script = str(ROOT / "deploy" / "image-check.sh")
    environ = {"PATH": str(tmp_path), "IMAGE_CHECK_DIR": f"{tmp_path}/work"}
    for program in ("bash", "dirname", "id", "mkdir"):
        (tmp_path / program).symlink_to(str(shutil.which(program)))
    for arguments, code, word in (["--if-possible"], 0, "not run here"), ([], 1, "FAILED"):
        done = subprocess.run(["bash", script, *arguments], env=environ, capture_output=True, text=True, check=False)
        assert (done.returncode, word in done.stdout + done.stderr) == (code, True)


@pytest.mark.parametrize("target", ["run", "test"])
def test_signals_reach_the_process(target: str) -> None:
    """`exec`: Ctrl-C and SIGTERM go to the server or the suite, not to a shell above it."""
    assert recipe(target)[-1].lstrip("\t@").startswith("exec $(BIN)/python -m ")


@pytest.mark.parametrize("name", UNSET)
def test_python_variables_of_the_caller_are_unset(name: str) -> None:
    assert f"unexport {name}\n" in MAKEFILE


@pytest.mark.parametrize(
    "tool",
    [
        "ruff format --check",
        "ruff check",
        "mypy",
        "lint-imports",
        "hadolint",
        "check-jsonschema",
        "kubernetes-validate --strict",
        "tests/house",
        "tests/docs",
    ],
)
def test_check_is_complete(tool: str) -> None:
    assert any(tool in line for line in recipe("check"))


def test_only_locked_packages_are_installed() -> None:
    """Every install requires hashes, and every tool comes from the prepared environment. `make newest` has its own environment."""
    installs = [line for line in MAKEFILE.splitlines() if (" install " in line or " pip sync" in line) and "$(NEWEST)" not in line]
    assert installs
    assert [line for line in installs if "--require-hashes" not in line] == []
    assert not re.search(r"\b(?:uvx|pipx|npx|curl|wget)\b", MAKEFILE)
