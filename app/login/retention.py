"""What a login leaves behind, and for how long. A counter that stopped for good has no end and stays until somebody opens it (R40)."""

from datetime import timedelta

from sqlalchemy import literal_column, not_

from app.db.pruning import prune, referred_to
from app.login.device_grant.models import DeviceCode
from app.login.factors.passkey_challenges import PasskeyCeremony
from app.login.mailed_tokens import OneTimeToken
from app.login.models import Factor, FactorKind, FactorState, Login, RefreshToken, SessionRow, Throttle
from app.world import World

_PENDING = (
    Factor.kind == literal_column(f"'{FactorKind.TOTP}'"),
    Factor.state == literal_column(f"'{FactorState.PENDING}'"),
)
"""In words, not as parameters: so the index of the few that are pending is found."""
TOKENS_KEPT = timedelta(days=7)
"""How long a mailed token is recognised as one that was."""


async def logins(world: World) -> int:
    """Delete a batch of the unfinished logins that are over; how many."""
    return await prune(world.db, Login, Login.expires_at <= world.clock.now())


async def refresh_tokens(world: World) -> int:
    """Delete a batch of the refresh tokens past their time, spent or not: they prove nothing any more; how many."""
    return await prune(world.db, RefreshToken, RefreshToken.expires_at <= world.clock.now())


async def sessions(world: World) -> int:
    """Delete a batch of the sessions that could last until `LOGIN_RETENTION` ago, whatever ended them; how many."""
    over = SessionRow.expires_at <= world.clock.now() - world.settings.login_retention
    return await prune(world.db, SessionRow, over, *(not_(held) for held in referred_to(SessionRow)))


async def one_time_tokens(world: World) -> int:
    """Delete a batch of the mailed tokens whose time was over a week ago; how many."""
    return await prune(world.db, OneTimeToken, OneTimeToken.expires_at <= world.clock.now() - TOKENS_KEPT)


async def throttles(world: World) -> int:
    """Delete a batch of the counters past their time; how many."""
    return await prune(world.db, Throttle, Throttle.expires_at <= world.clock.now())


async def passkey_ceremonies(world: World) -> int:
    """Delete a batch of the challenges that nobody answers any more; how many."""
    return await prune(world.db, PasskeyCeremony, PasskeyCeremony.expires_at <= world.clock.now())


async def device_codes(world: World) -> int:
    """Delete a batch of the requests to be let in by a short code that are past their time; how many."""
    return await prune(world.db, DeviceCode, DeviceCode.expires_at <= world.clock.now())


async def enrolments(world: World) -> int:
    """Delete a batch of the authenticators that nobody confirmed in time; how many."""
    return await prune(world.db, Factor, *_PENDING, Factor.expires_at <= world.clock.now())
