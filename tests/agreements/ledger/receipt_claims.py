"""Reads a receipt as a third party would, with another library."""

from typing import Any

import jwt

from tests.given import Given


async def read_claims(given: Given, receipt: str) -> dict[str, Any]:
    """Return the claims after PyJWT has verified the signature with the published key set."""
    header = jwt.get_unverified_header(receipt)
    assert header["typ"] == "acceptance-receipt+jwt"
    keys = (await given.client.get("/.well-known/jwks.json")).json()
    key = next(jwt.PyJWK(each) for each in keys["keys"] if each["kid"] == header["kid"])
    claims: dict[str, Any] = jwt.decode(receipt, key, algorithms=["EdDSA"], options={"verify_iat": False, "verify_exp": False})
    return claims
