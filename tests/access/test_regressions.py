"""Faults of the access decision that reviews found, one test per fault."""

from datetime import timedelta
from typing import Any

from app.base.durations import instant_text
from tests.access.scenarios import HERE, read_codes
from tests.given import Given


async def test_check_again_at_considers_every_license(given: Given) -> None:
    """The best license now may not be the best one later."""
    product = await given.product(requires=["login"])
    person = await given.logged_in()
    await given.license(await given.policy(product), users=[person.id])
    starts = instant_text(given.clock.now() + timedelta(minutes=4))
    await given.license(await given.policy(product, features={"b": True}), users=[person.id], starts_at=starts)
    decision = await given.access(product["code"], person, features=["b"])
    assert (read_codes(decision), decision["check_again_at"]) == (["feature_missing"], starts)
    given.clock.forward(minutes=4)
    assert (await given.access(product["code"], person, features=["b"]))["allow"]


async def test_login_reasons_come_alone_even_where_only_the_license_requires_a_login(given: Given) -> None:
    license_ = await given.license(await given.policy(seat_by="user", max_seats=1, requires=["activation"]))
    await given.post(f"/v1/licenses/{license_['id']}/suspend")
    request: dict[str, Any] = {"license_key": license_["key"], "features": ["none"], **HERE}
    assert read_codes(await given.access(license_["product"], **request)) == ["login_required"]
    decision = await given.access(license_["product"], await given.logged_in(), **request)
    assert read_codes(decision)[0] == "license_suspended"
