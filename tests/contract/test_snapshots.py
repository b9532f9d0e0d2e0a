"""The contract changes only on purpose: the application equals the frozen OpenAPI document and the frozen codes."""

from pathlib import Path

import pytest

from tests import snapshots


def test_the_contract_is_as_it_is_frozen() -> None:
    """A path, field, status or code that clients rely on does not change by accident. If it is meant: `make openapi`."""
    assert snapshots.drift() == ""


@pytest.fixture
def frozen(tmp_path: Path) -> Path:
    """A folder with snapshots of its own."""
    snapshots.write(tmp_path)
    return tmp_path


def test_what_was_just_written_checks(frozen: Path) -> None:
    assert snapshots.main(["--check"], frozen) == 0


@pytest.mark.parametrize(("name", "word"), [("codes.txt", "seat_limit_reached 409"), ("openapi.json", '"/v1/access"')])
def test_a_change_is_shown_and_fails(frozen: Path, capsys: pytest.CaptureFixture[str], name: str, word: str) -> None:
    """The check can fail, and says what moved in both directions."""
    text = (frozen / name).read_text(encoding="utf-8")
    (frozen / name).write_text(text.replace(word, "something_else"), encoding="utf-8")
    assert snapshots.main(["--check"], frozen) == 1
    lines = capsys.readouterr().err.splitlines()
    assert any(line.startswith("-") and "something_else" in line for line in lines)
    assert any(line.startswith("+") and word in line for line in lines)


def test_a_missing_snapshot_fails(tmp_path: Path) -> None:
    assert snapshots.main(["--check"], tmp_path) == 1


def test_a_wrong_call_prints_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert snapshots.main([]) == 2
    assert capsys.readouterr().err == snapshots.USAGE
