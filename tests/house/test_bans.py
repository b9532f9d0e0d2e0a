"""Time, chance, the environment, dialects and passlib have one home each, and nothing is mocked: ruff says so, and it bites."""

import subprocess
import sys

import pytest

from tests.house.source import ROOT

STRAYS = {
    "from datetime import UTC, datetime\n\nNOW = datetime.now(UTC)\n": "app/base/clock.py",
    "import time\n\nNOW = time.time()\n": "app/base/clock.py",
    "import secrets\n\nTOKEN = secrets.token_hex()\n": "app/base/entropy.py",
    "import random\n\nDRAW = random.random()\n": "app/base/entropy.py",
    "import os\n\nSALT = os.urandom(16)\n": "app/base/entropy.py",
    "from uuid import uuid4\n\nID = uuid4()\n": "app/base/entropy.py",
    "from uuid_utils.compat import uuid7\n\nID = uuid7()\n": "app/base/entropy.py",
    "import os\n\nHOME = os.environ['HOME']\n": "app/config/settings.py",
    "import os\n\nHOME = os.getenv('HOME')\n": "app/config/settings.py",
    "from passlib.context import CryptContext\n\nCONTEXT = CryptContext()\n": "app/security/passwords.py",
    "from sqlalchemy.dialects import sqlite\n\nINSERT = sqlite.insert\n": "app/db/dialect.py",
}
NOWHERE = [
    "from unittest.mock import Mock\n\nTHING = Mock()\n",
    "from starlette.testclient import TestClient\n\nCLIENT = TestClient\n",
    "from fastapi import BackgroundTasks\n\nTASKS = BackgroundTasks()\n",
    "from sqlalchemy.orm import relationship\n\nLINK = relationship('User')\n",
]


def banned(path: str, text: str) -> bool:
    """Whether ruff refuses this text at this place as a banned name."""
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--select", "TID251", "--stdin-filename", path, "-"]
    return "TID251" in subprocess.run(command, cwd=ROOT, input=text, capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize(("text", "home"), STRAYS.items())
def test_a_stray_is_refused_everywhere_but_at_home(text: str, home: str) -> None:
    """Each name in a room and in a test, and then in the one file that is its home."""
    assert banned("app/catalog/service.py", text)
    assert banned("tests/catalog/test_products.py", text)
    assert not banned(home, text)


@pytest.mark.parametrize("text", NOWHERE)
def test_some_names_have_no_home(text: str) -> None:
    assert banned("app/catalog/service.py", text)
    assert banned("tests/catalog/test_products.py", text)
