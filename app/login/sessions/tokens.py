"""Issue, read and introspect access tokens (RFC 9068, RFC 7662), and exchange refresh tokens."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from app.db.database import Transaction
from app.db.types import AnyRow
from app.login import rules
from app.login.rules import AssuranceLevel, Proofs
from app.login.sessions import refresh
from app.login.sessions import service as sessions
from app.security.sealing import digest_token
from app.security.signing import Claims, InvalidToken, Signer
from app.signing_keys.service import load_signer, load_signer_for
from app.web.callers import EndUser
from app.web.problems import TokenInvalid
from app.world import World

TOKEN_TYPE = "at+jwt"  # noqa: S105  RFC 9068 section 2.1, a media type
AUDIENCE = "licentia"


@dataclass(frozen=True)
class IssuedTokens:
    """A session after a login, a step-up or a refresh, with its new tokens. Lifetimes are in seconds."""

    id: UUID
    acr: AssuranceLevel
    amr: list[str]
    auth_time: datetime
    expires_at: datetime
    access_token: str = field(repr=False)
    expires_in: int
    refresh_token: str = field(repr=False)
    refresh_expires_in: int
    recovery_codes: list[str] | None = field(default=None, repr=False)


def issue_tokens(world: World, token_signer: Signer, row: Mapping[str, Any], refresh_token: refresh.IssuedRefreshToken) -> IssuedTokens:
    """Sign an access token (RFC 9068 section 2.2) for the session row and return it with the refresh token."""
    now = world.clock.now()
    proofs = Proofs(row["password_at"], row["second_factor_at"])
    acr = rules.compute_acr(proofs, now, world.settings.second_factor_lifetime)
    auth_time = proofs.latest or row["created_at"]
    claims = {
        "iss": world.settings.public_url,
        "aud": AUDIENCE,
        "sub": str(row["user_id"]),
        "sid": str(row["id"]),
        "client_id": AUDIENCE,
        "jti": str(world.entropy.identifier()),
        "iat": int(now.timestamp()),
        "exp": int((now + world.settings.access_lifetime).timestamp()),
        "auth_time": int(auth_time.timestamp()),
        "acr": acr,
        "amr": row["amr"],
    }
    access_token = token_signer.sign(TOKEN_TYPE, claims)
    lifetimes = int(world.settings.access_lifetime.total_seconds()), int((refresh_token.expires_at - now).total_seconds())
    return IssuedTokens(
        row["id"], acr, row["amr"], auth_time, row["expires_at"], access_token, lifetimes[0], refresh_token.token, lifetimes[1]
    )


def _read_access_token(world: World, token_signer: Signer, token: str) -> tuple[EndUser, Claims]:
    """Verify a signed, unexpired access token (RFC 9068 section 4); return the end user and the claims. Raises TokenInvalid."""
    try:
        claims = token_signer.read_current(TOKEN_TYPE, token)
        is_valid = (
            claims["iss"] == world.settings.public_url
            and claims["aud"] == AUDIENCE
            and claims["iat"] <= claims["exp"]
            and world.clock.now().timestamp() < claims["exp"]
        )
        if is_valid:
            return EndUser(UUID(claims["sub"]), UUID(claims["sid"]), token_issued_at=int(claims["iat"])), claims
    except (InvalidToken, KeyError, TypeError, ValueError, AttributeError):
        pass
    raise TokenInvalid("Log in again, or send the latest access token.")


async def read_end_user(world: World, token: str) -> EndUser:
    """Return the end user and session that the token names. Raises TokenInvalid."""
    return _read_access_token(world, await load_signer_for(world, token), token)[0]


async def exchange_refresh_token(world: World, token: str) -> IssuedTokens:
    """Exchange a refresh token for new tokens (authentication R57). Raises TokenInvalid; if the token was used before, the session ends."""
    token_signer = await load_signer(world)
    digest = digest_token(token)
    async with world.db.write() as tx:
        rotated = await refresh.rotate(tx, world, digest)
        issued = issue_tokens(world, token_signer, *rotated) if rotated is not None else None
    if issued is None:
        raise TokenInvalid("The refresh token is spent, expired or revoked; log in again.")
    return issued


async def introspect(world: World, token: str) -> dict[str, Any]:
    """Report a token's present state from the database (RFC 7662 section 2.2); only `active: false` if it is invalid."""
    try:
        return await (_introspect_refresh_token if token.startswith(refresh.PREFIX) else _introspect_access_token)(world, token)
    except TokenInvalid:
        return {"active": False}


async def _introspect_access_token(world: World, token: str) -> dict[str, Any]:
    end_user, claims = _read_access_token(world, await load_signer_for(world, token), token)
    row = await sessions.load_session(world, end_user)
    values = {name: claims[name] for name in ("iss", "aud", "sub", "sid", "client_id", "jti", "iat", "exp", "auth_time")}
    return {**values, "active": True, "token_type": "Bearer", "acr": sessions.compute_level(world, row), "amr": row.amr}


async def _introspect_refresh_token(world: World, token: str) -> dict[str, Any]:
    digest = digest_token(token)

    async def find(tx: Transaction) -> AnyRow | None:
        return await refresh.find_unspent(tx, digest, world.clock.now())

    link = await world.db.query_with_retry(find)
    if link is None:
        raise TokenInvalid
    row = await sessions.load_session(world, EndUser(link.user_id, link.session_id))
    times = {"iat": int(link.created_at.timestamp()), "exp": int(link.expires_at.timestamp())}
    values = {"sub": str(link.user_id), "sid": str(link.session_id), "client_id": AUDIENCE, "iss": world.settings.public_url}
    return {**values, **times, "active": True, "token_type": "refresh_token", "acr": sessions.compute_level(world, row), "amr": row.amr}
