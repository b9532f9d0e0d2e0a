"""Every package has the same file names, and each kind of file the same rules."""

from pathlib import Path

import pytest

from tests.house.package_rules import faults
from tests.house.source import SHARED_PACKAGES, Source, program

EMPTY_WORDS = {"util", "utils", "helper", "helpers", "common", "manager", "managers", "misc", "shared", "lib", "core"}
LAYERS = {"repository", "repositories", "dao", "crud", "controller", "controllers", "handler", "handlers", "view", "views", "serializers"}
KINDS = {"models", "rules", "problems", "service", "services", "schemas", "routes", "guard"}

DOMAIN = [source for source in program() if source.package and source.package not in SHARED_PACKAGES]


def is_misnamed(stem: str) -> bool:
    """Tell whether a file is named after a layer, or says nothing. A package is split by subject."""
    if stem in KINDS - {"services"} or stem == "__init__":
        return False
    words = set(stem.removesuffix("_routes").removesuffix("_schemas").split("_"))
    return bool(words & (EMPTY_WORDS | LAYERS | KINDS))


def test_a_file_is_named_after_its_kind_or_its_subject() -> None:
    """No `utils`, no `login_service`, no `repository`."""
    assert [source.path for source in program() if is_misnamed(Path(source.path).stem)] == []


@pytest.mark.parametrize("stem", ["utils", "date_helpers", "key_manager", "totp_service", "license_models", "repository", "services"])
def test_a_bad_file_name_is_found(stem: str) -> None:
    assert is_misnamed(stem)


def test_files_of_domain_packages_keep_their_rules() -> None:
    """All rules, over every file of every domain package."""
    assert [fault for source in DOMAIN for fault in faults(source)] == []


def test_models_and_problems_of_shared_packages_keep_their_rules() -> None:
    sources = [source for source in program() if source.package in {"web", "base"} and source.kind in {"models", "problems"}]
    assert [fault for source in sources for fault in faults(source)] == []


BAD = {
    "models.py": [
        "from fastapi import Request",
        "from app.users.models import User",
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
def test_a_broken_rule_is_found(file: str, text: str) -> None:
    """Each rule can fail."""
    assert faults(Source.of(f"app/licenses/{file}", text))


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("rules.py", "from app.catalog.models import SeatBy\nfrom app.db.types import UNLIMITED"),
        ("schemas.py", "from sqlalchemy import Row"),
        ("models.py", "from app.db.base import Base\nx = ForeignKey('users.id')"),
        ("routes.py", "from app.users.models import UserStatus"),
        ("routes.py", "@router.get('/')\nasync def show():\n    if isinstance(x, Y): ...\n    return await a()"),
    ],
)
def test_allowed_code_passes(file: str, text: str) -> None:
    assert faults(Source.of(f"app/licenses/{file}", text)) == []
