"""`python -m ops.chaos`: run every scenario and print its line. `--only` runs those whose name begins with the argument."""

import argparse
import asyncio
import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping

from ops.chaos import away, crowds
from ops.chaos.report import HEAD, Line, show

SCENARIOS: Mapping[str, Callable[[], AsyncIterator[Line]]] = {
    "restarts": away.restarts,
    "freezes": away.freezes,
    "kills": away.kills,
    "clocks": away.clocks,
    "logins": crowds.logins,
    "clients": crowds.clients,
    "disk": crowds.disk,
}


async def _play(only: str) -> None:
    print(show(HEAD))
    for name, scenario in SCENARIOS.items():
        if name.startswith(only):
            async for line in scenario():
                print(show(line.cells()), flush=True)
    print(f"load average at the end: {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m ops.chaos", description=__doc__)
    parser.add_argument("--only", default="", help=", ".join(SCENARIOS))
    try:
        asyncio.run(_play(parser.parse_args().only))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
