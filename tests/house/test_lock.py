"""What is installed is what was locked: hashed, complete, from no address, and with one passlib."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, version

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.house.source import ROOT

LOCKS = sorted([*(ROOT / "requirements").glob("*.txt"), ROOT / "tools" / "uv.txt"])
ADDRESS = re.compile(r"https?://|file:|git\+|--index|--extra-index|--find-links|--trusted-host|^-[ef]\b", re.MULTILINE)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
DIRECT = {
    "app.txt": PROJECT["project"]["dependencies"],
    "dev.txt": PROJECT["dependency-groups"]["dev"] + PROJECT["project"]["dependencies"],
}


def entries(text: str) -> list[str]:
    """The requirements of a lock, each on one line with its hashes."""
    joined = text.replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def faults(text: str) -> list[str]:
    """Addresses, and requirements that are not pinned or carry no hash."""
    told = [f"an address or an index: {found.group()}" for found in ADDRESS.finditer(text)]
    return told + [line[:60] for line in entries(text) if "==" not in line.split(";")[0] or "--hash=sha256:" not in line]


def pins(file: str) -> dict[str, set[str]]:
    """Name to versions (more than one where markers tell machines apart)."""
    found: dict[str, set[str]] = {}
    for line in entries((ROOT / "requirements" / file).read_text(encoding="utf-8")):
        requirement = Requirement(line.split("--hash")[0].strip())
        found.setdefault(canonicalize_name(requirement.name), set()).add(str(requirement.specifier).removeprefix("=="))
    return found


def test_locks_are_pinned_hashed_and_without_address() -> None:
    """An address would name somebody's mirror; a missing hash would let it answer what it likes."""
    assert LOCKS
    assert {lock.name: told for lock in LOCKS if (told := faults(lock.read_text(encoding="utf-8")))} == {}


@pytest.mark.parametrize(
    "text",
    [
        "--index-url https://mirror.example/simple\n",
        "--find-links ./wheels\n",
        "thing @ file:///wheels/thing.whl\n",
        "thing==1.0\n",
        "thing>=1.0 --hash=sha256:00\n",
    ],
)
def test_a_bad_lock_is_seen(text: str) -> None:
    assert faults(text)


@pytest.mark.parametrize("file", DIRECT)
def test_every_direct_dependency_is_locked_within_its_bounds(file: str) -> None:
    """`make lock` was run after pyproject.toml changed."""
    locked = pins(file)
    for wanted in map(Requirement, DIRECT[file]):
        assert all(wanted.specifier.contains(pin) for pin in locked.get(canonicalize_name(wanted.name), {"none"})), wanted


def test_the_image_runs_what_the_suite_ran() -> None:
    """Everything of the application's lock has the same pin in the lock of the tests."""
    tested = pins("dev.txt")
    assert {name: pin for name, pin in pins("app.txt").items() if tested.get(name) != pin} == {}


def test_the_suite_runs_what_was_locked() -> None:
    """The environment is not older than the lock."""
    names = [canonicalize_name(Requirement(line).name) for line in PROJECT["project"]["dependencies"]]
    assert {name: version(name) for name in names if version(name) not in pins("app.txt")[name]} == {}


def test_pyproject_names_no_index() -> None:
    """Where packages come from is the machine's own affair."""
    named = {"index", "index-url", "default-index", "extra-index-url", "find-links", "sources"}
    assert not named & set(PROJECT["tool"].get("uv", {}))


def test_passlib_is_libpass() -> None:
    """Both distributions fill the same package; with both installed nobody knows which code runs (platform.md 1.2)."""
    assert version("libpass")
    with pytest.raises(PackageNotFoundError):
        version("passlib")
