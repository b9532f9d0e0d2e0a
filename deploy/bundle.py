"""Build an OCI bundle for `runc` from an image's configuration: its user and command, no capabilities, a read-only root.

Reads the image's configuration (`buildah inspect`) on standard input and writes `config.json` on standard output.
"""

import argparse
import json
import sys
from typing import Any

SAFE_OPTIONS = ["nosuid", "noexec", "nodev"]


def bind(source: str, destination: str, *options: str) -> dict[str, Any]:
    return {"type": "bind", "source": source, "destination": destination, "options": ["rbind", "nosuid", "nodev", *options]}


def build_bundle(image: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """Return the runtime configuration. The container shares the network of the host and nothing else."""
    user, _, group = image["User"].partition(":")
    mounts: list[dict[str, Any]] = [
        {"type": "proc", "source": "proc", "destination": "/proc", "options": SAFE_OPTIONS},
        {"type": "tmpfs", "source": "tmpfs", "destination": "/dev", "options": ["nosuid", "mode=755", "size=65536k"]},
        {"type": "tmpfs", "source": "tmpfs", "destination": "/tmp", "options": [*SAFE_OPTIONS, "mode=1777"]},  # noqa: S108  path in the container
        bind(options.data, "/data", "rw"),
    ]
    if options.secrets:
        mounts.append(bind(options.secrets, "/run/secrets", "ro"))
    return {
        "ociVersion": "1.0.2",
        "root": {"path": options.root, "readonly": True},
        "process": {
            "user": {"uid": int(user), "gid": int(group)},
            "args": image["Entrypoint"] + (options.command or image["Cmd"]),
            "env": image["Env"] + options.env,
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
    json.dump(build_bundle(json.load(sys.stdin)["Docker"]["config"], parser.parse_args()), sys.stdout, indent=2)


if __name__ == "__main__":
    main()
