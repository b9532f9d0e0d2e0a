"""Stored rows and later responses have no secret: events, every table, and every answer after the first."""

import json

from sqlalchemy import select

from app.events.models import Event
from tests.given import Given
from tests.secrets.stored import read_all_tables
from tests.secrets.walk import BEARERS, misplaced, walked

LISTS = ("api-keys", "products", "policies", "customers", "licenses", "activations", "users", "agreements", "webhooks", "events")


async def test_events_hold_facts_only(given: Given) -> None:
    """No secret, and no name or address either: events outlive the person they tell of."""
    secrets = await walked(given)
    async with given.world.db.read() as tx:
        rows = (await tx.execute(select(Event))).mappings().all()
    lines = [json.dumps({name: str(value) if name != "data" else value for name, value in row.items()}) for row in rows]
    assert {"api_key.created", "license.issued", "activation.taken", "session.opened", "factor.added"} <= {row["type"] for row in rows}
    for line in lines:
        assert secrets.found_in(line) == []
        assert BEARERS.findall(line) == []
        assert [name for name, value in secrets.private.items() if value in line] == []


async def test_nothing_is_stored_in_clear(given: Given) -> None:
    """A thief of the database can log in nowhere: it has digests, hashes and sealed values, also of stored responses."""
    secrets = await walked(given)
    stored = await read_all_tables(given)
    assert "kept_answers" in stored
    assert {name: secrets_found for name, rows in stored.items() if (secrets_found := secrets.found_in(rows))} == {}
    assert "Kari Nordmann" in stored["customers"]


async def test_a_secret_is_shown_once(given: Given) -> None:
    """No list and no look at a thing shows again what was shown when it was made."""
    secrets = await walked(given)
    for path in await looks(given):
        answer = await given.client.get(path, headers=given.root)
        assert answer.is_success, path
        assert secrets.found_in(answer.text) == [], path
        assert BEARERS.findall(answer.text) == [], path


async def looks(given: Given) -> list[str]:
    """Every list of the back office, and each thing in it."""
    paths = []
    for name in LISTS:
        listed = given.expect(await given.client.get(f"/v1/{name}", headers=given.root))["data"]
        assert listed, name
        ids = [row["code"] if name == "products" else row["id"] for row in listed]
        paths += [f"/v1/{name}"] + [f"/v1/{name}/{each}" for each in ids if name not in {"api-keys", "activations"}]
        paths += [f"/v1/licenses/{each}/{of}" for each in ids if name == "licenses" for of in ("activations", "activation-codes")]
    return paths


async def test_a_refusal_repeats_no_secret(given: Given) -> None:
    """Whatever is put into the wrong place does not come back: not in a sentence, not in a pointer, not in a header."""
    secrets = await walked(given)
    for answer in await misplaced(given.client, secrets):
        said = answer.text + str(answer.headers)
        assert secrets.found_in(said) == [], f"{answer.request.method} {answer.request.url.path}"
