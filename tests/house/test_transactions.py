"""A use case owns its transaction, a step never ends one, and nothing slow happens while SQLite's only writer is held."""

import pytest

from tests.house.source import SHARED_PACKAGES, Source, program
from tests.house.transactions import faults

NOT_SERVICES = {"__init__", "models", "rules", "problems", "schemas", "fields", "routes", "guard", "egress"}
SERVICES = [source for source in program() if source.package and source.package not in SHARED_PACKAGES and source.kind not in NOT_SERVICES]


def test_use_cases_and_steps_keep_to_their_transactions() -> None:
    """All rules, over every file of the domain packages that contains use cases or steps."""
    assert SERVICES
    assert [fault for source in SERVICES for fault in faults(source)] == []


@pytest.mark.parametrize("kind", ["routes", "rules", "guard", "schemas"])
def test_no_other_file_opens_a_transaction(kind: str) -> None:
    """Only files with use cases or steps name `world.db`."""
    others = [source for source in program() if source.package not in SHARED_PACKAGES and source.kind == kind]
    assert [source.path for source in others if "world.db" in source.text] == []


@pytest.mark.parametrize(
    "text",
    [
        "async def issue(values, world): ...",
        "async def spend(tx):\n    await tx.commit()",
        "async def spend(tx, world):\n    async with world.db.read() as other: ...",
        "async def issue(world):\n    async with world.db.write() as tx:\n        await tx.rollback()",
        "async def _peek(found, world):\n    async with world.db.query() as tx: ...",
        "async def log_in(world):\n    async with world.db.write() as tx:\n        await world.hasher.verify('a', 'b')",
        "async def tell(world):\n    async with world.db.write() as tx:\n        await asyncio.sleep(1)",
        "async def both(world):\n    async with world.db.write() as tx:\n        async with world.db.write() as other: ...",
    ],
)
def test_a_broken_rule_is_found(text: str) -> None:
    """Each rule can fail."""
    assert faults(Source.of("app/licenses/issuing/service.py", text))


def test_a_use_case_with_a_step_passes() -> None:
    text = "async def issue(world, values):\n    async with world.db.write() as tx:\n        await _put(tx)\n"
    assert faults(Source.of("app/licenses/issuing/service.py", text)) == []
