"""The curl stories of the documents, run against a server: `python -m tests.docs.replay URL FOLDER`. The folder has `var/operator.key`.

It prints how the output differs from the documents, and ends with 1 then.
"""

import os
import re
import shutil
import subprocess
import sys
from difflib import unified_diff
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
STORIES = ("README.md", "docs/getting-started.md")
VARIES = re.compile(
    r'"(?:01[0-9a-f]{2}…|[0-9a-f]{8}-[0-9a-f-]{27}'  # an id
    r"|20[0-9]{2}-(?:…|[0-9-]{5}T[0-9:.]+Z)"  # an instant
    r'|(?<="key_last4":")(?:…|[0-9A-Z]{4}))"'
)
BLOCK = re.compile(r"^```(bash|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def read_story(page: str) -> tuple[str, list[str]]:
    """The script of all bash blocks of a page, and the lines of all its text blocks, in order."""
    blocks = BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
    script = "".join(body for kind, body in blocks if kind == "bash")
    return script, [line for kind, body in blocks if kind == "text" for line in body.splitlines()]


def replay(page: str, base: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run the story of a page as printed, in a folder that looks like a checkout."""
    for link, target in ((home / ".venv", Path(sys.prefix)), (home / "app", ROOT / "app")):
        if not link.exists():
            link.symlink_to(target)
    if shutil.which("curl") is None:  # a bare machine has none: a replacement that supports the options of the stories
        (home / "curl").write_text(f'#!/bin/sh\nexec {sys.executable} {ROOT}/tests/docs/curl.py "$@"\n')
        (home / "curl").chmod(0o755)
    environ = {**os.environ, "BASE": base, "PATH": f"{home}:{os.environ['PATH']}"}  # noqa: TID251  for a child
    command = ["bash", "-euo", "pipefail", "-c", read_story(page)[0]]
    return subprocess.run(command, cwd=home, env=environ, capture_output=True, text=True, check=False)


def mask_varying_values(line: str) -> str:
    """The line without ids, instants and ends of keys, which differ on each run. The documents shorten them with an ellipsis."""
    return VARIES.sub('"…"', line)


def compare(page: str, done: subprocess.CompletedProcess[str]) -> list[str]:
    """How the output differs from the text blocks of the page."""
    expected = [mask_varying_values(line) for line in read_story(page)[1]]
    printed = [mask_varying_values(line) for line in done.stdout.splitlines()]
    return list(unified_diff(expected, printed, page, "printed", lineterm=""))


def main(base: str, home: Path) -> int:
    """The exit code: 1 if the output of a story differs."""
    failed = False
    for page in STORIES:
        outcome = replay(page, base, home)
        differences = compare(page, outcome)
        sys.stderr.write("".join(f"{line}\n" for line in differences) + (outcome.stderr if outcome.returncode else ""))
        failed = failed or bool(differences) or outcome.returncode != 0
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
