"""What the environment says: `LICENTIA_*` for each setting, or `LICENTIA_*_FILE` that names a file with it."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

PREFIX = "LICENTIA_"

Fault = tuple[str, str]
"""(variable, sentence): what is wrong, by name and never by value."""


def read_environment(environ: Mapping[str, str], fields: Collection[str]) -> tuple[dict[str, Any], list[Fault]]:
    """(texts by field, faults). A name that is no setting is a fault: a misspelt limit would be no limit."""
    given: dict[str, Any] = {}
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
                faults.append((variable, "names a file that cannot be read"))
                continue
        else:
            faults.append((variable, "is not a setting; see the README for the list"))
            continue
        if field in given:
            faults.append((variable, "is given twice, directly and as a file"))
        given[field] = value
    return given, faults
