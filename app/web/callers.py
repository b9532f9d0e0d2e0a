"""Who is calling. The rooms that can tell (operators, end users, devices) register here; every route asks only this file."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, TypeAlias
from uuid import UUID

from fastapi import Depends, Request

from app.events.service import Actor
from app.web.addresses import parse_address
from app.web.problems import (
    ActivationTokenRequired,
    LoginHandleRequired,
    OperatorKeyRequired,
    ScopeMissing,
    SubjectTokenRequired,
    TokenInvalid,
    Unauthenticated,
)
from app.world import World

_REQUEST_WORLD = "licentia.world"


@dataclass(frozen=True)
class Origin:
    """Where a call came from, for the record: the socket's peer (behind trusted proxies, theirs) and its user agent."""

    ip: str | None
    user_agent: str | None


@dataclass(frozen=True)
class Operator:
    id: UUID
    name: str
    scopes: frozenset[str]
    expires_at: datetime | None = None

    def may(self, scope: str) -> bool:
        """A scope is `room:read` or `room:write`; writing includes reading, `*` is all."""
        room = scope.partition(":")[0]
        return bool(self.scopes & {"*", scope, f"{room}:write"})

    def require(self, scope: str) -> None:
        """Raises ScopeMissing unless the key may."""
        if not self.may(scope):
            raise ScopeMissing(f"The key needs the scope {scope}.", {"scope": scope})

    @property
    def actor(self) -> Actor:
        return Actor("operator", self.id)


@dataclass(frozen=True)
class EndUser:
    """What a verified access token says. Whether the session still lives is for the row to tell, not for the token.

    `token_issued_at`: when the token was made, in seconds of the epoch; None where no token is spoken of.
    """

    id: UUID
    session_id: UUID
    token_issued_at: int | None = field(default=None, kw_only=True)

    @property
    def actor(self) -> Actor:
        return Actor("user", self.id)


@dataclass(frozen=True)
class Subject(EndUser):
    """An end user whose session and account were just looked up and found good. `epoch` is the account's at that moment.

    `via_device_grant`: by a short code that another session approved; this one has shown nothing itself yet.
    """

    amr: tuple[str, ...]
    auth_time: datetime
    second_factor_at: datetime | None
    passkey_at: datetime | None
    password_at: datetime | None
    email_verified: bool
    has_second_factor: bool
    via_device_grant: bool
    epoch: int


@dataclass(frozen=True)
class ActivatedDevice:
    """The holder of an activation token. Never an identity. `live` is false once the seat was given back; `since` tells which
    taking of the seat the token is of."""

    activation_id: UUID
    license_id: UUID
    live: bool
    since: datetime | None = None

    @property
    def actor(self) -> Actor:
        return Actor("device", self.activation_id)


@dataclass(frozen=True)
class PendingLoginCaller:
    token: str = field(repr=False)


Caller: TypeAlias = Operator | EndUser | ActivatedDevice | PendingLoginCaller


def identify(caller: Caller) -> str:
    """One text for each caller, the same whatever token speaks for it."""
    match caller:
        case Operator(id=id_):
            return f"operator {id_}"
        case EndUser(id=id_):
            return f"user {id_}"
        case ActivatedDevice(activation_id=id_):
            return f"seat {id_}"
        case PendingLoginCaller(token=token):
            return f"login {token}"


Reader: TypeAlias = Callable[[World, str], Awaitable[Caller]]
"""Turns a token of one kind into its caller. Raises TokenInvalid."""


@dataclass(frozen=True)
class CallerRegistry:
    """How to tell callers apart by the prefix of their token, and how to look a token's session up."""

    readers: Mapping[str, Reader]
    subject: Callable[[World, EndUser], Awaitable[Subject]]


async def get_world(request: Request) -> World:
    """The world of this request if it has one (see `use_world`), else the application's."""
    return world_of(request)


def world_of(request: Request) -> World:
    world: World = request.scope.get(_REQUEST_WORLD) or request.app.state.world
    return world


def use_world(request: Request, world: World) -> None:
    """Give the request a world of its own: its use case and the readers of its credential get it instead of the application's."""
    request.scope[_REQUEST_WORLD] = world


async def get_origin(request: Request) -> Origin:
    agent = request.headers.get("user-agent")
    return Origin(parse_address(request.client.host) if request.client else None, agent[:512] if agent else None)


async def get_caller(request: Request) -> Caller | None:
    """Whoever the Authorization header says, or nobody. Raises TokenInvalid for a credential that is not good."""
    header = request.headers.get("authorization")
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    token = token.strip()
    registry: CallerRegistry = request.app.state.caller_registry
    for prefix, reader in registry.readers.items():
        if token.startswith(prefix) and scheme.lower() == ("login" if prefix == "lgn_" else "bearer"):
            return await reader(world_of(request), token)
    raise TokenInvalid


