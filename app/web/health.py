"""Whether the process lives, whether it can serve, and what each problem code means."""

import asyncio
from typing import Literal

from fastapi import APIRouter, Request, Response

from app.base.problems import ADVISORIES, DECLARED
from app.db import schema
from app.web.callers import TheWorld
from app.web.errors import STATUS
from app.web.problems import CodeNotFound
from app.web.routing import Route, refuses
from app.web.shapes import Shape

PATIENCE = 2.0

router = APIRouter(route_class=Route, tags=["system"])


class Alive(Shape):
    status: Literal["ok"] = "ok"


class Migration(Shape):
    """The revision that the database is at, null if it does not answer or was never migrated; and the one this program wants."""

    database: str | None
    program: str


class Readiness(Shape):
    """`faults` says in words what is wrong; empty when ready."""

    status: Literal["ready", "not_ready"]
    faults: list[str]
    migration: Migration


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
    """The database is reachable and at a migration that this program can serve over, and the process is not shutting down.

    A later program may have migrated it already: its additions are in nobody's way.
    """
    present, faults = None, ["shutting down"] if getattr(request.app.state, "draining", False) else []
    try:
        found = await asyncio.wait_for(schema.standing(world.db), PATIENCE)
        present = found.database
        if found.fault is not None:
            faults.append(found.fault)
        else:
            await request.app.state.warm_up(world)  # without its signing keys it could answer nothing that matters
    except Exception as error:  # noqa: BLE001  whatever is wrong with the database, the answer is the same: not ready
        faults.append(f"the database does not answer ({type(error).__name__})")
    response.status_code = 503 if faults else 200
    migration = Migration(database=present, program=schema.wanted())
    return Readiness(status="not_ready" if faults else "ready", faults=faults, migration=migration)


@router.get("/problems/{code}", responses=refuses(CodeNotFound))
async def problem(code: str) -> CodePage:
    """What a code means. `status` is null for codes that only appear inside a verdict."""
    if (declared := DECLARED.get(code)) is not None:
        return CodePage(code=code, title=declared.title, status=STATUS[declared.kind])
    if (title := ADVISORIES.get(code)) is not None:
        return CodePage(code=code, title=title, status=None)
    raise CodeNotFound
