"""What was published and what was accepted cannot be altered, not even by hand: the database itself refuses (agreements R3)."""

import pytest
from sqlalchemy.exc import DBAPIError

from tests.agreements import making
from tests.given import Given
from tests.migrations import trees

COUNTED = ("agreement_versions", "agreement_texts", "agreement_events")


@pytest.fixture
async def url(given: Given) -> str:
    """A database with a version that is in force, an acceptance of it, and a draft."""
    found = await making.create_in_force(given, "en")
    await making.accept(given, await given.logged_in(), found)
    await making.create_version(given, found, "en")
    return given.world.db.url


async def state(url: str) -> list[object]:
    return [await trees.rows(url, f"SELECT * FROM {table} ORDER BY id") for table in COUNTED]  # noqa: S608  our own names


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
    """The statement fails as a whole and nothing has changed."""
    before = await state(url)
    with pytest.raises(DBAPIError, match="frozen"):
        await trees.run(url, *without_keys(url), statement)
    assert await state(url) == before


@pytest.mark.parametrize("table", COUNTED)
@pytest.mark.parametrize("kind", ["sqlite"])
async def test_nor_replaced_by_a_connection_that_knows_nothing_of_us(url: str, table: str) -> None:
    """`INSERT OR REPLACE` passes by the triggers of deletions."""
    before = await state(url)
    with pytest.raises(DBAPIError, match="frozen"):
        await trees.run(url, "PRAGMA recursive_triggers=OFF", f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}")  # noqa: S608  our own
    assert await state(url) == before


async def test_nothing_is_added_to_what_was_cancelled(given: Given) -> None:
    """Agreements R3, R5: a cancelled version takes no further language, not even by hand."""
    found = await making.create_in_force(given, "en")
    coming = await making.create_published(given, found, "en", effective_at=making.days_from_now(given, 1))
    given.expect(await making.cancel(given, coming))
    copied = "SELECT 'nb' AS locale, version_id, title, body, statement, accept_label, decline_label, sha256, statement_sha256, created_at"
    fresh = "'0190000000007000800000000000abcd'" if given.world.db.url.startswith("sqlite") else "gen_random_uuid()"
    columns = "locale, version_id, title, body, statement, accept_label, decline_label, sha256, statement_sha256, created_at"
    picked = "FROM agreement_texts WHERE version_id IN (SELECT id FROM agreement_versions WHERE status = 'cancelled')"
    with pytest.raises(DBAPIError, match="frozen"):
        await trees.run(
            given.world.db.url, f"INSERT INTO agreement_texts (id, {columns}) {copied.replace('SELECT', f'SELECT {fresh},')} {picked}"
        )


@pytest.mark.parametrize("table", COUNTED)
@pytest.mark.parametrize("kind", ["postgresql"])
async def test_nor_can_they_be_emptied_at_once(url: str, table: str) -> None:
    """TRUNCATE passes by the triggers of rows."""
    before = await state(url)
    with pytest.raises(DBAPIError, match="frozen"):
        await trees.run(url, f"TRUNCATE {table} CASCADE")
    assert await state(url) == before


def without_keys(url: str) -> tuple[str, ...]:
    """On SQLite foreign keys are a switch; the refusal must not hang on it."""
    return ("PRAGMA foreign_keys=OFF",) if url.startswith("sqlite") else ()


async def test_drafts_stay_free(url: str) -> None:
    """Freezing is about what was published; authors go on writing."""
    draft = "SELECT id FROM agreement_versions WHERE status = 'draft'"
    await trees.run(
        url,
        f"UPDATE agreement_texts SET title = 'New' WHERE version_id IN ({draft})",  # noqa: S608  our own words
        f"DELETE FROM agreement_texts WHERE version_id IN ({draft})",  # noqa: S608  our own words
        "DELETE FROM agreement_versions WHERE status = 'draft'",
    )
    assert await trees.rows(url, "SELECT DISTINCT status FROM agreement_versions") == [("published",)]