OptionalCaller = Annotated[Caller | None, Depends(get_caller)]
TheWorld = Annotated[World, Depends(get_world)]
TheOrigin = Annotated[Origin, Depends(get_origin)]


class RequireScope:
    """A dependency: an operator key with this scope."""

    def __init__(self, scope: str) -> None:
        self.scope = scope

    async def __call__(self, caller: OptionalCaller) -> Operator:
        if caller is None:
            raise Unauthenticated("Send `Authorization: Bearer op_…`.")
        if not isinstance(caller, Operator):
            raise OperatorKeyRequired
        caller.require(self.scope)
        return caller


async def token_holder(caller: OptionalCaller) -> EndUser:
    """The end user as the access token says; for use cases that look at the session row themselves."""
    if caller is None:
        raise Unauthenticated("Log in and send `Authorization: Bearer` with the access token.")
    if not isinstance(caller, EndUser):
        raise SubjectTokenRequired
    return caller


async def subject(request: Request, holder: Annotated[EndUser, Depends(token_holder)]) -> Subject:
    """The end user with a session that lives and an account that is open, by the rows of this moment."""
    registry: CallerRegistry = request.app.state.caller_registry
    return await registry.subject(world_of(request), holder)


async def verified_caller(request: Request, caller: OptionalCaller) -> Caller | None:
    """Whoever calls, of any kind or none; an end user only with a session that lives."""
    return await subject(request, caller) if isinstance(caller, EndUser) else caller


async def optional_subject(request: Request, caller: OptionalCaller) -> Subject | None:
    """The end user if one presents a token; nobody if there is no Authorization header at all."""
    return None if caller is None else await subject(request, await token_holder(caller))


async def device(caller: OptionalCaller) -> ActivatedDevice:
    if caller is None:
        raise Unauthenticated("Send `Authorization: Bearer act_…`.")
    if not isinstance(caller, ActivatedDevice):
        raise ActivationTokenRequired
    if not caller.live:
        raise TokenInvalid("The seat was released; activate the device again.")
    return caller


async def pending_login(caller: OptionalCaller) -> PendingLoginCaller:
    if caller is None:
        raise Unauthenticated("Send `Authorization: Login lgn_…`.")
    if not isinstance(caller, PendingLoginCaller):
        raise LoginHandleRequired
    return caller


async def optional_login(caller: OptionalCaller) -> PendingLoginCaller | None:
    """An unfinished login to go on with; nobody if there is no Authorization header at all."""
    return None if caller is None else await pending_login(caller)


async def decision_caller(caller: OptionalCaller) -> EndUser | ActivatedDevice | None:
    """Whoever may ask for a decision: an end user as the token says, a seat, or nobody yet. Never an operator."""
    if caller is None or isinstance(caller, EndUser | ActivatedDevice):
        return caller
    raise SubjectTokenRequired


async def license_caller(
    request: Request, caller: Annotated[EndUser | ActivatedDevice | None, Depends(decision_caller)]
) -> Subject | ActivatedDevice | None:
    """Whoever may use a license: an end user with a session that lives, a seat, or the holder of a key. Never an operator."""
    return await subject(request, caller) if isinstance(caller, EndUser) else caller


async def activation_caller(request: Request, caller: OptionalCaller) -> Subject | ActivatedDevice:
    """Whoever may keep a seat alive: the seat's own token, or its end user."""
    return await subject(request, caller) if isinstance(caller, EndUser) else await device(caller)


def as_device(caller: Caller | None) -> ActivatedDevice | None:
    return caller if isinstance(caller, ActivatedDevice) else None


def as_subject(caller: Caller | None) -> Subject | None:
    return caller if isinstance(caller, Subject) else None


SECURITY: Mapping[object, tuple[str, ...]] = {
    token_holder: ("end_user",),
    subject: ("end_user",),
    optional_subject: ("end_user", ""),
    decision_caller: ("end_user", "activation", ""),
    license_caller: ("end_user", "activation", ""),
    activation_caller: ("end_user", "activation"),
    pending_login: ("login",),
    optional_login: ("login", ""),
    verified_caller: ("operator", "end_user", "activation", ""),
}
"""Which OpenAPI security schemes a dependency stands for; the empty one means that none is also good."""

TheEndUser = Annotated[EndUser, Depends(token_holder)]
TheSubject = Annotated[Subject, Depends(subject)]
MaybeSubject = Annotated[Subject | None, Depends(optional_subject)]
VerifiedCaller = Annotated[Caller | None, Depends(verified_caller)]
DecisionCaller = Annotated[EndUser | ActivatedDevice | None, Depends(decision_caller)]
LicenseCaller = Annotated[Subject | ActivatedDevice | None, Depends(license_caller)]
ActivationCaller = Annotated[Subject | ActivatedDevice, Depends(activation_caller)]
MaybeLogin = Annotated[PendingLoginCaller | None, Depends(optional_login)]
TheLogin = Annotated[PendingLoginCaller, Depends(pending_login)]
