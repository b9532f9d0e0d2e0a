"""What the ratios are ratios of: one row of `licenses` by its unique index, through an asyncpg pool, and nothing else.

`python -m ops.bench.floor floor|ceiling PORT SOCKET USER DATABASE`: the floor is bare Starlette (issue 2), the ceiling is FastAPI
with a response model (what `performance.md` calls 1.00). No logs, no metrics.
"""

import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import uvicorn
from fastapi import FastAPI, Request
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.requests import Request as PlainRequest
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp

ROW = "SELECT key_last4, rev FROM licenses WHERE key_hash = $1"
POOL = 10


class Row(BaseModel):
    key_last4: str
    rev: int


@asynccontextmanager
async def _pooled(address: Mapping[str, str], api: Starlette) -> AsyncIterator[None]:
    async with asyncpg.create_pool(**address, min_size=POOL, max_size=POOL) as pool:
        api.state.pool = pool
        yield


async def _find(pool: Any, digest: str) -> Any:
    return await pool.fetchrow(ROW, bytes.fromhex(digest))


async def _plain(request: PlainRequest) -> JSONResponse:
    return JSONResponse(dict(await _find(request.app.state.pool, request.path_params["digest"])))


async def _typed(digest: str, request: Request) -> Row:
    return Row(**await _find(request.app.state.pool, digest))


def floor(address: Mapping[str, str]) -> Starlette:
    return Starlette(routes=[Route("/row/{digest}", _plain)], lifespan=partial(_pooled, address))


def ceiling(address: Mapping[str, str]) -> FastAPI:
    api = FastAPI(lifespan=partial(_pooled, address))
    api.get("/row/{digest}")(_typed)
    return api


KINDS: Mapping[str, Callable[[Mapping[str, str]], ASGIApp]] = {"floor": floor, "ceiling": ceiling}


def main(kind: str, port: str, socket: str, user: str, database: str) -> None:
    api = KINDS[kind]({"host": socket, "user": user, "database": database})
    uvicorn.run(api, port=int(port), loop="uvloop", http="httptools", log_level="warning", access_log=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
