"""Stored rows have no secret, and neither has any response after the first: events, every table, every list."""

import json

from sqlalchemy import select

from app.events.models import Event
from tests.given import Given
from tests.secrets.stored import read_all_tables
from tests.secrets.walk import BEARERS, misplace_secrets, walk_main_line

LISTS = ("api-keys", "products", "policies", "customers", "licenses", "activations", "users", "agreements", "webhooks", "events")


async def test_events_have_no_secret_and_no_personal_data(given: Given) -> None:
    """No name or address either: events are kept for longer than the person's account."""
    secrets = await walk_main_line(given)
    async with given.world.db.read() as tx:
        rows = (await tx.execute(select(Event))).mappings().all()
    lines = [json.dumps({name: str(value) if name != "data" else value for name, value in row.items()}) for row in rows]
    assert {"api_key.created", "license.issued", "activation.taken", "session.opened", "factor.added"} <= {row["type"] for row in rows}
    for line in lines:
        assert secrets.find_in(line) == []
        assert BEARERS.findall(line) == []
        assert [name for name, value in secrets.private.items() if value in line] == []


async def test_no_secret_is_stored_in_clear_text(given: Given) -> None:
    """A stolen database gives no access: it has digests, hashes and encrypted values, also of stored responses."""
    secrets = await walk_main_line(given)
    stored = await read_all_tables(given)
    assert "kept_answers" in stored
    assert {name: names for name, rows in stored.items() if (names := secrets.find_in(rows))} == {}
    assert "Kari Nordmann" in stored["customers"]


async def test_a_secret_is_in_one_response_only(given: Given) -> None:
    """No list and no detail has the secret that the response to its creation had."""
    secrets = await walk_main_line(given)
    for path in await list_paths(given):
        response = await given.client.get(path, headers=given.root)
        assert response.is_success, path
        assert secrets.find_in(response.text) == [], path
        assert BEARERS.findall(response.text) == [], path


async def list_paths(given: Given) -> list[str]:
    """Return the path of every list of the back office, and of each item in it."""
    paths = []
    for name in LISTS:
        rows = given.expect(await given.client.get(f"/v1/{name}", headers=given.root))["data"]
        assert rows, name
        ids = [row["code"] if name == "products" else row["id"] for row in rows]
        paths += [f"/v1/{name}"] + [f"/v1/{name}/{each}" for each in ids if name not in {"api-keys", "activations"}]
        paths += [f"/v1/licenses/{each}/{of}" for each in ids if name == "licenses" for of in ("activations", "activation-codes")]
    return paths


async def test_a_problem_repeats_no_secret(given: Given) -> None:
    """A secret that was sent in the wrong place is in no sentence, pointer or header of the response."""
    secrets = await walk_main_line(given)
    for response in await misplace_secrets(given.client, secrets):
        output = response.text + str(response.headers)
        assert secrets.find_in(output) == [], f"{response.request.method} {response.request.url.path}"
