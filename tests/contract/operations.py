"""The operations of the OpenAPI document, by method and path."""

import re
from typing import Any

from tests import snapshots

DOCUMENT = snapshots.document()
METHODS = ("get", "put", "post", "patch", "delete")
OPERATIONS: dict[str, dict[str, Any]] = {
    f"{method.upper()} {path}": calls[method] for path, calls in DOCUMENT["paths"].items() for method in METHODS if method in calls
}


CODE = re.compile(r"`([a-z0-9_]+)`")
