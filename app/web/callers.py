"""Resolves the caller of a request from its Authorization header. Each package registers a reader for its kind of token."""

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
    """The network address of the client (behind trusted proxies, the one they forward) and its user agent, for the record."""

    ip: str | None
    user_agent: str | None


@dataclass(frozen=True)
class Operator:
    """The holder of an operator key. `expires_at` is None for a key without end."""

    id: UUID
    name: str
    scopes: frozenset[str]
    expires_at: datetime | None = None

    def may(self, scope: str) -> bool:
        """Whether the key has this scope. A scope is `licenses:read` or `licenses:write`; writing includes reading, `*` is every scope."""
        area = scope.partition(":")[0]
        return bool(self.scopes & {"*", scope, f"{area}:write"})

    def require(self, scope: str) -> None:
        """Raises ScopeMissing unless the key has the scope."""
        if not self.may(scope):
            raise ScopeMissing(f"The key needs the scope {scope}.", {"scope": scope})

    @property
    def actor(self) -> Actor:
        return Actor("operator", self.id)


@dataclass(frozen=True)
class EndUser:
    """The claims of a verified access token. Only the session's row says whether the session is still open.

    `token_issued_at`: seconds since the epoch; None if the caller was not read from a token.
    """

    id: UUID
    session_id: UUID
    token_issued_at: int | None = field(default=None, kw_only=True)

    @property
    def actor(self) -> Actor:
        return Actor("user", self.id)


@dataclass(frozen=True)
class Subject(EndUser):
    """An end user whose session is open and whose account is active, read from the database for this request.

    `epoch` is the authentication epoch of the account. `via_device_grant`: the session was approved by another one and has not
    authenticated itself yet. All instants are in UTC.
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
    """The holder of an activation token, which identifies a seat and never a person. `live` is false once the seat was released;
    `since` is the activation that the token belongs to."""

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
    """A text that is unique for each caller and the same for all of its tokens; a pending login is its token."""
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
"""Returns the caller of a token. Raises TokenInvalid."""


@dataclass(frozen=True)
class CallerRegistry:
    """The reader for each token prefix, and the function that loads the session of an end user."""

    readers: Mapping[str, Reader]
    subject: Callable[[World, EndUser], Awaitable[Subject]]


async def get_world(request: Request) -> World:
    """The world of the request: its own one (see `use_world`), or that of the application."""
    return world_of(request)


def world_of(request: Request) -> World:
    world: World = request.scope.get(_REQUEST_WORLD) or request.app.state.world
    return world


def use_world(request: Request, world: World) -> None:
    """Use this world for the request, in its use case and in the readers of its credential."""
    request.scope[_REQUEST_WORLD] = world


async def get_origin(request: Request) -> Origin:
    agent = request.headers.get("user-agent")
    return Origin(parse_address(request.client.host) if request.client else None, agent[:512] if agent else None)


async def get_caller(request: Request) -> Caller | None:
    """The caller by the Authorization header; None without the header. Raises TokenInvalid."""
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
    """A dependency that requires an operator key with this scope."""

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
    """The end user by the access token alone; for use cases that read the session's row themselves."""
    if caller is None:
        raise Unauthenticated("Log in and send `Authorization: Bearer` with the access token.")
    if not isinstance(caller, EndUser):
        raise SubjectTokenRequired
    return caller


async def subject(request: Request, holder: Annotated[EndUser, Depends(token_holder)]) -> Subject:
    """The end user, if the session is open and the account is active. Raises TokenInvalid."""
    registry: CallerRegistry = request.app.state.caller_registry
    return await registry.subject(world_of(request), holder)


async def get_verified_caller(request: Request, caller: OptionalCaller) -> Caller | None:
    """The caller of any kind, or None; an end user needs an open session."""
    return await subject(request, caller) if isinstance(caller, EndUser) else caller


async def optional_subject(request: Request, caller: OptionalCaller) -> Subject | None:
    """The end user; None without an Authorization header."""
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
    """The pending login to continue; None without an Authorization header."""
    return None if caller is None else await pending_login(caller)


async def decision_caller(caller: OptionalCaller) -> EndUser | ActivatedDevice | None:
    """The caller of the access decision: an end user by the token, a seat, or None. Raises SubjectTokenRequired for an operator."""
    if caller is None or isinstance(caller, EndUser | ActivatedDevice):
        return caller
    raise SubjectTokenRequired


async def license_caller(
    request: Request, caller: Annotated[EndUser | ActivatedDevice | None, Depends(decision_caller)]
) -> Subject | ActivatedDevice | None:
    """The caller who uses a license: an end user with an open session, a seat, or None with a license key in the body."""
    return await subject(request, caller) if isinstance(caller, EndUser) else caller


async def activation_caller(request: Request, caller: OptionalCaller) -> Subject | ActivatedDevice:
    """The caller who renews a seat: its activation token, or its end user."""
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
    get_verified_caller: ("operator", "end_user", "activation", ""),
}
"""The OpenAPI security schemes of each dependency; an empty name means that the call works without a credential."""

TheEndUser = Annotated[EndUser, Depends(token_holder)]
TheSubject = Annotated[Subject, Depends(subject)]
MaybeSubject = Annotated[Subject | None, Depends(optional_subject)]
VerifiedCaller = Annotated[Caller | None, Depends(get_verified_caller)]
DecisionCaller = Annotated[EndUser | ActivatedDevice | None, Depends(decision_caller)]
LicenseCaller = Annotated[Subject | ActivatedDevice | None, Depends(license_caller)]
ActivationCaller = Annotated[Subject | ActivatedDevice, Depends(activation_caller)]
MaybeLogin = Annotated[PendingLoginCaller | None, Depends(optional_login)]
TheLogin = Annotated[PendingLoginCaller, Depends(pending_login)]
