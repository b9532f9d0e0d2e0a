"""Verification of the ledger: altered or removed rows that a receipt refers to are named."""

from typing import Any
from uuid import UUID

import pytest

from app.agreements.ledger import seals
from tests.agreements import making
from tests.agreements.verification import tampering
from tests.given import Given

Json = dict[str, Any]
_OF = "(SELECT {column} FROM agreement_events WHERE id = :id)"


async def _accept(given: Given) -> Json:
    """Record one acceptance, by a client that identifies itself. The ledger contains nothing else."""
    agreement = await making.create_in_force(given)
    screen = {"client": "desk", "app_version": "1", "platform": "x", "ui_ref": "s1", "format": "html"}
    return await making.accept(given, await given.logged_in(), agreement, **screen)


async def _verify(given: Given) -> Json:
    return given.expect(await given.client.post("/v1/ledger/verify", json={}, headers=given.root))


async def _assert_named(given: Given, change: str, event: str, what: str) -> None:
    assert (await _verify(given))["valid"] is True
    await tampering.execute(given, change, id=UUID(event))
    broken = (await _verify(given))["broken"]
    assert (broken["what"], broken["event"], broken["seq"]) == (what, event, 1)


ALTERED = [
    ("agreement_documents", "document_id", "kind = 'notice'", "document.kind"),
    ("agreement_documents", "document_id", "region = 'NO'", "document.region"),
    ("agreement_versions", "version_id", "ordinal = 2", "version.ordinal"),
    ("agreement_versions", "version_id", "document_id = id", "version.document_id"),
    ("agreement_texts", "text_id", "version_id = id", "text.version_id"),
    ("agreement_presentations", "presentation_id", "format = 'md'", "presentation.format"),
    ("agreement_presentations", "presentation_id", "served_sha256 = 'x'", "presentation.served_sha256"),
    ("agreement_presentations", "presentation_id", "presented_at = '2020-01-01 00:00:00+00'", "presentation.presented_at"),
    ("agreement_presentations", "presentation_id", "user_id = id", "presentation.user_id"),
    ("agreement_presentations", "presentation_id", "text_id = id", "presentation.text_id"),
    ("agreement_presentations", "presentation_id", "client = 'other'", "presentation.client"),
    ("agreement_presentations", "presentation_id", "app_version = NULL", "presentation.app_version"),
    ("agreement_presentations", "presentation_id", "platform = 'y'", "presentation.platform"),
    ("agreement_presentations", "presentation_id", "ui_ref = 's2'", "presentation.ui_ref"),
    ("agreement_presentations", "presentation_id", "locale_requested = 'nb'", "presentation.locale_requested"),
    ("agreement_presentations", "presentation_id", "fallback = 'language'", "presentation.fallback"),
]


@pytest.mark.parametrize(("name", "column", "change", "what"), ALTERED)
async def test_an_altered_row_is_named(given: Given, name: str, column: str, change: str, what: str) -> None:
    decision = await _accept(given)
    await _assert_named(given, f"UPDATE {name} SET {change} WHERE id = {_OF.format(column=column)}", decision["event"], what)  # noqa: S608  our own words


async def test_an_altered_product_code_is_named(given: Given) -> None:
    decision = await _accept(given)
    owner = f"(SELECT product_id FROM agreement_documents WHERE id = {_OF.format(column='document_id')})"  # noqa: S608  our own words
    await _assert_named(given, f"UPDATE products SET code = 'other' WHERE id = {owner}", decision["event"], "document.product")  # noqa: S608  our own words


@pytest.mark.parametrize("what", ["document", "version", "text", "presentation"])
async def test_a_removed_row_is_named(given: Given, what: str) -> None:
    decision = await _accept(given)
    gone = f"DELETE FROM agreement_{what}s WHERE id = {_OF.format(column=f'{what}_id')}"  # noqa: S608  our own words
    await _assert_named(given, gone, decision["event"], what)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ("DELETE FROM agreement_imports WHERE event_id = :id", "import"),
        ("UPDATE agreement_imports SET external_ref = 'other' WHERE event_id = :id", "import.external_ref"),
    ],
)
async def test_an_altered_import_is_named(given: Given, change: str, what: str) -> None:
    agreement, person = await making.create_in_force(given), await given.person()
    item = {"user": person.id, "ordinal": 1, "accepted_at": making.days_from_now(given, 0), "external_ref": "paper-1"}
    decision = await given.client.post(f"/v1/agreements/{agreement['id']}/imports", json={"data": [item]}, headers=given.root)
    await _assert_named(given, change, given.expect(decision)["data"][0]["event"], what)


async def test_a_reference_without_an_import_is_named(given: Given) -> None:
    """An acceptance by the end user has no external reference."""
    decision = await _accept(given)
    await _assert_named(given, "INSERT INTO agreement_imports SELECT 'forged', id FROM agreement_events WHERE id = :id", decision["event"],
                 "import.external_ref")  # fmt: skip


@pytest.mark.parametrize("form", ["html", "plain"])
async def test_a_form_deleted_with_its_hash_is_named(given: Given, form: str) -> None:
    """Even if no receipt used this form. A draft has no forms yet."""
    agreement = await making.create_in_force(given)
    await making.create_version(given, agreement)
    assert (await _verify(given))["valid"] is True
    await tampering.execute(given, f"UPDATE agreement_texts SET {form} = NULL, {form}_sha256 = NULL WHERE {form} IS NOT NULL")  # noqa: S608  our own words
    assert (await _verify(given))["broken"]["what"] == f"{form}_sha256"


async def test_an_altered_time_of_a_seal_is_named(given: Given) -> None:
    await _accept(given)
    await seals.seal_events(given.world)
    assert (await _verify(given))["valid"] is True
    await tampering.execute(given, "UPDATE agreement_seals SET sealed_at = '2020-01-01 00:00:00+00'")
    broken = (await _verify(given))["broken"]
    assert (broken["what"], broken["seal"]) == ("sealed_at", 1)
