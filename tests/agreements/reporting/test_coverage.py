"""Coverage: statuses at a moment. The database's replay is compared with the rules in Python."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import product as combinations
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select, update

from app.agreements.models import AgreementDocument, AgreementEvent, AgreementKind, AgreementText, EventType
from app.agreements.obligations import Obligation, Version, apply_event
from app.agreements.reporting import coverage
from app.agreements.reporting.coverage import StatusThresholds
from app.base.durations import instant_text
from app.db.base import table
from tests.agreements import making
from tests.agreements.making import Json, status_and_code
from tests.given import Given, Person


async def read_coverage(given: Given, agreement: Json, at: datetime | None = None) -> Json:
    params = {"as_of": instant_text(at)} if at is not None else {}
    return given.expect(await given.client.get(f"/v1/agreements/{agreement['id']}/coverage", params=params, headers=given.root))


async def list_users(given: Given, agreement: Json, **params: Any) -> list[Json]:
    page = given.expect(await given.client.get(f"/v1/agreements/{agreement['id']}/users", params=params, headers=given.root))
    data: list[Json] = page["data"]
    while page["next_cursor"]:
        more = {**params, "cursor": page["next_cursor"]}
        page = given.expect(await given.client.get(f"/v1/agreements/{agreement['id']}/users", params=more, headers=given.root))
        data += page["data"]
    return data


def read_counts(result: Json) -> dict[str, int]:
    return {name: number for name, number in result["statuses"].items() if number}


def later(given: Given, days: float) -> str:
    return instant_text(given.clock.now() + timedelta(days=days))


async def test_users_are_counted_by_status(given: Given) -> None:
    """Presented, declined, accepted with one factor and with two; other users are not counted."""
    agreement = await making.create_in_force(given)
    presentation, declining, plain, strong, _ = [await given.logged_in() for _ in range(3)] + [await given.strong(), await given.person()]
    await making.present(given, presentation, agreement)
    given.expect(await making.decide(given, declining, await making.present(given, declining, agreement), "decline"))
    await making.accept(given, plain, agreement)
    given.expect(await making.decide(given, strong, await making.present(given, strong, agreement, locale="en")))
    result = await read_coverage(given, agreement)
    assert result["users"] == 4
    assert read_counts(result) == {"required": 1, "declined": 1, "accepted": 2}
    assert result["ordinals"] == [{"ordinal": 1, "accepted": 2, "notified": 0}]
    assert result["grades"] == {"A": 1, "B": 1, "C": 0}
    assert (result["required_ordinal"], result["product"], result["as_of"]) == (1, agreement["product"], instant_text(given.clock.now()))
    assert [row["user"] for row in await list_users(given, agreement, status="declined")] == [declining.id]
    grades = {row["user"]: row["grade"] for row in await list_users(given, agreement, limit=1)}
    assert grades == {presentation.id: None, declining.id: None, plain.id: "B", strong.id: "A"}


async def test_the_clock_turned_back(given: Given) -> None:
    """Agreements R7, R8, R9: the status at each moment: scheduled, effective, grace, over; later events do not change it."""
    agreement = await making.create_in_force(given)
    start = given.clock.now()
    person = await given.logged_in()
    given.clock.forward(days=1)
    await given.logged_in(person)
    await making.accept(given, person, agreement)
    given.clock.forward(days=1)
    await making.create_published(given, agreement, effective_at=later(given, 8), grace_until=later(given, 18))
    given.clock.forward(days=48)
    await given.logged_in(person)
    await making.accept(given, person, agreement)
    wanted = {
        0: {},
        1: {"accepted": 1},
        5: {"accepted": 1},
        10: {"in_grace": 1},
        19.9: {"in_grace": 1},
        20: {"required": 1},
        50: {"accepted": 1},
    }
    for days, status in wanted.items():
        result = await read_coverage(given, agreement, start + timedelta(days=days))
        assert read_counts(result) == status, days
        assert result["required_ordinal"] == (1 if days < 10 else 2)
    assert [each["ordinal"] for each in (await read_coverage(given, agreement))["ordinals"]] == [2]


async def test_r11_news_are_notified_never_accepted(given: Given) -> None:
    """Agreements R11: a shown notice counts as notified; a version of class `notice` changes no acceptance."""
    agreement = await making.create_in_force(given)
    person, late = await given.logged_in(), await given.logged_in()
    await making.present(given, late, agreement)  # shown before it was news
    async with given.world.db.write() as tx:
        await tx.execute(update(AgreementDocument).values(kind=AgreementKind.NOTICE))
    await making.present(given, person, agreement)
    result = await read_coverage(given, agreement)
    assert read_counts(result) == {"notified": 1, "to_be_shown": 1}
    assert result["ordinals"] == [{"ordinal": 1, "accepted": 0, "notified": 1}]
    assert (result["grades"], result["required_ordinal"]) == ({"A": 0, "B": 0, "C": 0}, None)


async def test_an_unknown_agreement(given: Given) -> None:
    for path in ("coverage", "users"):
        answer = await given.client.get(f"/v1/agreements/{UUID(int=1)}/{path}", headers=given.root)
        assert status_and_code(answer) == (404, "agreement_not_found")


async def test_only_for_operators_who_may(given: Given) -> None:
    agreement = await making.create_in_force(given)
    for path in ("coverage", "users"):
        answer = await given.client.get(f"/v1/agreements/{agreement['id']}/{path}", headers=await given.operator("users:read"))
        assert status_and_code(answer) == (403, "scope_missing")


WORDS = [EventType.ACCEPTED, EventType.DECLINED, EventType.WITHDRAWN, EventType.NOTICE_SHOWN, EventType.IMPORTED, EventType.ANNOTATED]


async def _put(given: Given, agreement: Json, person: Person, words: Sequence[tuple[EventType, int]]) -> None:
    """Insert events directly: every order of events, also those that the service would refuse."""
    async with given.world.db.write() as tx:
        for seq, (word, ordinal) in enumerate(words, 1):
            version = agreement["versions_by_ordinal"][ordinal] if "versions_by_ordinal" in agreement else None
            text = (await tx.execute(_first_text(agreement, version))).one()
            values = {
                "id": given.world.entropy.identifier(), "user_id": UUID(person.id), "seq": seq, "type": word,
                "document_id": UUID(agreement["id"]), "version_id": text.version_id, "ordinal": ordinal, "text_id": text.id,
                "at": given.clock.now(), "actor_type": "user", "amr": "pwd", "receipt": "x", "receipt_sha256": "0" * 64,
            }  # fmt: skip
            await tx.execute(insert(table(AgreementEvent)).values(values))


def _first_text(_agreement: Json, version: str | None) -> Any:
    wanted = select(AgreementText.id, AgreementText.version_id)
    return wanted.where(AgreementText.version_id == UUID(version)) if version is not None else wanted.limit(1)


async def test_sql_and_python_give_the_same_status(given: Given) -> None:
    """Agreements R8, R9, R21, R22: for every chain of three events on two versions, at every boundary, both give one status."""
    agreement = await making.create_agreement(given)
    first = await making.create_published(given, agreement)
    second = await making.create_published(given, agreement, effective_at=later(given, 10), grace_until=later(given, 20))
    agreement["versions_by_ordinal"] = {1: first["id"], 2: second["id"]}
    start = given.clock.now()
    versions = tuple(_version(result) for result in (first, second))
    steps = [(word, ordinal) for word in WORDS for ordinal in (1, 2)]
    chains = [chain for number, chain in enumerate(combinations(steps, repeat=3)) if number % 23 == 0]
    people = [await given.person() for _ in chains]
    for person, chain in zip(people, chains, strict=True):
        await _put(given, agreement, person, chain)
    for days in (0, 10, 20):
        at = start + timedelta(days=days)
        result = {row["user"]: row["status"] for row in await list_users(given, agreement, as_of=instant_text(at), limit=200)}
        assert result == {person.id: _by_rule(agreement, versions, chain, at) for person, chain in zip(people, chains, strict=True)}
    assert len(set(result.values())) >= 4


def _version(result: Json) -> Version:
    effective, grace = (datetime.fromisoformat(result[name]) if result[name] else None for name in ("effective_at", "grace_until"))
    assert effective is not None
    return Version(UUID(result["id"]), result["ordinal"], result["change_class"], effective, grace)


def _by_rule(agreement: Json, versions: tuple[Version, ...], chain: Sequence[tuple[EventType, int]], at: datetime) -> str:
    duty = Obligation(UUID(agreement["id"]), 0, 0, versions)
    for word, ordinal in chain:
        duty = apply_event(duty, word, ordinal)
    return duty.status(at)


def test_thresholds_with_several_grace_periods() -> None:
    """Agreements R9: the earliest deadline of all owed versions counts, so a user further behind may lose grace first."""
    start = datetime.fromisoformat("2026-01-01T00:00:00+00:00")

    def version(ordinal: int, grace: int | None, change_class: str = "material") -> Version:
        effective = start + timedelta(days=ordinal)
        return Version(UUID(int=ordinal), ordinal, change_class, effective, start + timedelta(days=grace) if grace else None)

    several = [version(1, None), version(2, 10), version(3, None, "editorial"), version(4, 30)]
    at = start + timedelta(days=20)
    assert StatusThresholds.of(UUID(int=9), AgreementKind.EULA, several, at) == StatusThresholds(
        AgreementKind.EULA, required=4, grace_from=2, news=0
    )
    assert StatusThresholds.of(UUID(int=9), AgreementKind.EULA, several, start) == StatusThresholds(
        AgreementKind.EULA, required=0, grace_from=1, news=0
    )
    assert StatusThresholds.of(UUID(int=9), AgreementKind.NOTICE, several, at) == StatusThresholds(
        AgreementKind.NOTICE, required=0, grace_from=1, news=4
    )


async def test_an_agreement_not_yet_in_force(given: Given) -> None:
    """Nothing is required yet, and no user owes it."""
    agreement = await making.create_agreement(given)
    result = await read_coverage(given, agreement)
    assert (result["users"], result["required_ordinal"], read_counts(result)) == (0, None, {})
    assert coverage.ASSENTS == (EventType.ACCEPTED, EventType.IMPORTED)
