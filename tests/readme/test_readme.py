"""The README's curl session runs as printed, and prints what the README says."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.servers import ROOT, Running

VARIES = re.compile(
    r'"(?:01[0-9a-f]{2}…|[0-9a-f]{8}-[0-9a-f-]{27}'  # an id
    r"|20[0-9]{2}-(?:…|[0-9-]{5}T[0-9:.]+Z)"  # an instant
    r'|(?<="key_last4":")(?:…|[0-9A-Z]{4}))"'
)
BLOCK = re.compile(r"^```(bash|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def session() -> tuple[str, list[str]]:
    """The script of all bash blocks, and the lines of all text blocks, in order."""
    story = (ROOT / "README.md").read_text().partition("## The whole story in curl")[2].partition("\n## ")[0]
    blocks = BLOCK.findall(story)
    script = "".join(body for kind, body in blocks if kind == "bash")
    return script, [line for kind, body in blocks if kind == "text" for line in body.splitlines()]


def test_the_curl_session_runs_as_printed(tmp_path: Path) -> None:
    script, printed = session()
    (tmp_path / ".venv").symlink_to(sys.prefix)
    if shutil.which("curl") is None:  # a bare machine has none: a stand-in that knows the options the README uses
        (tmp_path / "curl").write_text(f'#!/bin/sh\nexec {sys.executable} {ROOT}/tests/readme/curl.py "$@"\n')
        (tmp_path / "curl").chmod(0o755)
    (tmp_path / "app").symlink_to(ROOT / "app")
    with Running(tmp_path, "--migrate", "--demo") as server:
        environ = {**os.environ, "BASE": server.base, "PATH": f"{tmp_path}:{os.environ['PATH']}"}  # noqa: TID251  for a child
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, env=environ, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr + done.stdout
    assert [same(line) for line in done.stdout.splitlines()] == [same(line) for line in printed]


def same(line: str) -> str:
    """The line without what is another on each run: ids, instants, the end of a key. The README shortens them with a dash of dots."""
    return VARIES.sub('"…"', line)


def test_the_stand_in_knows_every_option_that_the_readme_uses() -> None:
    used = set(re.findall(r"(?<= )-[A-Za-z]+(?= )", " ".join(re.findall(r"curl (.*?)(?:\||>|$)", session()[0], re.DOTALL))))
    assert used <= {"-sS", "-H", "-X", "-d"}
