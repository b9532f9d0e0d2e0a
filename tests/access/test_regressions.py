"""Faults of the decision that were found by attacking it, each once more."""

from datetime import timedelta
from typing import Any

from app.base.durations import instant_text
from tests.access.test_decision import HERE, codes
from tests.given import Given


async def test_of_several_licenses_each_may_change_the_answer(given: Given) -> None:
    """The one that answers best now may not be the one that answers best next."""
    product = await given.product(requires=["login"])
    person = await given.logged_in()
    await given.license(await given.policy(product), users=[person.id])
    starts = instant_text(given.clock.now() + timedelta(minutes=4))
    await given.license(await given.policy(product, features={"b": True}), users=[person.id], starts_at=starts)
    told = await given.access(product["code"], person, features=["b"])
    assert (codes(told), told["check_again_at"]) == (["feature_missing"], starts)
    given.clock.forward(minutes=4)
    assert (await given.access(product["code"], person, features=["b"]))["allow"]


async def test_identity_comes_alone_also_where_only_the_license_asks_for_it(given: Given) -> None:
    license_ = await given.license(await given.policy(seat_by="user", max_seats=1, requires=["activation"]))
    await given.post(f"/v1/licenses/{license_['id']}/suspend")
    ask: dict[str, Any] = {"license_key": license_["key"], "features": ["none"], **HERE}
    assert codes(await given.access(license_["product"], **ask)) == ["login_required"]
    told = await given.access(license_["product"], await given.logged_in(), **ask)
    assert codes(told)[0] == "license_suspended"
