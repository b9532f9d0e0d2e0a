"""Usage meters: counted only on request, all or nothing, in UTC periods that restart automatically."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given as generated
from hypothesis import strategies as st

from app.licenses.usage import find_period
from tests.assertions import problem
from tests.given import Given


async def issue_metered(given: Given, limit: int | str = 3, per: str | None = "day", **more: Any) -> dict[str, Any]:
    return await given.license(await given.policy(meters={"export": {"limit": limit, "per": per}}, **more))


async def add(given: Given, license_: dict[str, Any], amount: int = 1, **more: Any) -> Any:
    return await given.client.post("/v1/usage", json={"license_key": license_["key"], "meter": "export", "add": amount, **more})


async def test_r41_usage_is_counted_and_returned(given: Given) -> None:
    license_ = await issue_metered(given)
    usage = given.expect(await add(given, license_, 2))
    assert usage == {"used": 2, "limit": 3, "remaining": 1, "resets_at": "2026-11-23T00:00:00.000Z"}
    details = given.expect(await given.client.get(f"/v1/licenses/{license_['id']}", headers=given.root))
    assert details["usage"] == {"export": usage}


async def test_r41_all_or_nothing(given: Given) -> None:
    license_ = await issue_metered(given)
    given.expect(await add(given, license_, 2))
    refusal = problem(await add(given, license_, 2), 409, "usage_limit_reached")
    assert (refusal["used"], refusal["limit"], refusal["remaining"], refusal["resets_at"]) == (2, 3, 1, "2026-11-23T00:00:00.000Z")
    assert given.expect(await add(given, license_, 1))["remaining"] == 0
    problem(await add(given, await issue_metered(given), 4), 409, "usage_limit_reached")


async def test_r40_zero_counts_nothing_and_negative_amounts_are_refused(given: Given) -> None:
    license_ = await issue_metered(given)
    assert given.expect(await add(given, license_, 0))["used"] == 0
    amounts: list[Any] = [-1, 10**20, 1.5, "1", None, True]
    for amount in amounts:
        refusal = problem(await add(given, license_, amount), 422, "malformed")
        assert refusal["errors"][0]["pointer"] == "/add"
    assert given.expect(await add(given, license_, 0))["used"] == 0


async def test_r40_an_unlimited_meter_counts_beyond_32_bits(given: Given) -> None:
    license_ = await issue_metered(given, "unlimited", None)
    usage = given.expect(await add(given, license_, 2**31 - 1))
    assert usage == {"used": 2**31 - 1, "limit": "unlimited", "remaining": "unlimited", "resets_at": None}
    assert given.expect(await add(given, license_, 2**31 - 1))["used"] == 2**32 - 2


async def test_r43_a_new_period_starts_automatically(given: Given) -> None:
    license_ = await issue_metered(given)
    given.expect(await add(given, license_, 3))
    problem(await add(given, license_), 409, "usage_limit_reached")
    given.clock.forward(hours=12)
    assert given.expect(await add(given, license_)) == {"used": 1, "limit": 3, "remaining": 2, "resets_at": "2026-11-24T00:00:00.000Z"}


async def test_r42_validation_and_access_count_nothing(given: Given) -> None:
    license_ = await issue_metered(given)
    for _ in range(3):
        await given.post("/v1/licenses/validate", {"license_key": license_["key"], "product": license_["product"]}, {})
        await given.access(license_["product"], license_key=license_["key"])
    assert given.expect(await add(given, license_, 0))["used"] == 0


async def test_a_retry_counts_once(given: Given) -> None:
    license_ = await issue_metered(given)
    body = {"license_key": license_["key"], "meter": "export"}
    answers = [await given.client.post("/v1/usage", json=body, headers={"Idempotency-Key": "export-1"}) for _ in range(3)]
    assert {answer.text for answer in answers} == {answers[0].text}
    assert given.expect(await add(given, license_, 0))["used"] == 1


async def test_a_limit_below_the_used_amount_leaves_zero_remaining(given: Given) -> None:
    license_ = await issue_metered(given)
    given.expect(await add(given, license_, 3))
    lowered = {"overrides": {"meters": {"export": {"limit": 1}}}}
    given.expect(await given.client.patch(f"/v1/licenses/{license_['id']}", json=lowered, headers=given.root))
    assert given.expect(await add(given, license_, 0)) == {"used": 3, "limit": 1, "remaining": 0, "resets_at": "2026-11-23T00:00:00.000Z"}


async def test_r2_an_invalid_license_counts_nothing(given: Given) -> None:
    for action, code in (("suspend", "license_suspended"), ("revoke", "license_revoked")):
        license_ = await issue_metered(given)
        await given.post(f"/v1/licenses/{license_['id']}/{action}")
        problem(await add(given, license_), 403, code)
    late = await given.license(await given.policy(meters={"export": {"limit": 1}}), expires_at="2026-11-23T00:00:00Z")
    early = await given.license(await given.policy(meters={"export": {"limit": 1}}), starts_at="2026-11-23T00:00:00Z")
    problem(await add(given, early), 403, "license_not_started")
    given.clock.forward(hours=12)
    problem(await add(given, late), 403, "license_expired")


async def test_only_an_entitled_caller_can_count(given: Given) -> None:
    license_ = await issue_metered(given, seat_by="device", max_seats=1, lease="PT1H", max_users=1)
    ola, kari = await given.logged_in(), await given.logged_in()
    given.expect(await given.client.put(f"/v1/licenses/{license_['id']}/users/{ola.id}", headers=given.root))
    body = {"license_id": license_["id"], "meter": "export"}
    assert (await given.client.post("/v1/usage", json=body, headers=ola.auth)).status_code == 200
    problem(await given.client.post("/v1/usage", json=body, headers=kari.auth), 404, "license_not_found")
    problem(await given.client.post("/v1/usage", json=body), 401, "login_required")
    problem(await given.client.post("/v1/usage", json=body, headers=given.root), 403, "subject_token_required")
    problem(await add(given, license_), 403, "user_not_assigned")
    activate = {"license_id": license_["id"], "device": {"fingerprint": "laptop"}}
    activation = await given.post("/v1/activations", activate, ola.auth)
    seat = {"Authorization": f"Bearer {activation['token']}"}
    assert given.expect(await given.client.post("/v1/usage", json={"meter": "export"}, headers=seat))["used"] == 2
    two = {"meter": "export", "license_key": license_["key"]}
    problem(await given.client.post("/v1/usage", json=two, headers=seat), 422, "malformed")
    problem(await given.client.post("/v1/usage", json={"meter": "export"}), 422, "malformed")
    given.clock.forward(hours=1)
    problem(await given.client.post("/v1/usage", json={"meter": "export"}, headers=seat), 403, "lease_expired")
    await given.client.delete(f"/v1/activations/{activation['activation']['id']}", headers=seat)
    problem(await given.client.post("/v1/usage", json={"meter": "export"}, headers=seat), 401, "token_invalid")


async def test_an_unknown_meter_and_another_product_are_refused(given: Given) -> None:
    license_, other = await issue_metered(given), await given.product()
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
def test_r43_periods_follow_utc(per: str, start: str, resets: str) -> None:
    started, ends = find_period(per, datetime(2028, 2, 29, 23, 59, 59, tzinfo=UTC))
    assert (started.isoformat()[:16], ends.isoformat()[:16] if ends else None) == (start, resets)


@generated(st.sampled_from(["hour", "day", "month", "year"]), st.datetimes(datetime(1970, 1, 1), datetime(9000, 1, 1)))  # noqa: DTZ001  given a time zone below
def test_every_instant_is_in_exactly_one_period(per: str, moment: datetime) -> None:
    now = moment.replace(tzinfo=UTC)
    start, resets_at = find_period(per, now)
    assert resets_at is not None
    assert start <= now < resets_at
    assert find_period(per, resets_at)[0] == resets_at
    assert find_period(None, now) == (datetime(1970, 1, 1, tzinfo=UTC), None)
