"""Moving a license to another policy."""

from tests.given import Given


async def test_after_a_reset_the_first_activation_uses_the_terms_of_the_new_policy(given: Given) -> None:
    """As at issue, the first activation sets the dates by the duration and grace of the current policy."""
    policy = await given.policy(seat_by="device", max_seats=2, duration="P30D", grace="P3D")
    license_ = await given.license(policy)
    other = {"seat_by": "device", "max_seats": 2, "duration": "P10D", "starts": "first_activation"}
    trial = await given.policy({"code": policy["product"]}, **other)
    body = {"policy_id": trial["id"], "expiry": "reset"}
    changed = await given.post(f"/v1/licenses/{license_['id']}/change-policy", body)
    assert (changed["starts_at"], changed["expires_at"]) == (None, None)
    activated = (await given.activation(license_))["license"]
    assert (activated["expires_at"], activated["grace_until"]) == ("2026-12-02T12:00:00.000Z", None)
