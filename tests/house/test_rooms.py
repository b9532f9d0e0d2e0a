"""A newcomer who knows one room knows them all: the same file names, each with the same prohibitions."""

import ast
from pathlib import Path

import pytest

from tests.house.prohibitions import faults
from tests.house.source import KITS, ROOT, Source, program

NEVER = {"util", "utils", "helper", "helpers", "common", "manager", "managers", "misc", "shared", "lib", "core"}
LAYERS = {"repository", "repositories", "dao", "crud", "controller", "controllers", "handler", "handlers", "view", "views", "serializers"}
SPLIT = {"models", "rules", "problems", "service", "services", "schemas", "routes", "guard"}

ROOMS = [source for source in program() if source.room and source.room not in KITS]


def misnamed(stem: str) -> bool:
    """Whether a file is named after a layer, or after nothing. A room splits by the thing it is about."""
    if stem in SPLIT - {"services"} or stem == "__init__":
        return False
    words = set(stem.removesuffix("_routes").removesuffix("_schemas").split("_"))
    return bool(words & (NEVER | LAYERS | SPLIT))


def test_a_file_is_named_after_its_duty_or_its_thing() -> None:
    """No `utils`, no `login_service`, no `repository`."""
    assert [source.path for source in program() if misnamed(Path(source.path).stem)] == []


@pytest.mark.parametrize("stem", ["utils", "date_helpers", "key_manager", "totp_service", "license_models", "repository", "services"])
def test_a_bad_name_is_seen(stem: str) -> None:
    assert misnamed(stem)


def test_a_package_says_what_it_is_for() -> None:
    """Every package of the program has a module docstring, and no folder is a package by accident."""
    folders = {path.parent for path in (ROOT / "app").rglob("*.py")}
    silent = [folder for folder in folders if not ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))]
    assert silent == []


def test_a_room_keeps_its_files_apart() -> None:
    """The table of prohibitions, over every file of every room."""
    assert [fault for source in ROOMS for fault in faults(source)] == []


def test_a_kit_keeps_its_files_apart() -> None:
    """A kit's tables and refusals obey the same table as a room's."""
    kept = [source for source in program() if source.room in {"web", "base"} and source.kind in {"models", "problems"}]
    assert [fault for source in kept for fault in faults(source)] == []


BAD = {
    "models.py": [
        "from fastapi import Request",
        "from app.users.models import User",
        "from sqlalchemy.orm import relationship",
        "x = relationship('User')",
        "x = ForeignKey(User.id)",
    ],
    "rules.py": [
        "from sqlalchemy import select",
        "from app.catalog.models import Product",
        "from app.base.clock import Clock",
        "async def judge(): ...",
        "def judge(tx): ...",
        "now = clock.now()",
    ],
    "problems.py": ["from app.web.errors import STATUS"],
    "service.py": ["from fastapi import Request", "from app.web.fields import Shape"],
    "seats.py": ["from starlette.requests import Request", "import app.web.routing"],
    "schemas.py": ["from sqlalchemy import select", "from app.catalog.models import Product"],
    "routes.py": [
        "from sqlalchemy import Row",
        "from app.db import dialect",
        "from app.catalog.models import Product",
        "@router.get('/')\nasync def show():\n    if x: ...\n    if y: ...",
        "@router.get('/')\nasync def show():\n    raise NotFound",
        "@router.get('/')\nasync def show():\n    await a()\n    await b()",
    ],
    "guard.py": ["from app.db.database import Transaction", "from fastapi import Depends"],
}


@pytest.mark.parametrize(("file", "text"), [(file, text) for file, texts in BAD.items() for text in texts])
def test_a_broken_prohibition_is_seen(file: str, text: str) -> None:
    """Each prohibition of the table can fail."""
    assert faults(Source.of(f"app/licenses/{file}", text))


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("rules.py", "from app.catalog.models import SeatBy\nfrom app.db.types import UNLIMITED"),
        ("schemas.py", "from sqlalchemy import Row"),
        ("models.py", "from app.db.base import Base\nx = ForeignKey('users.id')"),
        ("routes.py", "from app.users.models import Status"),
        ("routes.py", "@router.get('/')\nasync def show():\n    if isinstance(x, Y): ...\n    return await a()"),
    ],
)
def test_what_is_allowed_passes(file: str, text: str) -> None:
    assert faults(Source.of(f"app/licenses/{file}", text)) == []
