"""What a test has printed, in both formats of the log."""

import pytest

both_formats = pytest.mark.parametrize("debug_logs", ["json", "text"], indirect=True)


def read_output(capsys: pytest.CaptureFixture[str]) -> str:
    """Return everything printed since the last call."""
    out, err = capsys.readouterr()
    return out + err
