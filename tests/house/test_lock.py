"""Installed packages are the locked ones: with hashes, complete, without an index address, and with one passlib."""

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
    """Return the requirements of a lock file, each on one line with its hashes."""
    joined = text.replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip() and not line.lstrip().startswith("#")]


def faults(text: str) -> list[str]:
    """List addresses, and requirements without a pin or a hash."""
    addresses = [f"an address or an index: {match.group()}" for match in ADDRESS.finditer(text)]
    return addresses + [line[:60] for line in entries(text) if "==" not in line.split(";")[0] or "--hash=sha256:" not in line]


def read_pins(file: str) -> dict[str, set[str]]:
    """Map each name to its versions (several where environment markers differ)."""
    versions: dict[str, set[str]] = {}
    for line in entries((ROOT / "requirements" / file).read_text(encoding="utf-8")):
        requirement = Requirement(line.split("--hash")[0].strip())
        versions.setdefault(canonicalize_name(requirement.name), set()).add(str(requirement.specifier).removeprefix("=="))
    return versions


def test_locks_are_pinned_hashed_and_without_address() -> None:
    """An address would name a private mirror; without a hash, a mirror could serve anything."""
    assert LOCKS
    assert {lock.name: lines for lock in LOCKS if (lines := faults(lock.read_text(encoding="utf-8")))} == {}


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
def test_a_bad_lock_is_found(text: str) -> None:
    assert faults(text)


@pytest.mark.parametrize("file", DIRECT)
def test_every_direct_dependency_is_locked_within_its_bounds(file: str) -> None:
    """`make lock` was run after pyproject.toml changed."""
    locked = read_pins(file)
    for wanted in map(Requirement, DIRECT[file]):
        assert all(wanted.specifier.contains(pin) for pin in locked.get(canonicalize_name(wanted.name), {"none"})), wanted


def test_the_image_has_the_tested_versions() -> None:
    """Every package of the application's lock file has the same version in the lock file of the tests."""
    tested = read_pins("dev.txt")
    assert {name: pin for name, pin in read_pins("app.txt").items() if tested.get(name) != pin} == {}


def test_the_environment_has_the_locked_versions() -> None:
    names = [canonicalize_name(Requirement(line).name) for line in PROJECT["project"]["dependencies"]]
    assert {name: version(name) for name in names if version(name) not in read_pins("app.txt")[name]} == {}


def test_pyproject_names_no_index() -> None:
    """Each machine configures its own package index."""
    options = {"index", "index-url", "default-index", "extra-index-url", "find-links", "sources"}
    assert not options & set(PROJECT["tool"].get("uv", {}))


def test_passlib_is_libpass() -> None:
    """Both distributions provide the same package; with both installed, either code might run."""
    assert version("libpass")
    with pytest.raises(PackageNotFoundError):
        version("passlib")
