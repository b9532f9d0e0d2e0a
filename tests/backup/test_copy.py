"""What becomes of the file of a copy, whatever else happens in its folder."""

import errno
import os
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from app.db import backup
from tests import databases


@pytest.fixture
def url(sqlite_template: Path) -> str:
    return databases.sqlite_url(sqlite_template)


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def after(act: Callable[..., None], then: Callable[[], object]) -> Callable[..., None]:
    def both(*arguments: Path) -> None:
        act(*arguments)
        then()

    return both


def no_links(*_arguments: Path) -> None:
    raise OSError(errno.EPERM, "not of this file system")


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_appears_meanwhile_stays(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    """Somebody else's copy of the same name was quicker."""
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    target = tmp_path / "monday.db"
    monkeypatch.setattr(backup, "_vacuumed", after(backup._vacuumed, lambda: target.write_bytes(b"kept")))
    with pytest.raises(backup.CopyFailed, match="by now"):
        backup.copy_database(url, target)
    assert target.read_bytes() == b"kept"
    assert left(tmp_path) == {"monday.db"}


def test_a_file_system_without_links_has_copies_too(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", no_links)
    assert backup.copy_database(url, tmp_path / "monday.db") == (tmp_path / "monday.db").stat().st_size > 0
    assert left(tmp_path) == {"monday.db"}


def test_what_another_process_of_the_same_number_left_is_in_nobodys_way(url: str, tmp_path: Path) -> None:
    """In a container everybody is number 1."""
    other = tmp_path / f".monday.db.{os.getpid()}"
    other.write_bytes(b"half a copy")
    assert backup.copy_database(url, tmp_path / "monday.db") > 0
    assert other.read_bytes() == b"half a copy"
    assert left(tmp_path) == {"monday.db", other.name}


def test_a_copy_is_whole_private_and_on_the_disk(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its content before it has its name, then the name: what the folder says is lost in a power cut if nobody asks for it."""
    synced: list[tuple[bool, bool]] = []
    target, fsync = tmp_path / "monday.db", os.fsync

    def watched(opened: int) -> None:
        synced.append((stat.S_ISDIR(os.fstat(opened).st_mode), target.exists()))
        fsync(opened)

    monkeypatch.setattr(os, "fsync", watched)
    assert backup.copy_database(url, target) == target.stat().st_size
    assert synced == [(False, False), (True, True)]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    copy = sqlite3.connect(target)
    assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    copy.close()


def test_a_copy_that_failed_leaves_nothing(tmp_path: Path) -> None:
    source = tmp_path / "live.db"
    source.write_bytes(b"not a database. " * 1000)
    with pytest.raises(backup.CopyFailed):
        backup.copy_database(databases.sqlite_url(source), tmp_path / "monday.db")
    assert left(tmp_path) == {"live.db"}
