"""The server's configuration, and its import on systems without Unix modules."""

import subprocess
import sys
from pathlib import Path

import pytest
from fastapi import FastAPI

from app.config.settings import Settings
from app.server.server import build_server
from tests.config.environments import find_faults
from tests.servers import ROOT

WITHOUT_RESOURCE = """
import sys
sys.modules["resource"] = None  # `import resource` raises ImportError, as on Windows
from app.main import create_app
from app.config.settings import Settings
from app.server.limits import MAX_CONNECTIONS, count_max_connections
from app.server.server import build_server
build_server(create_app(), Settings.load())
print(count_max_connections() == MAX_CONNECTIONS)
"""


def test_the_server_is_built_without_the_resource_module(tmp_path: Path) -> None:
    """Python on Windows has no module `resource`."""
    environ = {"LICENTIA_VAR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    process = subprocess.run([sys.executable, "-c", WITHOUT_RESOURCE], env=environ, capture_output=True, text=True, check=False)
    assert (process.returncode, process.stdout) == (0, "True\n"), process.stderr


@pytest.mark.parametrize(("value", "seconds"), [(None, 75), ("PT2M", 120), ("5", 5)])
def test_the_keep_alive_time_reaches_uvicorn(value: str | None, seconds: int, tmp_path: Path) -> None:
    environ = {"LICENTIA_VAR": str(tmp_path)} | ({"LICENTIA_KEEP_ALIVE": value} if value else {})
    assert build_server(FastAPI(), Settings.load(environ)).config.timeout_keep_alive == seconds


@pytest.mark.parametrize("value", ["4", "PT61M", "0"])
def test_the_keep_alive_time_has_bounds(value: str, tmp_path: Path) -> None:
    assert list(find_faults({"LICENTIA_VAR": str(tmp_path), "LICENTIA_KEEP_ALIVE": value})) == ["LICENTIA_KEEP_ALIVE"]
