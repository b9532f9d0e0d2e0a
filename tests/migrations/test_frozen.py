"""Published texts and acceptances cannot be altered, not even by SQL: the database itself refuses (agreements R3)."""

import pytest
from sqlalchemy.exc import DBAPIError

from tests.agreements import making
from tests.given import Given
from tests.migrations import trees

FROZEN_TABLES = ("agreement_versions", "agreement_texts", "agreement_events")


@pytest.fixture
async def url(given: Given) -> str:
    """Return the URL of a database with a version in force, an acceptance of it, and a draft."""
    agreement = await making.create_in_force(given, "en")
    await making.accept(given, await given.logged_in(), agreement)
    await making.create_version(given, agreement, "en")
    return given.world.db.url


async def read_tables(url: str) -> list[object]:
    return [await trees.rows(url, f"SELECT * FROM {table} ORDER BY id") for table in FROZEN_TABLES]  # noqa: S608  our own names


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE agreement_versions SET label = 'another' WHERE status = 'published'",
        "UPDATE agreement_versions SET status = 'draft'",
        "UPDATE agreement_versions SET effective_at = NULL",
        "DELETE FROM agreement_versions WHERE status = 'published'",
        "UPDATE agreement_texts SET body = 'We own you.'",
        "UPDATE agreement_texts SET sha256 = '' WHERE version_id IN (SELECT id FROM agreement_versions WHERE status = 'published')",
        (
            "UPDATE agreement_texts SET locale = 'nb', version_id = (SELECT id FROM agreement_versions WHERE status = 'published') "
            "WHERE version_id IN (SELECT id FROM agreement_versions WHERE status = 'draft')"
        ),
        "DELETE FROM agreement_texts",
        "UPDATE agreement_events SET type = 'declined'",
        "UPDATE agreement_events SET receipt = ''",
        "DELETE FROM agreement_events",
    ],
)
async def test_the_published_and_the_accepted_are_frozen(url: str, statement: str) -> None:
    """The statement fails as a whole and changes nothing."""
    before = await read_tables(url)
    with pytest.raises(DBAPIError, match="frozen"):
        await trees.run(url, *without_keys(url), statement)
    assert await read_tables(url) == before


@pytest.mark.parametrize("table", FROZEN_TABLES)
@pytest.mark.parametrize("kind", ["sqlite"])
async def test_frozen_rows_cannot_be_replaced_by_a_foreign_connection(url: str, table: str) -> None:
    """`INSERT OR REPLACE` does not run the triggers of deletions."""
    before = await read_tables(url)
    with pytest.raises(DBAPIError, match="frozen"):
        await trees.run(url, "PRAGMA recursive_triggers=OFF", f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}")  # noqa: S608  our own
    assert await read_tables(url) == before


async def test_no_text_is_added_to_a_cancelled_version(given: Given) -> None:
    """Agreements R3, R5: not even by SQL can a language be added to a cancelled version."""
    agreement = await making.create_in_force(given, "en")
    coming = await making.create_published(given, agreement, "en", effective_at=making.days_from_now(given, 1))
    given.expect(await making.cancel(given, coming))
    copied = "SELECT 'nb' AS locale, version_id, title, body, statement, accept_label, decline_label, sha256, statement_sha256, created_at"
    fresh = "'0190000000007000800000000000abcd'" if given.world.db.url.startswith("sqlite") else "gen_random_uuid()"
    columns = "locale, version_id, title, body, statement, accept_label, decline_label, sha256, statement_sha256, created_at"
    picked = "FROM agreement_texts WHERE version_id IN (SELECT id FROM agreement_versions WHERE status = 'cancelled')"
    with pytest.raises(DBAPIError, match="frozen"):
        await trees.run(
            given.world.db.url, f"INSERT INTO agreement_texts (id, {columns}) {copied.replace('SELECT', f'SELECT {fresh},')} {picked}"
        )


@pytest.mark.parametrize("table", FROZEN_TABLES)
@pytest.mark.parametrize("kind", ["postgresql"])
async def test_frozen_tables_cannot_be_truncated(url: str, table: str) -> None:
    """TRUNCATE does not run the triggers of rows."""
    before = await read_tables(url)
    with pytest.raises(DBAPIError, match="frozen"):
        await trees.run(url, f"TRUNCATE {table} CASCADE")
    assert await read_tables(url) == before


def without_keys(url: str) -> tuple[str, ...]:
    """On SQLite foreign keys can be switched off; the refusal must not depend on them."""
    return ("PRAGMA foreign_keys=OFF",) if url.startswith("sqlite") else ()


async def test_drafts_can_still_be_changed(url: str) -> None:
    """Only published versions are frozen."""
    draft = "SELECT id FROM agreement_versions WHERE status = 'draft'"
    await trees.run(
        url,
        f"UPDATE agreement_texts SET title = 'New' WHERE version_id IN ({draft})",  # noqa: S608  our own words
        f"DELETE FROM agreement_texts WHERE version_id IN ({draft})",  # noqa: S608  our own words
        "DELETE FROM agreement_versions WHERE status = 'draft'",
    )
    assert await trees.rows(url, "SELECT DISTINCT status FROM agreement_versions") == [("published",)]
