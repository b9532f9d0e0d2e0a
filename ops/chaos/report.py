"""The table: one line for each scenario."""

from collections.abc import Sequence
from dataclasses import dataclass

HEAD = ("scenario", "asked", "done", "503", "no answer", "slowest s", "back s", "healthz ms", "peak MiB", "what else")
FIRST = 40


@dataclass(frozen=True)
class Line:
    """`slowest`: an answer of any kind, as the server saw it, in seconds. `back`: from the end of the fault to the next success."""

    name: str
    asked: int
    done: int
    refused: int
    lost: int = 0
    slowest: float | None = None
    back: float | None = None
    health: float | None = None
    peak: float | None = None
    note: str = ""

    def cells(self) -> Sequence[str]:
        numbers = (self.asked, self.done, self.refused, self.lost)
        health = None if self.health is None else self.health * 1000
        return (self.name, *map(str, numbers), _format(self.slowest), _format(self.back), _format(health), _format(self.peak), self.note)


def show(cells: Sequence[str]) -> str:
    first, *numbers, note = cells
    return first.ljust(FIRST) + "".join(cell.rjust(11) for cell in numbers) + f"  {note}"


def _format(number: float | None) -> str:
    return "" if number is None else f"{number:.2f}" if number < 100 else f"{number:.0f}"
