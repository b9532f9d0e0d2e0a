"""The ledger's events as lists and exports: same filters, exports oldest first, in batches."""

import asyncio
import csv
import io
import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert, select

from app.agreements.models import AgreementEvent, AgreementText
from app.agreements.reporting import exports
from app.agreements.reporting.events import EventFilters
from app.agreements.reporting.exports import ExportRequest
from app.base.durations import instant_text
from app.db.base import table
from app.events.models import Event
from app.events.service import Actor
from tests.agreements import making
from tests.agreements.making import Json, status_and_code
from tests.given import Given, Person

LIST, NDJSON, CSV = "/v1/agreement-events", "/v1/agreement-events.ndjson", "/v1/agreement-events.csv"


async def list_events(given: Given, **params: Any) -> list[Json]:
    data: list[Json] = given.expect(await given.client.get(LIST, params=params, headers=given.root))["data"]
    return data


async def lines(given: Given, **params: Any) -> list[Json]:
    answer = await given.client.get(NDJSON, params=params, headers=given.root)
    assert answer.status_code == 200, answer.text
    assert answer.text.endswith("\n") or not answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


async def rows(given: Given, **params: Any) -> list[dict[str, str]]:
    answer = await given.client.get(CSV, params=params, headers=given.root)
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8"), newline=""), strict=True))


async def many(given: Given, agreement: Json, person: Person, number: int, **more: Any) -> None:
    """Insert that many events directly into the table."""
    async with given.world.db.write() as tx:
        text = (await tx.execute(select(AgreementText.id, AgreementText.version_id).limit(1))).one()
        values = [
            {
                "id": given.world.entropy.identifier(), "user_id": UUID(person.id), "seq": seq, "type": "declined",
                "document_id": UUID(agreement["id"]), "version_id": text.version_id, "ordinal": 1, "text_id": text.id,
                "at": given.clock.now(), "actor_type": "user", "amr": "pwd", "receipt": f"e30.e30.{seq}", "receipt_sha256": "0" * 64,
                **more,
            }
            for seq in range(1, number + 1)
        ]  # fmt: skip
        await tx.execute(insert(table(AgreementEvent)), values)


async def test_one_event_in_every_form(given: Given) -> None:
    """The index, the grade and the receipt of an acceptance; addresses only on request."""
    agreement = await making.create_in_force(given)
    person = await given.strong()
    presentation = await making.present(given, person, agreement, locale="en")
    result = given.expect(await making.decide(given, person, presentation))
    [event] = await list_events(given)
    assert (event["id"], event["type"], event["user"], event["seq"], event["grade"]) == (result["event"], "accepted", person.id, 1, "A")
    assert (event["agreement"], event["product"], event["ordinal"], event["locale"]) == (agreement["id"], agreement["product"], 1, "en")
    assert (event["presentation"], event["amr"], event["imported"]) == (presentation["id"], ["pwd", "otp", "mfa"], None)
    [line] = await lines(given)
    assert line == {**event, "jws": result["receipt"]["jws"]}
    [cells] = await rows(given)
    assert (cells["id"], cells["grade"], cells["amr"], cells["actor_id"]) == (event["id"], "A", "pwd otp mfa", person.id)
    assert "ip" not in cells
    assert "127.0.0.1" not in json.dumps(line)
    [full] = await lines(given, context=True)
    assert full["context"]["ip"] == "127.0.0.1"
    assert (await rows(given, context=True))[0]["ip"] == "127.0.0.1"


async def test_the_filters(given: Given) -> None:
    """Each filter alone, in the list and in both exports."""
    first, second = await making.create_in_force(given), await making.create_in_force(given)
    ada, bob = await given.logged_in(), await given.logged_in()
    await making.accept(given, ada, first)
    before = given.clock.now()
    given.clock.forward(minutes=1)
    given.expect(await making.decide(given, bob, await making.present(given, bob, first), "decline"))
    await making.accept(given, bob, second)
    at = instant_text(given.clock.now())
    cases: list[tuple[dict[str, str], int]] = [
        ({}, 3),
        ({"product": second["product"]}, 1),
        ({"product": "no-such"}, 0),
        ({"agreement": first["id"]}, 2),
        ({"user": bob.id}, 2),
        ({"type": "declined"}, 1),
        ({"ordinal": "1"}, 3),
        ({"ordinal": "2"}, 0),
        ({"from": at}, 2),
        ({"to": at}, 1),
        ({"from": instant_text(before), "to": at, "user": ada.id}, 1),
    ]
    for params, number in cases:
        assert len(await list_events(given, **params)) == number, params
        assert len(await lines(given, **params)) == number, params
        assert len(await rows(given, **params)) == number, params


