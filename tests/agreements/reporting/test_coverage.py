"""Coverage: who stood where at an instant. The database's replay is compared with the rules that the gate goes by."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import product as combinations
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select, update

from app.agreements.models import AgreementDocument, AgreementEvent, AgreementText, EventType, Kind
from app.agreements.obligations import Obligation, Version, apply_event
from app.agreements.reporting import coverage
from app.agreements.reporting.coverage import StatusThresholds
from app.base.durations import instant_text
from app.db.base import table
from tests.agreements import making
from tests.agreements.making import Json, status_and_code
from tests.given import Given, Person


async def covered(given: Given, found: Json, at: datetime | None = None) -> Json:
    params = {"as_of": instant_text(at)} if at is not None else {}
    return given.expect(await given.client.get(f"/v1/agreements/{found['id']}/coverage", params=params, headers=given.root))


async def listed(given: Given, found: Json, **params: Any) -> list[Json]:
    page = given.expect(await given.client.get(f"/v1/agreements/{found['id']}/users", params=params, headers=given.root))
    data: list[Json] = page["data"]
    while page["next_cursor"]:
        more = {**params, "cursor": page["next_cursor"]}
        page = given.expect(await given.client.get(f"/v1/agreements/{found['id']}/users", params=more, headers=given.root))
        data += page["data"]
    return data


def counted(told: Json) -> dict[str, int]:
    return {name: number for name, number in told["statuses"].items() if number}


def later(given: Given, days: float) -> str:
    return instant_text(given.clock.now() + timedelta(days=days))


async def test_who_stands_where(given: Given) -> None:
    """Shown, declined, accepted with one factor and with two; somebody who never met the agreement is not counted."""
    found = await making.create_in_force(given)
    shown, declining, plain, strong, _ = [await given.logged_in() for _ in range(3)] + [await given.strong(), await given.person()]
    await making.present(given, shown, found)
    given.expect(await making.decide(given, declining, await making.present(given, declining, found), "decline"))
    await making.accept(given, plain, found)
    given.expect(await making.decide(given, strong, await making.present(given, strong, found, locale="en")))
    told = await covered(given, found)
    assert told["users"] == 4
    assert counted(told) == {"required": 1, "declined": 1, "accepted": 2}
    assert told["ordinals"] == [{"ordinal": 1, "accepted": 2, "notified": 0}]
    assert told["grades"] == {"A": 1, "B": 1, "C": 0}
    assert (told["required_ordinal"], told["product"], told["as_of"]) == (1, found["product"], instant_text(given.clock.now()))
    assert [row["user"] for row in await listed(given, found, status="declined")] == [declining.id]
    grades = {row["user"]: row["grade"] for row in await listed(given, found, limit=1)}
    assert grades == {shown.id: None, declining.id: None, plain.id: "B", strong.id: "A"}


async def test_the_clock_turned_back(given: Given) -> None:
    """Agreements R7, R8, R9: what was true at each instant, through scheduled, effective, grace and over, whatever happened since."""
    found = await making.create_in_force(given)
    start = given.clock.now()
    person = await given.logged_in()
    given.clock.forward(days=1)
    await given.logged_in(person)
    await making.accept(given, person, found)
    given.clock.forward(days=1)
    await making.create_published(given, found, effective_at=later(given, 8), grace_until=later(given, 18))
    given.clock.forward(days=48)
    await given.logged_in(person)
    await making.accept(given, person, found)
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
        told = await covered(given, found, start + timedelta(days=days))
        assert counted(told) == status, days
        assert told["required_ordinal"] == (1 if days < 10 else 2)
    assert [it["ordinal"] for it in (await covered(given, found))["ordinals"]] == [2]


async def test_r11_news_are_notified_never_accepted(given: Given) -> None:
    """Agreements R11: a notice that was shown is counted as notified; a version of class `notice` moves nobody's acceptance."""
    found = await making.create_in_force(given)
    person, late = await given.logged_in(), await given.logged_in()
    await making.present(given, late, found)  # shown before it was news to anybody
    async with given.world.db.write() as tx:
        await tx.execute(update(AgreementDocument).values(kind=Kind.NOTICE))
    await making.present(given, person, found)
    told = await covered(given, found)
    assert counted(told) == {"notified": 1, "to_be_shown": 1}
    assert told["ordinals"] == [{"ordinal": 1, "accepted": 0, "notified": 1}]
    assert (told["grades"], told["required_ordinal"]) == ({"A": 0, "B": 0, "C": 0}, None)


async def test_an_unknown_agreement(given: Given) -> None:
    for path in ("coverage", "users"):
        answer = await given.client.get(f"/v1/agreements/{UUID(int=1)}/{path}", headers=given.root)
        assert status_and_code(answer) == (404, "agreement_not_found")


