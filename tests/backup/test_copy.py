"""The file of a database copy, whatever else happens in its folder."""

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


def list_files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def run_after(act: Callable[..., None], then: Callable[[], object]) -> Callable[..., None]:
    def both(*arguments: Path) -> None:
        act(*arguments)
        then()

    return both


def no_links(*_arguments: Path) -> None:
    raise OSError(errno.EPERM, "not of this file system")


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_appears_during_the_copy_stays(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool) -> None:
    """Another copy of the same name was faster."""
    if not links:
        monkeypatch.setattr(os, "link", no_links)
    target = tmp_path / "monday.db"
    monkeypatch.setattr(backup, "_vacuum", run_after(backup._vacuum, lambda: target.write_bytes(b"kept")))
    with pytest.raises(backup.CopyFailed, match="another process has created"):
        backup.copy_database(url, target)
    assert target.read_bytes() == b"kept"
    assert list_files(tmp_path) == {"monday.db"}


def test_a_copy_works_on_a_file_system_without_links(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", no_links)
    assert backup.copy_database(url, tmp_path / "monday.db") == (tmp_path / "monday.db").stat().st_size > 0
    assert list_files(tmp_path) == {"monday.db"}


def test_leftovers_of_another_process_with_the_same_id_do_not_matter(url: str, tmp_path: Path) -> None:
    """In a container every process may have the id 1."""
    other = tmp_path / f".monday.db.{os.getpid()}"
    other.write_bytes(b"half a copy")
    assert backup.copy_database(url, tmp_path / "monday.db") > 0
    assert other.read_bytes() == b"half a copy"
    assert list_files(tmp_path) == {"monday.db", other.name}


def test_a_copy_is_complete_private_and_synced(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """First the content is synced, then the folder with the new name: without that, a power cut could lose the name."""
    synced: list[tuple[bool, bool]] = []
    target, fsync = tmp_path / "monday.db", os.fsync

    def record_sync(opened: int) -> None:
        synced.append((stat.S_ISDIR(os.fstat(opened).st_mode), target.exists()))
        fsync(opened)

    monkeypatch.setattr(os, "fsync", record_sync)
    assert backup.copy_database(url, target) == target.stat().st_size
    assert synced == [(False, False), (True, True)]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    copy = sqlite3.connect(target)
    assert copy.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    copy.close()


def test_a_failed_copy_leaves_no_file(tmp_path: Path) -> None:
    source = tmp_path / "live.db"
    source.write_bytes(b"not a database. " * 1000)
    with pytest.raises(backup.CopyFailed):
        backup.copy_database(databases.sqlite_url(source), tmp_path / "monday.db")
    assert list_files(tmp_path) == {"live.db"}