async def test_the_order(given: Given) -> None:
    """The list has the newest first, page by page; an export the oldest."""
    agreement = await making.create_in_force(given)
    person = await given.logged_in()
    await many(given, agreement, person, 5)
    page = given.expect(await given.client.get(LIST, params={"limit": 2}, headers=given.root))
    seen = [each["seq"] for each in page["data"]]
    while page["next_cursor"]:
        params = {"limit": 2, "cursor": page["next_cursor"]}
        page = given.expect(await given.client.get(LIST, params=params, headers=given.root))
        seen += [each["seq"] for each in page["data"]]
    assert seen == [5, 4, 3, 2, 1]
    assert [each["seq"] for each in await lines(given)] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("number", [0, 999, 1000, 1001, 2500])
async def test_batches_neither_lose_nor_repeat(given: Given, number: int) -> None:
    """Every event is exported once, also at the edges of a batch."""
    agreement = await making.create_in_force(given)
    person = await given.logged_in()
    await many(given, agreement, person, number) if number else None
    assert [each["seq"] for each in await lines(given)] == list(range(1, number + 1))
    assert [int(each["seq"]) for each in await rows(given)] == list(range(1, number + 1))


async def test_a_slow_reader_holds_no_connection(given: Given) -> None:
    """Between batches no connection is in use, and writers continue; new events are not exported."""
    agreement = await making.create_in_force(given)
    person = await given.logged_in()
    await many(given, agreement, person, 2500)
    stream = await exports.export_events(given.world, Actor("operator"), ExportRequest("ndjson", EventFilters(), context=False))
    first = await anext(stream)
    given.clock.forward(seconds=1)
    is_held = given.world.db.reader.sync_engine.pool.checkedout()  # type: ignore[attr-defined]
    assert is_held == len(given.world.db.fast_reads.idle)
    async with asyncio.timeout(5):
        other = await given.logged_in()
        await making.accept(given, other, agreement)
    rest = [batch async for batch in stream]
    assert len((first + b"".join(rest)).splitlines()) == 2500
    assert [len(batch.splitlines()) for batch in rest] == [1000, 500]


@pytest.mark.parametrize("receipt", ["nonsense", "e30.e30.x", "e30.W10.x", "e30.!.x", "e30.eyJjbGFpbXMiOjF9.x"])
async def test_a_broken_receipt_is_exported_as_it_is(given: Given, receipt: str) -> None:
    """Rows with a broken receipt are needed to investigate tampering; verification explains the fault."""
    agreement = await making.create_in_force(given)
    person = await given.logged_in()
    await many(given, agreement, person, 1, type="imported", receipt=receipt)
    assert [(each["jws"], each["imported"]) for each in await lines(given)] == [(receipt, None)]
    assert [each["external_ref"] for each in await rows(given)] == [""]
    assert [each["imported"]["external_ref"] for each in await list_events(given)] == [None]


async def test_formulas_are_defused(given: Given) -> None:
    """A cell that a spreadsheet would run begins with an apostrophe; quotes, commas and line ends are RFC 4180's."""
    agreement = await making.create_in_force(given)
    agents = ['=HYPERLINK("http://x")', "+1+1", "-2", "@SUM(A1)", "x;=cmd|calc!A1", 'plain, "quoted"', "Ødegård/1.0"]
    person = await given.logged_in()
    for agent in agents:
        presentation = await making.present(given, person, agreement)
        headers = {**person.auth, "User-Agent": agent.encode().decode("latin-1")} if agent != "Ødegård/1.0" else {**person.auth}
        words = {"decision": "decline", "text_sha256": presentation["text"]["sha256"]}
        given.expect(await given.client.post(f"/v1/me/presentations/{presentation['id']}/decision", json=words, headers=headers))
    result = [row["user_agent"] for row in await rows(given, context=True)]
    assert result[:4] == ['\'=HYPERLINK("http://x")', "'+1+1", "'-2", "'@SUM(A1)"]
    assert result[4] == "x;'=cmd|calc!A1"
    assert result[5] == 'plain, "quoted"'
    assert not [cell for cell in result if cell.startswith((*exports.FORMULA_STARTS, "\t", "\r"))]
    plain = [line["context"]["user_agent"] for line in await lines(given, context=True)]
    assert plain[0] == agents[0]


