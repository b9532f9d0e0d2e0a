"""Access tokens: what they say, whom they name, and what an operator may ask about one (RFC 9068, RFC 7662)."""

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
from app.security.sealing import token_digest
from app.security.signing import Claims, InvalidToken, Signer
from app.signing_keys.service import load_signer, load_signer_for
from app.web.callers import EndUser
from app.web.problems import TokenInvalid
from app.world import World

TOKEN_TYPE = "at+jwt"  # noqa: S105  RFC 9068 section 2.1, a media type
AUDIENCE = "licentia"


@dataclass(frozen=True)
class IssuedTokens:
    """A session as it stands after a login, a step-up or a refresh, with fresh tokens for it."""

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


def issue_tokens(world: World, sign: Signer, row: Mapping[str, Any], fresh: refresh.IssuedRefreshToken) -> IssuedTokens:
    """The session's row with a fresh access token (RFC 9068 section 2.2) beside its fresh refresh token."""
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
    token = sign.sign(TOKEN_TYPE, claims)
    lasting = int(world.settings.access_lifetime.total_seconds()), int((fresh.expires_at - now).total_seconds())
    return IssuedTokens(row["id"], acr, row["amr"], auth_time, row["expires_at"], token, lasting[0], fresh.token, lasting[1])


def _read(world: World, sign: Signer, token: str) -> tuple[EndUser, Claims]:
    """(whom a signed, unexpired access token of ours names, its claims) (RFC 9068 section 4). Raises TokenInvalid."""
    try:
        claims = sign.read_current(TOKEN_TYPE, token)
        good = (
            claims["iss"] == world.settings.public_url
            and claims["aud"] == AUDIENCE
            and claims["iat"] <= claims["exp"]
            and world.clock.now().timestamp() < claims["exp"]
        )
        if good:
            return EndUser(UUID(claims["sub"]), UUID(claims["sid"]), token_issued_at=int(claims["iat"])), claims
    except (InvalidToken, KeyError, TypeError, ValueError, AttributeError):
        pass
    raise TokenInvalid("Log in again, or send the newest access token.")


async def read_end_user(world: World, token: str) -> EndUser:
    """Whom the token names. Raises TokenInvalid."""
    return _read(world, await load_signer_for(world, token), token)[0]


async def exchange_refresh_token(world: World, token: str) -> IssuedTokens:
    """Fresh tokens for a refresh token (authentication R57). Raises TokenInvalid, also for one that was used before; then the session is over."""
    sign = await load_signer(world)
    digest = token_digest(token)
    async with world.db.write() as tx:
        rotated = await refresh.rotate(tx, world, digest)
        opened = issue_tokens(world, sign, *rotated) if rotated is not None else None
    if opened is None:
        raise TokenInvalid("The refresh token is spent, expired or revoked; log in again.")
    return opened


async def introspect(world: World, token: str) -> dict[str, Any]:
    """What a token stands for at this moment, by the rows (RFC 7662 section 2.2); only `active: false` for any that is not good."""
    try:
        return await (_refreshing if token.startswith(refresh.PREFIX) else _accessing)(world, token)
    except TokenInvalid:
        return {"active": False}


async def _accessing(world: World, token: str) -> dict[str, Any]:
    holder, claims = _read(world, await load_signer_for(world, token), token)
    row = await sessions.load_session(world, holder)
    told = {name: claims[name] for name in ("iss", "aud", "sub", "sid", "client_id", "jti", "iat", "exp", "auth_time")}
    return {**told, "active": True, "token_type": "Bearer", "acr": sessions.compute_level(world, row), "amr": row.amr}


async def _refreshing(world: World, token: str) -> dict[str, Any]:
    digest = token_digest(token)

    async def ask(tx: Transaction) -> AnyRow | None:
        return await refresh.find_unspent(tx, digest, world.clock.now())

    link = await world.db.find(ask)
    if link is None:
        raise TokenInvalid
    row = await sessions.load_session(world, EndUser(link.user_id, link.session_id))
    times = {"iat": int(link.created_at.timestamp()), "exp": int(link.expires_at.timestamp())}
    told = {"sub": str(link.user_id), "sid": str(link.session_id), "client_id": AUDIENCE, "iss": world.settings.public_url}
    return {**told, **times, "active": True, "token_type": "refresh_token", "acr": sessions.compute_level(world, row), "amr": row.amr}
