"""What is served is what the receipt says was served, in whichever format; the decision always repeats the hash of the source."""

from datetime import timedelta
from hashlib import sha256
from uuid import UUID

import pytest
from fastapi import FastAPI
from sqlalchemy import select, update

from app.agreements import rendering
from app.agreements.models import AgreementPresentation, AgreementVersion
from tests.agreements import acting, making
from tests.agreements.making import status_and_code
from tests.given import Given


@pytest.mark.parametrize("form", ["md", "html", "text"])
async def test_r14_the_format_is_bound_to_the_presentation(given: Given, form: str) -> None:
    """Agreements R2, R14: the frozen bytes of that format; their hash in the presentation, in the answer and in the receipt."""
    agreement = await acting.create_in_force(given, "en", "ru")
    person = await given.logged_in()
    source = await making.present(given, person, agreement, locale="ru-RU")
    presentation = await making.present(given, person, agreement, locale="ru-RU", format=form, client="web")
    frozen = {
        "md": source["text"]["body"],
        "html": rendering.render_html(source["text"]["body"], "ru"),
        "text": rendering.render_plain(source["text"]["body"]),
    }
    text = presentation["text"]
    assert (text["format"], text["body"], text["sha256"]) == (form, frozen[form], source["text"]["sha256"])
    assert text["served_sha256"] == sha256(frozen[form].encode()).hexdigest()
    async with given.world.db.query() as tx:
        columns = (AgreementPresentation.format, AgreementPresentation.served_sha256, AgreementPresentation.locale_requested)
        wanted = select(*columns, AgreementPresentation.fallback).where(AgreementPresentation.id == UUID(presentation["id"]))
        assert (await tx.execute(wanted)).one() == (form, text["served_sha256"], "ru-RU", "language")
    given.expect(await making.decide(given, person, presentation))
    claims = await acting.read_last_claims(given, person)
    assert (claims["format"], claims["served_sha256"], claims["text_sha256"]) == (form, text["served_sha256"], text["sha256"])
    assert (claims["locale"], claims["locale_requested"], claims["fallback"], claims["client"]) == ("ru", "ru-RU", "language", "web")


async def test_r18_the_hash_of_what_was_served_is_not_the_texts(given: Given) -> None:
    """Agreements R18: the decision repeats the hash of the source, whatever was rendered of it."""
    agreement = await acting.create_in_force(given)
    person = await given.logged_in()
    presentation = await making.present(given, person, agreement, format="html")
    wrong = await making.decide(given, person, presentation, text_sha256=presentation["text"]["served_sha256"])
    assert status_and_code(wrong) == (409, "text_mismatch")
    assert await acting.count_events(given) == 0
    given.expect(await making.decide(given, person, presentation))


async def test_a_format_that_was_never_frozen_is_refused(given: Given) -> None:
    """Agreements R2: nothing is rendered after publish; Markdown is always there."""
    agreement = await acting.create_agreement(given, (await given.product())["code"])
    draft = await making.create_version(given, agreement)
    values = {"status": "published", "ordinal": 1, "effective_at": given.clock.now(), "published_at": given.clock.now()}
    async with given.world.db.write() as tx:  # as a release published that kept no HTML
        await tx.execute(update(AgreementVersion).where(AgreementVersion.id == UUID(draft["id"])).values(values))
    person = await given.logged_in()
    for form in ("html", "text"):
        assert status_and_code(await acting.try_to_present(given, person, agreement, format=form)) == (409, "format_not_available")
    assert (await making.present(given, person, agreement))["text"]["format"] == "md"
    assert status_and_code(await acting.try_to_present(given, person, agreement, format="pdf")) == (422, "malformed")


@pytest.mark.parametrize(("seconds", "answer"), [(59.999, 201), (60, 409)])
async def test_r14_the_lifetime_is_configured(given: Given, app: FastAPI, seconds: float, answer: int) -> None:
    """Agreements R14: half open, to the millisecond, as long as the operator says."""
    given.configured(app, presentation_lifetime=timedelta(minutes=1))
    agreement = await acting.create_in_force(given)
    person = await given.logged_in()
    presentation = await making.present(given, person, agreement)
    assert presentation["expires_at"] == making.days_from_now(given, 1 / 1440)
    given.clock.forward(seconds=seconds)
    assert (await making.decide(given, person, presentation)).status_code == answer
