"""`Idempotency-Key`: the answer is stored in the same transaction as the write it tells of, so both stand or neither does.

The use case's write is held open until its answer is rendered; answer and write then commit together. A twin that ran at
the same time finds the slot taken when it settles, rolls its own write back and answers what the first one answered.
"""

import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256

from fastapi import Request, Response
from sqlalchemy import delete, select

from app.base.problems import Kind, Malformed, Problem
from app.db import dialect
from app.db.database import PendingWrite, Transaction
from app.db.pruning import prune
from app.security.sealing import Place
from app.web.callers import Caller, EndUser, get_caller, identify, subject, use_world, world_of
from app.web.errors import STATUS, problem_response
from app.web.models import StoredAnswer
from app.web.problems import IdempotencyInProgress, IdempotencyKeyReused
from app.world import World

KEPT = timedelta(hours=24)
HEADER = "idempotency-key"
REPLAYED = "Idempotency-Replayed"
_FORM = re.compile(r"[\x21-\x7e]{1,200}")
_PERMANENT = {STATUS[kind] for kind in (Kind.CONFLICT, Kind.GONE, Kind.NOT_FOUND)}
_NAMES = ("license_key", "activation_code", "identifier", "refresh_token", "email", "token", "device_code", "credential")
_HEADERS = ("content-type", "location")

Answer = Callable[[Request], Awaitable[Response]]

_find = select(StoredAnswer.request, StoredAnswer.status, StoredAnswer.answer, StoredAnswer.kept_until)


@dataclass(frozen=True)
class Slot:
    """Where the first answer to this caller's key is kept, and what the request was."""

    id: bytes
    request: bytes

    @property
    def place(self) -> Place:
        return Place("kept_answers", "answer", self.id.hex())


async def answer_once(request: Request, answer: Answer) -> Response:
    """Answer the request, or repeat the stored answer of the same key."""
    world = world_of(request)
    caller = await get_caller(request)  # a revoked credential is refused, not answered from the store
    slot = await _find_slot(world, request, caller)
    async with world.db.query() as tx:
        stored = await _load_answer(world, tx, slot)
    if stored is not None:
        if isinstance(caller, EndUser) and bytes(stored.body).strip():
            await subject(request, caller)
        return stored
    async with world.db.hold_commit() as pending:
        use_world(request, world.for_request(pending))
        try:
            response = await answer(request)
        except Problem as problem:
            response = problem_response(problem)
            is_permanent = (
                response.status_code in _PERMANENT and problem.retry_after is None
            )  # an answer that may soon be different is not stored
            if not is_permanent and pending.tx is None:
                raise
        return await _commit_with_answer(world, pending, slot, response)


async def _commit_with_answer(world: World, pending: PendingWrite, slot: Slot, response: Response) -> Response:
    if pending.tx is None and response.status_code >= 300 and response.status_code not in _PERMANENT:
        return response
    try:
        async with world.db.commit_with(pending) as tx:
            if not await _store_answer(world, tx, slot, response):
                raise _AlreadyStored
    except _AlreadyStored:
        await pending.stack.aclose()
        async with world.db.query() as tx:
            first = await _load_answer(world, tx, slot)
        if first is None:
            raise IdempotencyInProgress(retry_after=1) from None
        return first
    return response


class _AlreadyStored(Exception):
    """Another request with the same key committed first."""


async def _find_slot(world: World, request: Request, caller: Caller | None) -> Slot:
    key = request.headers[HEADER]
    if not _FORM.fullmatch(key):
        raise Malformed([("header:idempotency-key", "invalid", "must be 1 to 200 visible ASCII characters")])
    body = await request.body()
    digest = sha256(b"\0".join((request.method.encode(), request.url.path.encode(), request.url.query.encode(), body))).digest()
    owner = identify(caller) if caller is not None else _credential(body)
    return Slot(world.keys.lookup.digest("idempotency", f"{owner}\0{key}"), digest)


def _credential(body: bytes) -> str:
    """The credential that identifies an anonymous caller: license key, code, token, address or identifier."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(fields, dict):
        return ""
    return "\0".join(ascii(fields.get(name)) for name in _NAMES)


async def _load_answer(world: World, tx: Transaction, slot: Slot) -> Response | None:
    row = (await tx.execute(_find.where(StoredAnswer.slot == slot.id))).one_or_none()
    if row is None or row.kept_until <= world.clock.now():
        return None
    if row.request != slot.request:
        raise IdempotencyKeyReused("Use a new key for a new request.")
    stored = json.loads(world.keys.sealer.open(row.answer, slot.place))
    return Response(stored["body"], row.status, {**stored["headers"], REPLAYED: "true"})


async def _store_answer(world: World, tx: Transaction, slot: Slot, response: Response) -> bool:
    now = world.clock.now()
    await tx.execute(delete(StoredAnswer).where(StoredAnswer.slot == slot.id, StoredAnswer.kept_until <= now))
    headers = {name: response.headers[name] for name in _HEADERS if name in response.headers}
    answer = json.dumps({"body": bytes(response.body).decode(), "headers": headers}).encode()
    values = {
        "slot": slot.id,
        "request": slot.request,
        "status": response.status_code,
        "answer": world.keys.sealer.seal(answer, slot.place),
        "kept_until": now + KEPT,
    }
    return await dialect.insert_once(tx, StoredAnswer, values, unless=["slot"])


async def prune_answers(world: World) -> int:
    """Delete a batch of the expired answers; returns how many."""
    return await prune(world.db, StoredAnswer, StoredAnswer.kept_until <= world.clock.now())
