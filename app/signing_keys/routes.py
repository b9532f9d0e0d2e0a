"""`/.well-known/jwks.json`: the public keys for offline verification of grants, receipts and tokens."""

from typing import Any

from fastapi import Response

from app.signing_keys import service
from app.web.callers import TheWorld
from app.web.fields import WireModel
from app.web.routing import router as new_router

router = new_router("system")


class KeySet(WireModel):
    """A JWK set (RFC 7517 section 5)."""

    keys: list[dict[str, Any]]


@router.get("/.well-known/jwks.json", summary="Get Public Keys (JWKS)")
async def get_jwks(world: TheWorld, response: Response) -> KeySet:
    """List the public Ed25519 keys. Clients may cache the answer for five minutes."""
    response.headers["Cache-Control"] = "public, max-age=300"
    return KeySet(keys=await service.list_jwks(world))