@pytest.mark.parametrize(
    "cell",
    ["=1", "+1", "-1", "@x", " =1", "\u00a0=1", "\u200b=1", "\ufeff+1", "\u2028@x", "\x00-1", "＝1", "﹢1", "＠x", '"=1', "\ufe0f=1"],
)
def test_every_start_of_a_formula_is_neutralised(cell: str) -> None:
    """After invisible characters, in a full-width form, and after any cell separator of another spreadsheet."""
    defused = exports._neutralise_formulas(cell)
    assert defused.replace("'", "") == cell
    assert "'" in defused
    assert exports._neutralise_formulas(f"a{cell.strip()}") == f"a{cell.strip()}" or "\u2028" in cell
    for mark in (";", "\t", "\r", "\n", "\r\n", ";; "):
        result = exports._neutralise_formulas(f"x{mark}{cell};y")
        assert result.replace("'", "") == f"x{mark}{cell};y"
        assert result.count("'") == 1
        assert result.index("'") < result.index(cell[-2])


@pytest.mark.parametrize("cell", ["\tx", "\rx", "\nx"])
def test_a_cell_begins_with_no_separator(cell: str) -> None:
    assert exports._neutralise_formulas(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["", "a=1", "Mozilla/5.0 (X11; Linux) x-y", "a;b=c", "'", 7, None])
def test_all_else_is_left_alone(cell: object) -> None:
    assert exports._neutralise_formulas(cell) == cell


async def test_how_it_is_served(given: Given) -> None:
    """A named file with its type, without caching; an empty table has its header."""
    for path, kind, ending in ((NDJSON, "application/x-ndjson", "ndjson"), (CSV, "text/csv; charset=utf-8", "csv")):
        answer = await given.client.get(path, headers=given.root)
        assert answer.headers["content-type"] == kind
        assert answer.headers["content-disposition"] == f'attachment; filename="agreement-events-2026-11-22.{ending}"'
        assert answer.headers["cache-control"] == "no-store"
    assert answer.content.startswith(b"id,type,at,")
    assert answer.content.endswith(b"\r\n")
    assert (await given.client.get(NDJSON, headers=given.root)).content == b""


async def test_refused_before_the_first_byte(given: Given) -> None:
    """A refused export returns a problem and records no event."""
    for path in (LIST, NDJSON, CSV):
        assert status_and_code(await given.client.get(path)) == (401, "unauthenticated")
        assert status_and_code(await given.client.get(path, headers=await given.operator("users:read"))) == (403, "scope_missing")
        for query in ({"type": "agreed"}, {"from": "yesterday"}, {"ordinal": "0"}, {"userr": "x"}):
            answer = await given.client.get(path, params=query, headers=given.root)
            assert status_and_code(answer) == (422, "malformed")
    assert status_and_code(await given.client.get(LIST, params={"context": "true"}, headers=given.root)) == (422, "malformed")
    assert await list_export_events(given) == []


async def list_export_events(given: Given) -> list[Any]:
    async with given.world.db.query() as tx:
        wanted = select(Event.actor_type, Event.subject_type, Event.subject_id, Event.user_id, Event.data)
        return list((await tx.execute(wanted.where(Event.type == "agreement_events.exported").order_by(Event.id))).all())


async def test_exports_are_recorded(given: Given) -> None:
    """The event has the operator, format and filters; an export about one user is in that user's history."""
    agreement = await making.create_in_force(given)
    person = await given.logged_in()
    moment = instant_text(given.clock.now() - timedelta(days=1))
    await rows(given, agreement=agreement["id"], type="accepted", **{"from": moment})
    await lines(given, user=person.id, context="true")
    first, second = await list_export_events(given)
    assert (first.actor_type, first.subject_type, first.subject_id) == ("operator", "agreement", UUID(agreement["id"]))
    assert first.data == {
        "form": "csv",
        "context": False,
        "filters": {"agreement": agreement["id"], "type": "accepted", "since": moment},
    }
    assert (second.subject_type, second.user_id) == ("api_key", UUID(person.id))
    assert second.data == {"form": "ndjson", "context": True, "filters": {"user": person.id}}
