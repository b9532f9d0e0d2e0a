"""Text that a stranger controls never becomes a header, a recipient or a line of a letter, as received by an SMTP server."""

from dataclasses import replace
from uuid import UUID

import pytest
from sqlalchemy import update

from app.users.models import User
from app.world import World
from tests.assertions import problem
from tests.given import PASSWORD, Given
from tests.postbox import Postbox

HEADERS = ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "X-Auto-Response-Suppress", "MIME-Version", "Content-Type"]
INJECTION = "=?utf-8?q?x=0D=0ABcc=3A_thief=40evil.example=0D=0ASubject=3A_Pay=0D=0A=0D=0APay_now?="


@pytest.fixture
def world(world: World, postbox: Postbox) -> World:
    return replace(world, settings=postbox.settings(world.settings, registration="open"))


@pytest.mark.parametrize("locale", ["en", "nb", "ru", "zh-Hans"])
@pytest.mark.parametrize(
    "name", [INJECTION, f"Ødegård {INJECTION}", f"李 {INJECTION}", f"Пётр {INJECTION}", "=?utf-8?q?a=40evil.example=3E=2C?="]
)
async def test_a_display_name_is_a_name_on_the_wire(given: Given, postbox: Postbox, name: str, locale: str) -> None:
    person = await given.logged_in(locale=locale)
    given.expect(await given.client.patch("/v1/me", json={"display_name": name}, headers=person.auth))
    given.expect(await given.client.post("/v1/password/forgot", json={"identifier": person.email}))
    came = await postbox.letter(given.world)
    assert came.to == [person.email]
    assert sorted(set(came.message.keys())) == sorted({*HEADERS, "Content-Language"})
    assert len(came.message.keys()) == len(set(came.message.keys()))
    assert [each.addr_spec for each in came.message["To"].addresses] == [person.email]
    assert came.token.startswith("rst_")


@pytest.mark.parametrize(
    "email",
    [
        "=?utf-8?q?=0D=0ABcc=3Av=40x.no=0D=0A=0D=0AHi?=@example.com",
        "=?utf-8?q?v=40x.no=2C?=@example.com",
        "=?utf-8?q?v=40x.no=3E=2C?=@example.com",
    ],
)
async def test_r76_an_encoded_word_is_no_address(given: Given, postbox: Postbox, email: str) -> None:
    answer = await given.client.post("/v1/users/register", json={"email": email, "password": PASSWORD})
    problem(answer, 422, "malformed")
    person = await given.logged_in()
    problem(await given.client.post("/v1/me/email", json={"email": email}, headers=person.auth), 422, "malformed")
    assert await postbox.collected(given.world) == []


async def test_a_letter_to_an_old_invalid_address_is_given_up_at_once(given: Given, postbox: Postbox) -> None:
    """The address was stored before such addresses were refused: nothing is sent, and there is no retry."""
    person = await given.person()
    async with given.world.db.write() as tx:
        forged = "=?utf-8?q?=0D=0ABcc=3Av=40x.no?=@example.com"
        await tx.execute(update(User).where(User.id == UUID(person.id)).values(email=forged))
    given.expect(await given.client.post("/v1/password/forgot", json={"identifier": person.email}))
    assert await postbox.collected(given.world) == []
    given.clock.forward(days=1)
    assert await postbox.collected(given.world) == []
