"""Every statement that FastReads runs returns the same rows as SQLAlchemy. A new hot statement must be added to `prepare_parameters`."""

import ast
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

from sqlalchemy import Select, insert

from app.access import facts as access
from app.db.base import table
from app.db.types import AnySelect
from app.licenses import facts as licenses
from app.licenses.keys import digest_key
from app.licenses.seats import activations
from app.login.sessions import service as sessions
from app.login.sessions import tokens
from app.security.sealing import digest_token
from app.signing_keys import rotation
from app.signing_keys import service as signing_keys
from app.web import counters
from app.web.models import AttemptCounter
from tests.given import Given
from tests.house.source import ROOT

CALLS = ("query_one", "query_many", "rows")


def find_hot_statements() -> Iterator[AnySelect]:
    """Find the module-level statements that app/ passes to `query_one`, `query_many` or the `rows` of a snapshot."""
    for path in sorted((ROOT / "app").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if not name.startswith("app.db.") and any(f"{call}(" in text or f"({call}, " in text or f", {call}, " in text for call in CALLS):
            names = vars(import_module(name))
            for node in ast.walk(ast.parse(text)):
                yield from _find_in(node, names)


def _find_in(node: ast.AST, names: Mapping[str, Any]) -> Iterator[AnySelect]:
    """Find the statements among the arguments of a hot read, or of a call that gets `rows` or `query_many` as an argument."""
    if not isinstance(node, ast.Call):
        return
    if any(ast.unparse(part).rpartition(".")[2] in CALLS for part in (node.func, *node.args)):
        for argument in node.args:
            statement = _resolve(argument, names)
            if isinstance(statement, Select):
                yield statement


def _resolve(node: ast.expr, names: Mapping[str, Any]) -> Any:
    if isinstance(node, ast.Attribute):
        return getattr(_resolve(node.value, names), node.attr, None)
    return names.get(node.id) if isinstance(node, ast.Name) else None


async def prepare_parameters(given: Given) -> Mapping[AnySelect, Mapping[str, Any]]:
    """Create rows for every hot statement, and return the parameters that select them."""
    world, now = given.world, given.clock.now()
    person = await given.strong()
    license_ = await given.seats()
    given.expect(await given.client.put(f"/v1/licenses/{license_['id']}/users/{person.id}", headers=given.root))
    seat = await given.activation(license_)
    end_user = await tokens.read_end_user(world, str(person.token))
    device = await activations.resolve_token(world, seat["token"])
    assert device is not None
    counter = {"key": b"k" * 32, "attempts": 3, "locked_until": None, "expires_at": now}
    async with world.db.write() as tx:
        await tx.execute(insert(table(AttemptCounter)).values(counter))
    product = license_["product"]
    by_key = licenses.build_parameters(now, product=product, key_hash=digest_key(world.keys.lookup, license_["key"]))
    return {
        access._product_statement: {"code": product},
        access._session_statement: {"code": product, "session_id": end_user.session_id, "user": end_user.id},
        licenses.BY_KEY: by_key,
        licenses.BY_SEAT: licenses.build_parameters(now, license_id=device.license_id, seat_id=device.activation_id),
        licenses.BY_USER: licenses.build_parameters(now, user_id=end_user.id, product=product),
        activations._seat_by_token: {"the_token": digest_token(seat["token"])},
        sessions._session: sessions._build_parameters(end_user),
        rotation._every_key: {},
        signing_keys._every_key: {},
        signing_keys._public_keys: {},
        signing_keys._mark: {"name": signing_keys.LOOKUP_KEY},
        counters._attempts: {"the_key": counter["key"]},
    }


async def test_every_hot_statement_returns_the_rows_of_sqlalchemy(given: Given) -> None:
    parameters = await prepare_parameters(given)
    assert set(find_hot_statements()) == set(parameters)
    for statement, values in parameters.items():
        async with given.world.db.query() as tx:
            expected = (await tx.execute(statement, values)).all()
        rows = await given.world.db.fast_reads.rows(statement, values)
        assert rows, str(statement)
        assert [(row._fields, tuple(row)) for row in rows] == [(row._fields, tuple(row)) for row in expected]
        assert [[type(value) for value in row] for row in rows] == [[type(value) for value in row] for row in expected]
