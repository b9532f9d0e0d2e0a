"""Limit guesses of license keys and activation codes. Only failures count, by network address and by key or code (licensing R52)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.licenses.keys import digest_code, digest_key
from app.licenses.problems import ActivationCodeInvalid, LicenseNotFound
from app.web import counters
from app.web.addresses import network_group
from app.web.counters import WindowLimit
from app.world import World


async def count_wrong_guess(world: World, ip: str | None, credential: str | None, *, is_code: bool = False) -> None:
    """Count a wrong key or code. Raises TooManyAttempts once the address, or this key or code, has failed too often."""
    settings = world.settings
    windows = {_build_key(world, "license_address", network_group(ip)): WindowLimit(settings.guess_window, settings.guesses_per_address)}
    if credential is not None:
        digest = (digest_code if is_code else digest_key)(world.keys.lookup, credential).hex()
        key = _build_key(world, "activation_code" if is_code else "license_key", digest)
        windows[key] = WindowLimit(settings.guess_window, settings.guesses_per_key)
    await counters.count_failure(world, windows)


@asynccontextmanager
async def counting_wrong_guesses(world: World, ip: str | None, key: str | None, code: str | None = None) -> AsyncIterator[None]:
    """Run a use case; if it refuses a wrong key or code, count the failure after its transaction was rolled back."""
    try:
        yield
    except (LicenseNotFound, ActivationCodeInvalid):
        if key is not None or code is not None:
            await count_wrong_guess(world, ip, key or code, is_code=key is None)
        raise


def _build_key(world: World, kind: str, value: str) -> bytes:
    return world.keys.lookup.digest("failures", f"{kind}\0{value}")
