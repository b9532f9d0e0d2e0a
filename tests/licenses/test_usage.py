"""Usage meters: added on purpose, all or nothing, in periods of UTC that nobody resets."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given as generated
from hypothesis import strategies as st

from app.licenses.usage import find_period
from tests.assertions import problem
from tests.given import Given


async def metered(given: Given, limit: int | str = 3, per: str | None = "day", **more: Any) -> dict[str, Any]:
    return await given.license(await given.policy(meters={"export": {"limit": limit, "per": per}}, **more))


async def add(given: Given, license_: dict[str, Any], amount: int = 1, **more: Any) -> Any:
    return await given.client.post("/v1/usage", json={"license_key": license_["key"], "meter": "export", "add": amount, **more})


async def test_r41_usage_is_counted_and_told(given: Given) -> None:
    license_ = await metered(given)
    told = given.expect(await add(given, license_, 2))
    assert told == {"used": 2, "limit": 3, "remaining": 1, "resets_at": "2026-11-23T00:00:00.000Z"}
    shown = given.expect(await given.client.get(f"/v1/licenses/{license_['id']}", headers=given.root))
    assert shown["usage"] == {"export": told}


async def test_r41_all_or_nothing(given: Given) -> None:
    license_ = await metered(given)
    given.expect(await add(given, license_, 2))
    told = problem(await add(given, license_, 2), 409, "usage_limit_reached")
    assert (told["used"], told["limit"], told["remaining"], told["resets_at"]) == (2, 3, 1, "2026-11-23T00:00:00.000Z")
    assert given.expect(await add(given, license_, 1))["remaining"] == 0
    problem(await add(given, await metered(given), 4), 409, "usage_limit_reached")


async def test_r40_nothing_is_a_no_op_and_less_than_nothing_is_refused(given: Given) -> None:
    license_ = await metered(given)
    assert given.expect(await add(given, license_, 0))["used"] == 0
    wrong: list[Any] = [-1, 10**20, 1.5, "1", None, True]
    for amount in wrong:
        told = problem(await add(given, license_, amount), 422, "malformed")
        assert told["errors"][0]["pointer"] == "/add"
    assert given.expect(await add(given, license_, 0))["used"] == 0


async def test_r40_an_unlimited_meter_still_ends_where_numbers_do(given: Given) -> None:
    license_ = await metered(given, "unlimited", None)
    told = given.expect(await add(given, license_, 2**31 - 1))
    assert told == {"used": 2**31 - 1, "limit": "unlimited", "remaining": "unlimited", "resets_at": None}
    assert given.expect(await add(given, license_, 2**31 - 1))["used"] == 2**32 - 2


async def test_r43_a_new_period_begins_by_itself(given: Given) -> None:
    license_ = await metered(given)
    given.expect(await add(given, license_, 3))
    problem(await add(given, license_), 409, "usage_limit_reached")
    given.clock.forward(hours=12)
    assert given.expect(await add(given, license_)) == {"used": 1, "limit": 3, "remaining": 2, "resets_at": "2026-11-24T00:00:00.000Z"}


async def test_r42_a_check_counts_nothing(given: Given) -> None:
    license_ = await metered(given)
    for _ in range(3):
        await given.post("/v1/licenses/validate", {"license_key": license_["key"], "product": license_["product"]}, {})
        await given.access(license_["product"], license_key=license_["key"])
    assert given.expect(await add(given, license_, 0))["used"] == 0


async def test_a_retry_counts_once(given: Given) -> None:
    license_ = await metered(given)
    body = {"license_key": license_["key"], "meter": "export"}
    answers = [await given.client.post("/v1/usage", json=body, headers={"Idempotency-Key": "export-1"}) for _ in range(3)]
    assert {answer.text for answer in answers} == {answers[0].text}
    assert given.expect(await add(given, license_, 0))["used"] == 1


async def test_a_limit_below_what_is_used_leaves_nothing_over(given: Given) -> None:
    license_ = await metered(given)
    given.expect(await add(given, license_, 3))
    lowered = {"overrides": {"meters": {"export": {"limit": 1}}}}
    given.expect(await given.client.patch(f"/v1/licenses/{license_['id']}", json=lowered, headers=given.root))
    assert given.expect(await add(given, license_, 0)) == {"used": 3, "limit": 1, "remaining": 0, "resets_at": "2026-11-23T00:00:00.000Z"}


async def test_r2_a_bad_standing_counts_nothing(given: Given) -> None:
    for action, code in (("suspend", "license_suspended"), ("revoke", "license_revoked")):
        license_ = await metered(given)
        await given.post(f"/v1/licenses/{license_['id']}/{action}")
        problem(await add(given, license_), 403, code)
    late = await given.license(await given.policy(meters={"export": {"limit": 1}}), expires_at="2026-11-23T00:00:00Z")
    early = await given.license(await given.policy(meters={"export": {"limit": 1}}), starts_at="2026-11-23T00:00:00Z")
    problem(await add(given, early), 403, "license_not_started")
    given.clock.forward(hours=12)
    problem(await add(given, late), 403, "license_expired")


async def test_who_may_count(given: Given) -> None:
    license_ = await metered(given, seat_by="device", max_seats=1, lease="PT1H", max_users=1)
    ola, kari = await given.logged_in(), await given.logged_in()
    given.expect(await given.client.put(f"/v1/licenses/{license_['id']}/users/{ola.id}", headers=given.root))
    by_id = {"license_id": license_["id"], "meter": "export"}
    assert (await given.client.post("/v1/usage", json=by_id, headers=ola.auth)).status_code == 200
    problem(await given.client.post("/v1/usage", json=by_id, headers=kari.auth), 404, "license_not_found")
    problem(await given.client.post("/v1/usage", json=by_id), 401, "login_required")
    problem(await given.client.post("/v1/usage", json=by_id, headers=given.root), 403, "subject_token_required")
    problem(await add(given, license_), 403, "user_not_assigned")
    taking = {"license_id": license_["id"], "device": {"fingerprint": "laptop"}}
    held = await given.post("/v1/activations", taking, ola.auth)
    seat = {"Authorization": f"Bearer {held['token']}"}
    assert given.expect(await given.client.post("/v1/usage", json={"meter": "export"}, headers=seat))["used"] == 2
    both = {"meter": "export", "license_key": license_["key"]}
    problem(await given.client.post("/v1/usage", json=both, headers=seat), 422, "malformed")
    problem(await given.client.post("/v1/usage", json={"meter": "export"}), 422, "malformed")
    given.clock.forward(hours=1)
    problem(await given.client.post("/v1/usage", json={"meter": "export"}, headers=seat), 403, "lease_expired")
    await given.client.delete(f"/v1/activations/{held['activation']['id']}", headers=seat)
    problem(await given.client.post("/v1/usage", json={"meter": "export"}, headers=seat), 401, "token_invalid")


async def test_an_unknown_meter_and_a_foreign_product(given: Given) -> None:
    license_, other = await metered(given), await given.product()
    problem(await add(given, license_, meter="import"), 404, "meter_not_found")
    problem(await add(given, license_, product=other["code"]), 404, "license_not_found")
    assert (await add(given, license_, product=license_["product"])).status_code == 200


@pytest.mark.parametrize(
    ("per", "start", "resets"),
    [
        ("hour", "2028-02-29T23:00", "2028-03-01T00:00"),
        ("day", "2028-02-29T00:00", "2028-03-01T00:00"),
        ("month", "2028-02-01T00:00", "2028-03-01T00:00"),
        ("year", "2028-01-01T00:00", "2029-01-01T00:00"),
    ],
)
def test_r43_periods_are_utcs(per: str, start: str, resets: str) -> None:
    began, ends = find_period(per, datetime(2028, 2, 29, 23, 59, 59, tzinfo=UTC))
    assert (began.isoformat()[:16], ends.isoformat()[:16] if ends else None) == (start, resets)


@generated(st.sampled_from(["hour", "day", "month", "year"]), st.datetimes(datetime(1970, 1, 1), datetime(9000, 1, 1)))  # noqa: DTZ001  made aware below
def test_every_moment_is_in_one_period(per: str, moment: datetime) -> None:
    now = moment.replace(tzinfo=UTC)
    start, resets_at = find_period(per, now)
    assert resets_at is not None
    assert start <= now < resets_at
    assert find_period(per, resets_at)[0] == resets_at
    assert find_period(None, now) == (datetime(1970, 1, 1, tzinfo=UTC), None)
