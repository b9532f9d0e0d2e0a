"""Stores the response to a request with an `Idempotency-Key` in the transaction of its write: both are committed, or neither.

The write stays open until the response is rendered; both then commit together. A concurrent request with the same key finds the slot
taken when it commits, rolls its own write back, and returns the first response.
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

RETENTION = timedelta(hours=24)
HEADER = "idempotency-key"
REPLAYED = "Idempotency-Replayed"
_FORM = re.compile(r"[\x21-\x7e]{1,200}")
_LASTING = {STATUS[kind] for kind in (Kind.CONFLICT, Kind.GONE, Kind.NOT_FOUND)}
_NAMES = ("license_key", "activation_code", "identifier", "refresh_token", "email", "token", "device_code", "credential")
_HEADERS = ("content-type", "location")

Answer = Callable[[Request], Awaitable[Response]]

_stored = select(StoredAnswer.request, StoredAnswer.status, StoredAnswer.answer, StoredAnswer.kept_until)


@dataclass(frozen=True)
class Slot:
    """Identifies the stored response of one caller and key. `request`: a digest of the request."""

    id: bytes
    request: bytes

    @property
    def place(self) -> Place:
        return Place("kept_answers", "answer", self.id.hex())


async def answer_once(request: Request, answer: Answer) -> Response:
    """Run the request, or return the stored response of the first request with the same key."""
    world = world_of(request)
    caller = await get_caller(request)  # a credential that has become invalid gets no stored response
    slot = await _find_slot(world, request, caller)
    async with world.db.query() as tx:
        stored = await _load(world, tx, slot)
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
            lasting = response.status_code in _LASTING and problem.retry_after is None  # a temporary refusal is not stored
            if not lasting and pending.tx is None:
                raise
        return await _commit_response(world, pending, slot, response)


async def _commit_response(world: World, pending: PendingWrite, slot: Slot, response: Response) -> Response:
    if pending.tx is None and response.status_code >= 300 and response.status_code not in _LASTING:
        return response
    try:
        async with world.db.commit_with(pending) as tx:
            if not await _store(world, tx, slot, response):
                raise _SlotTaken
    except _SlotTaken:
        await pending.stack.aclose()
        async with world.db.query() as tx:
            first = await _load(world, tx, slot)
        if first is None:
            raise IdempotencyInProgress(retry_after=1) from None
        return first
    return response


class _SlotTaken(Exception):
    """Another request with the same key committed first."""


async def _find_slot(world: World, request: Request, caller: Caller | None) -> Slot:
    key = request.headers[HEADER]
    if not _FORM.fullmatch(key):
        raise Malformed([("header:idempotency-key", "invalid", "must be 1 to 200 visible ASCII characters")])
    body = await request.body()
    request_digest = sha256(b"\0".join((request.method.encode(), request.url.path.encode(), request.url.query.encode(), body))).digest()
    holder = identify(caller) if caller is not None else _credential(body)
    return Slot(world.keys.lookup.digest("idempotency", f"{holder}\0{key}"), request_digest)


def _credential(body: bytes) -> str:
    """Return what distinguishes anonymous callers: the license key, code, token, address or identifier that they present."""
    try:
        fields = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(fields, dict):
        return ""
    return "\0".join(ascii(fields.get(name)) for name in _NAMES)


async def _load(world: World, tx: Transaction, slot: Slot) -> Response | None:
    row = (await tx.execute(_stored.where(StoredAnswer.slot == slot.id))).one_or_none()
    if row is None or row.kept_until <= world.clock.now():
        return None
    if row.request != slot.request:
        raise IdempotencyKeyReused("Use a new key for a new request.")
    content = json.loads(world.keys.sealer.open(row.answer, slot.place))
    return Response(content["body"], row.status, {**content["headers"], REPLAYED: "true"})


async def _store(world: World, tx: Transaction, slot: Slot, response: Response) -> bool:
    now = world.clock.now()
    await tx.execute(delete(StoredAnswer).where(StoredAnswer.slot == slot.id, StoredAnswer.kept_until <= now))
    headers = {name: response.headers[name] for name in _HEADERS if name in response.headers}
    content = json.dumps({"body": bytes(response.body).decode(), "headers": headers}).encode()
    values = {
        "slot": slot.id,
        "request": slot.request,
        "status": response.status_code,
        "answer": world.keys.sealer.seal(content, slot.place),
        "kept_until": now + RETENTION,
    }
    return await dialect.insert_once(tx, StoredAnswer, values, unless=["slot"])


async def prune_answers(world: World) -> int:
    """Delete a batch of expired responses, and return their number."""
    return await prune(world.db, StoredAnswer, StoredAnswer.kept_until <= world.clock.now())
