"""Health checks of the process and of the database, and the meaning of each problem code."""

from collections.abc import Awaitable, Callable
from typing import Literal

from fastapi import APIRouter, Request, Response

from app.background import deadline
from app.base.problems import ADVISORIES, DECLARED
from app.db import revision
from app.web.callers import TheWorld
from app.web.errors import STATUS
from app.web.fields import WireModel
from app.web.problems import CodeNotFound
from app.web.routing import Route, refuses
from app.world import World

DEADLINE = 1.5
"""Seconds for the checks of `/readyz`, so that it answers within two."""

router = APIRouter(route_class=Route, tags=["system"])


class Alive(WireModel):
    status: Literal["ok"] = "ok"


class Migration(WireModel):
    """The database's migration revision (null if it does not answer or was never migrated), and the revision that this program needs."""

    database: str | None
    program: str


class Readiness(WireModel):
    """`faults`: why the service is not ready, one sentence each; empty when it is ready."""

    status: Literal["ready", "not_ready"]
    faults: list[str]
    migration: Migration


class CodePage(WireModel):
    code: str
    title: str
    status: int | None


@router.get("/healthz", summary="Check Liveness")
async def healthz() -> Alive:
    """Return 200 while the process runs. The database is not checked; use `/readyz` for that."""
    return Alive()


@router.get("/readyz", summary="Check Readiness", responses={503: {"model": Readiness, "description": "Not ready; see `faults`"}})
async def readyz(request: Request, world: TheWorld, response: Response) -> Readiness:
    """Return 200 if the database answers, its migration fits this program, and the process is not shutting down; otherwise 503.

    A database that a later version has migrated fits, unless that version removed something that this one uses.
    """
    present, faults = None, ["shutting down"] if getattr(request.app.state, "draining", False) else []
    try:
        present = await deadline.with_deadline(DEADLINE, _check_database(world, request.app.state.warm_up))
    except _WrongMigration as wrong:
        present = wrong.database
        faults.append(wrong.fault)
    except Exception as error:  # noqa: BLE001  any fault of the database means: not ready
        faults.append(f"the database does not answer ({type(error).__name__})")
    response.status_code = 503 if faults else 200
    migration = Migration(database=present, program=revision.program_revision())
    return Readiness(status="not_ready" if faults else "ready", faults=faults, migration=migration)


class _WrongMigration(Exception):
    """The database answers, at a migration that this program cannot serve."""

    def __init__(self, database: str | None, fault: str) -> None:
        super().__init__(fault)
        self.database = database
        self.fault = fault


async def _check_database(world: World, warm_up: Callable[[World], Awaitable[object]]) -> str | None:
    """Return the migration of the database. Raises _WrongMigration."""
    status = await revision.check_revision(world.db)
    if status.fault is not None:
        raise _WrongMigration(status.database, status.fault)
    await warm_up(world)  # without its signing keys the service could answer no login and no decision
    return status.database


@router.get("/problems/{code}", summary="Get Problem Code", responses=refuses(CodeNotFound))
async def problem(code: str) -> CodePage:
    """Explain a problem code. `status` is null for codes that appear only as reasons or warnings inside a response."""
    if (declared := DECLARED.get(code)) is not None:
        return CodePage(code=code, title=declared.title, status=STATUS[declared.kind])
    if (title := ADVISORIES.get(code)) is not None:
        return CodePage(code=code, title=title, status=None)
    raise CodeNotFound
