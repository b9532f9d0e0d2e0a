"""A wall against guessing keys and codes: failures are counted, for the address and for what was tried; success never is (licensing R52)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.licenses.keys import digest_code, digest_key
from app.licenses.problems import ActivationCodeInvalid, LicenseNotFound
from app.web import failure_limits
from app.web.callers import network_group
from app.web.failure_limits import Budget
from app.world import World


async def failed(world: World, ip: str | None, tried: str | None, *, code: bool = False) -> None:
    """Count a wrong key or code. Raises TooManyAttempts once the address, or this key or code, has failed too often."""
    settings = world.settings
    budgets = [Budget("license_address", network_group(ip), settings.guesses_per_address, settings.guess_window)]
    if tried is not None:
        digest = (digest_code if code else digest_key)(world.keys.lookup, tried).hex()
        budgets.append(Budget("activation_code" if code else "license_key", digest, settings.guesses_per_key, settings.guess_window))
    await failure_limits.fail(world, budgets)


@asynccontextmanager
async def counted(world: World, ip: str | None, key: str | None, code: str | None = None) -> AsyncIterator[None]:
    """Around a whole use case: a refusal for a wrong key or code leaves its trace after the transaction is gone."""
    try:
        yield
    except (LicenseNotFound, ActivationCodeInvalid):
        if key is not None or code is not None:
            await failed(world, ip, key or code, code=key is None)
        raise
