"""Products, licenses and users that many access tests start from."""

from typing import Any

from tests.agreements import making
from tests.given import Given, Person

ALL = ["license", "activation", "login", "second_factor", "eula"]


def read_codes(decision: dict[str, Any]) -> list[str]:
    return [reason["code"] for reason in decision["reasons"]]


async def require_everything(given: Given, **policy: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Create a product that requires everything but a passkey; return its agreement and a license."""
    document = await making.create_in_force(given)
    given.expect(await given.client.patch(f"/v1/products/{document['product']}", json={"requires": ALL}, headers=given.root))
    terms = {"seat_by": "device", "max_seats": 3, **policy}
    return document, await given.license(await given.policy({"code": document["product"]}, **terms))


async def allow_access(given: Given, **policy: Any) -> tuple[dict[str, Any], dict[str, Any], Person]:
    """Create the same with a person and a device that meet every requirement."""
    document, license_ = await require_everything(given, **policy)
    person = await given.strong()
    await given.activation(license_)
    await making.accept(given, person, document)
    return document, license_, person


HERE = {"device": {"fingerprint": "laptop"}}
