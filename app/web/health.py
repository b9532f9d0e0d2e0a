"""Whether the process lives, whether it can serve, and what each problem code means."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Literal

from fastapi import APIRouter, Request, Response

from app.base.problems import ADVISORIES, DECLARED
from app.db import schema
from app.web.callers import TheWorld
from app.web.errors import STATUS
from app.web.problems import CodeNotFound
from app.web.routing import Route, refuses
from app.web.shapes import Shape
from app.world import World

PATIENCE = 1.5
"""Seconds; whoever asks has an answer within two."""
_late: set[asyncio.Task[None]] = set()
"""Looks that were given up: each ends by itself, when its connection does."""

router = APIRouter(route_class=Route, tags=["system"])


class Alive(Shape):
    status: Literal["ok"] = "ok"


class Readiness(Shape):
    """`faults` says in words what is wrong; empty when ready."""

    status: Literal["ready", "not_ready"]
    faults: list[str]


class CodePage(Shape):
    code: str
    title: str
    status: int | None


@router.get("/healthz")
async def healthz() -> Alive:
    """The process answers. Touches nothing."""
    return Alive()


@router.get("/readyz", responses={503: {"model": Readiness, "description": "Not ready; `faults` says why"}})
async def readyz(request: Request, world: TheWorld, response: Response) -> Readiness:
    """The database is reachable and at the right migration, and the process is not shutting down."""
    faults = ["shutting down"] if getattr(request.app.state, "draining", False) else []
    try:
        await _in_time(_look(world, request.app.state.warm_up))
    except _Unmigrated as fault:
        faults.append(str(fault))
    except Exception as error:  # noqa: BLE001  whatever is wrong with the database, the answer is the same: not ready
        faults.append(f"the database does not answer ({type(error).__name__})")
    response.status_code = 503 if faults else 200
    return Readiness(status="not_ready" if faults else "ready", faults=faults)


class _Unmigrated(Exception):
    """The sentence that says which migration is missing."""


async def _look(world: World, warm_up: Callable[[World], Awaitable[object]]) -> None:
    present = await schema.present(world.db)
    if present != schema.wanted():
        raise _Unmigrated(f"the database is at migration {present or 'none'}, this program wants {schema.wanted()}")
    await warm_up(world)  # without its signing keys it could answer nothing that matters


async def _in_time(look: Coroutine[None, None, None]) -> None:
    """Not `wait_for`, which waits for the end of what it has cancelled: a connection to a frozen server takes seconds to give up."""
    task = asyncio.create_task(look)
    done, _ = await asyncio.wait({task}, timeout=PATIENCE)
    if not done:
        task.cancel()
        _late.add(task)
        task.add_done_callback(_late.discard)
        raise TimeoutError
    await task


@router.get("/problems/{code}", responses=refuses(CodeNotFound))
async def problem(code: str) -> CodePage:
    """What a code means. `status` is null for codes that only appear inside a verdict."""
    if (declared := DECLARED.get(code)) is not None:
        return CodePage(code=code, title=declared.title, status=STATUS[declared.kind])
    if (title := ADVISORIES.get(code)) is not None:
        return CodePage(code=code, title=title, status=None)
    raise CodeNotFound
