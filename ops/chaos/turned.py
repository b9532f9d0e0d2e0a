"""`python -m ops.chaos.turned FILE …`: the command line of Licentia, with a clock that differs by the number of seconds in the file."""

import sys
from datetime import datetime, timedelta
from pathlib import Path

from app.base.clock import Clock

_true = Clock.now


def main() -> None:
    off = Path(sys.argv.pop(1))

    def now(self: Clock) -> datetime:
        return _true(self) + timedelta(seconds=float(off.read_text(encoding="ascii")))

    Clock.now = now  # type: ignore[method-assign]  # the one source of time
    from app.cli.commands import run  # noqa: PLC0415  it reads the clock from its first line on

    run()


if __name__ == "__main__":
    main()
