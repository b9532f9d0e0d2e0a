"""Real servers over loopback on one database, and what tests against them need."""

from datetime import datetime
from pathlib import Path

from app.api_keys import service as api_keys
from app.base.clock import Clock
from app.world import World
from tests.clock import TurnedClock
from tests.conftest import LIMITS, SECRETS
from tests.servers import Running


class RealClock(TurnedClock):
    """For builders that look at the clock while the server has a real one."""

    def now(self) -> datetime:
        return Clock().now()


def server(home: Path, url: str) -> Running:
    secrets = {"LICENTIA_PUBLIC_URL": "http://licentia.test", "LICENTIA_ENV": "production"}
    return Running(home, **SECRETS, **LIMITS, **secrets, LICENTIA_DATABASE_URL=url)


async def root_of(world: World) -> dict[str, str]:
    _, key = await api_keys.create(world, None, "root", ["*"])
    return {"Authorization": f"Bearer {key}"}
