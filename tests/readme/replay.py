"""The README's curl session, run against a server: `python -m tests.readme.replay URL FOLDER`. The folder has `var/operator.key`.

It prints what differs from what the README says, and ends with 1 then.
"""

import os
import re
import shutil
import subprocess
import sys
from difflib import unified_diff
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
VARIES = re.compile(
    r'"(?:01[0-9a-f]{2}…|[0-9a-f]{8}-[0-9a-f-]{27}'  # an id
    r"|20[0-9]{2}-(?:…|[0-9-]{5}T[0-9:.]+Z)"  # an instant
    r'|(?<="key_last4":")(?:…|[0-9A-Z]{4}))"'
)
BLOCK = re.compile(r"^```(bash|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def session() -> tuple[str, list[str]]:
    """The script of all bash blocks, and the lines of all text blocks, in order."""
    story = README.read_text(encoding="utf-8").partition("## The whole story in curl")[2].partition("\n## ")[0]
    blocks = BLOCK.findall(story)
    script = "".join(body for kind, body in blocks if kind == "bash")
    return script, [line for kind, body in blocks if kind == "text" for line in body.splitlines()]


def replay(base: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run the session as printed, in a folder that looks like a checkout."""
    (home / ".venv").symlink_to(sys.prefix)
    (home / "app").symlink_to(ROOT / "app")
    if shutil.which("curl") is None:  # a bare machine has none: a stand-in that knows the options the README uses
        (home / "curl").write_text(f'#!/bin/sh\nexec {sys.executable} {ROOT}/tests/readme/curl.py "$@"\n')
        (home / "curl").chmod(0o755)
    environ = {**os.environ, "BASE": base, "PATH": f"{home}:{os.environ['PATH']}"}  # noqa: TID251  for a child
    command = ["bash", "-euo", "pipefail", "-c", session()[0]]
    return subprocess.run(command, cwd=home, env=environ, capture_output=True, text=True, check=False)


def mask_varying_values(line: str) -> str:
    """The line without what is another on each run: ids, instants, the end of a key. The README shortens them with a dash of dots."""
    return VARIES.sub('"…"', line)


def compare(done: subprocess.CompletedProcess[str]) -> list[str]:
    """How what was printed differs from what the README says."""
    printed = [mask_varying_values(line) for line in session()[1]]
    told = [mask_varying_values(line) for line in done.stdout.splitlines()]
    return list(unified_diff(printed, told, "README", "printed", lineterm=""))


if __name__ == "__main__":
    outcome = replay(sys.argv[1], Path(sys.argv[2]))
    wrong = compare(outcome)
    sys.stderr.write("".join(f"{line}\n" for line in wrong) + (outcome.stderr if outcome.returncode else ""))
    sys.exit(1 if wrong or outcome.returncode else 0)
