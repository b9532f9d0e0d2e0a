"""Read the environment: `LICENTIA_*` for each setting, or `LICENTIA_*_FILE` with the name of a file that holds the value."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

PREFIX = "LICENTIA_"

Fault = tuple[str, str]
"""(variable, sentence). The sentence never repeats the value."""


def read_environment(environ: Mapping[str, str], fields: Collection[str]) -> tuple[dict[str, Any], list[Fault]]:
    """Return (texts by field, faults). An unknown `LICENTIA_` name is a fault: a misspelt limit would have no effect."""
    values: dict[str, Any] = {}
    faults: list[Fault] = []
    for variable in sorted(name for name in environ if name.upper().startswith(PREFIX)):
        name = variable.upper().removeprefix(PREFIX).lower()
        field, value = name.removesuffix("_file"), environ[variable]
        if name in fields:
            field = name
        elif name != field and field in fields:
            try:
                value = Path(value).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeError):
                faults.append((variable, "names a file that cannot be read as UTF-8 text"))
                continue
        else:
            faults.append((variable, "is not a setting; docs/reference/settings.md lists all settings"))
            continue
        if field in values:
            faults.append((variable, "is set twice: directly and with _FILE; remove one"))
        values[field] = value
    return values, faults
