"""The real server as a separate process on loopback: for races between workers, kills, and the stories of the documents."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parents[1]
START_TIMEOUT = 120.0
"""Seconds. Generous: it only bounds a failure, and a busy machine takes long to import."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Running:
    """Runs `python -m app serve` in `home` during a block, which begins when the server is ready. `environ` adds settings."""

    def __init__(self, home: Path, *options: str, **environ: str) -> None:
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self.home = home
        self.log = home / f"server-{self.port}.log"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("LICENTIA_")}  # noqa: TID251  for a child
        self.environ = {**inherited, "PYTHONPATH": str(ROOT), "LICENTIA_PORT": str(self.port), **environ}
        self.command = [sys.executable, "-m", "app", "serve", *options]

    def __enter__(self) -> Self:
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(self.command, cwd=self.home, env=self.environ, stdout=log, stderr=log)
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline and self.process.poll() is None:
            if self._ready():
                return self
            time.sleep(0.05)
        self.kill()
        raise AssertionError(f"the server did not come up:\n{self.log.read_text()}")

    def _ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()

    def kill(self) -> None:
        """Send SIGKILL."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Send SIGTERM and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(START_TIMEOUT)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.process.poll() is None:
            self.stop()