async def test_only_for_operators_who_may(given: Given) -> None:
    found = await making.create_in_force(given)
    for path in ("coverage", "users"):
        answer = await given.client.get(f"/v1/agreements/{found['id']}/{path}", headers=await given.operator("users:read"))
        assert status_and_code(answer) == (403, "scope_missing")


WORDS = [EventType.ACCEPTED, EventType.DECLINED, EventType.WITHDRAWN, EventType.NOTICE_SHOWN, EventType.IMPORTED, EventType.ANNOTATED]


async def _put(given: Given, found: Json, person: Person, words: Sequence[tuple[EventType, int]]) -> None:
    """Events behind the service's back: every order of words that a chain could hold, also those that the service would refuse."""
    async with given.world.db.write() as tx:
        for seq, (word, ordinal) in enumerate(words, 1):
            version = found["versions_by_ordinal"][ordinal] if "versions_by_ordinal" in found else None
            text = (await tx.execute(_first_text(found, version))).one()
            values = {
                "id": given.world.entropy.identifier(), "user_id": UUID(person.id), "seq": seq, "type": word,
                "document_id": UUID(found["id"]), "version_id": text.version_id, "ordinal": ordinal, "text_id": text.id,
                "at": given.clock.now(), "actor_type": "user", "amr": "pwd", "receipt": "x", "receipt_sha256": "0" * 64,
            }  # fmt: skip
            await tx.execute(insert(table(AgreementEvent)).values(values))


def _first_text(_found: Json, version: str | None) -> Any:
    wanted = select(AgreementText.id, AgreementText.version_id)
    return wanted.where(AgreementText.version_id == UUID(version)) if version is not None else wanted.limit(1)


async def test_the_database_replays_as_the_gate_does(given: Given) -> None:
    """Agreements R8, R9, R21, R22: for every chain of three words on two versions, at every time that matters, one status by both."""
    found = await making.create_agreement(given)
    first = await making.create_published(given, found)
    second = await making.create_published(given, found, effective_at=later(given, 10), grace_until=later(given, 20))
    found["versions_by_ordinal"] = {1: first["id"], 2: second["id"]}
    start = given.clock.now()
    versions = tuple(_version(told) for told in (first, second))
    steps = [(word, ordinal) for word in WORDS for ordinal in (1, 2)]
    chains = [chain for number, chain in enumerate(combinations(steps, repeat=3)) if number % 23 == 0]
    people = [await given.person() for _ in chains]
    for person, chain in zip(people, chains, strict=True):
        await _put(given, found, person, chain)
    for days in (0, 10, 20):
        at = start + timedelta(days=days)
        told = {row["user"]: row["status"] for row in await listed(given, found, as_of=instant_text(at), limit=200)}
        assert told == {person.id: _by_rule(found, versions, chain, at) for person, chain in zip(people, chains, strict=True)}
    assert len(set(told.values())) >= 4


def _version(told: Json) -> Version:
    effective, grace = (datetime.fromisoformat(told[name]) if told[name] else None for name in ("effective_at", "grace_until"))
    assert effective is not None
    return Version(UUID(told["id"]), told["ordinal"], told["change_class"], effective, grace)


def _by_rule(found: Json, versions: tuple[Version, ...], chain: Sequence[tuple[EventType, int]], at: datetime) -> str:
    duty = Obligation(UUID(found["id"]), 0, 0, versions)
    for word, ordinal in chain:
        duty = apply_event(duty, word, ordinal)
    return duty.status(at)


def test_marks_of_several_graces() -> None:
    """Agreements R9: the earliest deadline of all that is owed counts, so whoever is further behind may be out of grace first."""
    start = datetime.fromisoformat("2026-01-01T00:00:00+00:00")

    def version(ordinal: int, grace: int | None, change_class: str = "material") -> Version:
        effective = start + timedelta(days=ordinal)
        return Version(UUID(int=ordinal), ordinal, change_class, effective, start + timedelta(days=grace) if grace else None)

    several = [version(1, None), version(2, 10), version(3, None, "editorial"), version(4, 30)]
    at = start + timedelta(days=20)
    assert StatusThresholds.of(UUID(int=9), Kind.EULA, several, at) == StatusThresholds(Kind.EULA, required=4, grace_from=2, news=0)
    assert StatusThresholds.of(UUID(int=9), Kind.EULA, several, start) == StatusThresholds(Kind.EULA, required=0, grace_from=1, news=0)
    assert StatusThresholds.of(UUID(int=9), Kind.NOTICE, several, at) == StatusThresholds(Kind.NOTICE, required=0, grace_from=1, news=4)


async def test_an_agreement_not_yet_in_force(given: Given) -> None:
    """Nothing is required of anybody yet, and nobody is said to owe it."""
    found = await making.create_agreement(given)
    told = await covered(given, found)
    assert (told["users"], told["required_ordinal"], counted(told)) == (0, None, {})
    assert coverage.ASSENTS == (EventType.ACCEPTED, EventType.IMPORTED)
