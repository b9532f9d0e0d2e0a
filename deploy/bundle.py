"""An OCI bundle for `runc` out of an image's own configuration: its user, its command, no rights, a read-only root.

Reads the image's configuration (`buildah inspect`) on standard input and writes `config.json` on standard output.
"""

import argparse
import json
import sys
from typing import Any

HARMLESS = ["nosuid", "noexec", "nodev"]


def bind(source: str, destination: str, *options: str) -> dict[str, Any]:
    return {"type": "bind", "source": source, "destination": destination, "options": ["rbind", "nosuid", "nodev", *options]}


def bundle(image: dict[str, Any], given: argparse.Namespace) -> dict[str, Any]:
    """The runtime's configuration. The network is the host's, everything else is the container's own."""
    user, _, group = image["User"].partition(":")
    mounts: list[dict[str, Any]] = [
        {"type": "proc", "source": "proc", "destination": "/proc", "options": HARMLESS},
        {"type": "tmpfs", "source": "tmpfs", "destination": "/dev", "options": ["nosuid", "mode=755", "size=65536k"]},
        {"type": "tmpfs", "source": "tmpfs", "destination": "/tmp", "options": [*HARMLESS, "mode=1777"]},  # noqa: S108  the container's
        bind(given.data, "/data", "rw"),
    ]
    if given.secrets:
        mounts.append(bind(given.secrets, "/run/secrets", "ro"))
    return {
        "ociVersion": "1.0.2",
        "root": {"path": given.root, "readonly": True},
        "process": {
            "user": {"uid": int(user), "gid": int(group)},
            "args": image["Entrypoint"] + (given.command or image["Cmd"]),
            "env": image["Env"] + given.env,
            "cwd": image["WorkingDir"],
            "capabilities": {kind: [] for kind in ("bounding", "effective", "inheritable", "permitted", "ambient")},
            "noNewPrivileges": True,
        },
        "mounts": mounts,
        "linux": {"namespaces": [{"type": kind} for kind in ("pid", "ipc", "uts", "mount")]},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--secrets")
    parser.add_argument("--env", action="append", default=[])
    parser.add_argument("command", nargs="*")
    json.dump(bundle(json.load(sys.stdin)["Docker"]["config"], parser.parse_args()), sys.stdout, indent=2)


if __name__ == "__main__":
    main()
