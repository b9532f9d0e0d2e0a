"""Resolves the caller from the Authorization header. Each package registers its token type here."""

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
    """The address (behind trusted proxies, the forwarded one) and the user agent of a request, for the record."""

    ip: str | None
    user_agent: str | None


@dataclass(frozen=True)
class Operator:
    id: UUID
    name: str
    scopes: frozenset[str]
    expires_at: datetime | None = None

    def may(self, scope: str) -> bool:
        """Return whether the key has a scope, `resource:read` or `resource:write`. Write includes read; `*` includes every scope."""
        resource = scope.partition(":")[0]
        return bool(self.scopes & {"*", scope, f"{resource}:write"})

    def require(self, scope: str) -> None:
        """Raise ScopeMissing unless the key has the scope."""
        if not self.may(scope):
            raise ScopeMissing(f"The key needs the scope {scope}.", {"scope": scope})

    @property
    def actor(self) -> Actor:
        return Actor("operator", self.id)


@dataclass(frozen=True)
class EndUser:
    """The content of a verified access token. The session may have ended since; only its row shows that.

    `token_issued_at`: when the token was issued, in seconds since the epoch; None without a token.
    """

    id: UUID
    session_id: UUID
    token_issued_at: int | None = field(default=None, kw_only=True)

    @property
    def actor(self) -> Actor:
        return Actor("user", self.id)


@dataclass(frozen=True)
class Subject(EndUser):
    """An end user whose session and account were just read and are active. `epoch`: the account's value at that moment.

    `via_device_grant`: another session approved this one by a short code; it has presented no factor itself yet.
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
    """The holder of an activation token, which identifies a device and never a user.

    `live`: false after the seat was released. `since`: when the seat was taken; it tells apart two activations of one seat.
    """

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
    """Return a text that identifies the caller; the same for each of the caller's tokens."""
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
"""Reads a token of one kind and returns its caller. Raises TokenInvalid."""


@dataclass(frozen=True)
class CallerRegistry:
    """The reader of each token prefix, and the function that loads a token's session."""

    readers: Mapping[str, Reader]
    subject: Callable[[World, EndUser], Awaitable[Subject]]


async def get_world(request: Request) -> World:
    """Return the world that `use_world` set for this request, or the application's."""
    return world_of(request)


def world_of(request: Request) -> World:
    world: World = request.scope.get(_REQUEST_WORLD) or request.app.state.world
    return world


def use_world(request: Request, world: World) -> None:
    """Set the world of one request; its use case and the readers of its credential get it instead of the application's."""
    request.scope[_REQUEST_WORLD] = world


async def get_origin(request: Request) -> Origin:
    agent = request.headers.get("user-agent")
    return Origin(parse_address(request.client.host) if request.client else None, agent[:512] if agent else None)


async def get_caller(request: Request) -> Caller | None:
    """Return the caller of the Authorization header, or None without the header. Raises TokenInvalid."""
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
    """Return the end user of the access token; for use cases that read the session row themselves."""
    if caller is None:
        raise Unauthenticated("Log in and send `Authorization: Bearer` with the access token.")
    if not isinstance(caller, EndUser):
        raise SubjectTokenRequired
    return caller


async def subject(request: Request, holder: Annotated[EndUser, Depends(token_holder)]) -> Subject:
    """Read the session and the account, and return the end user if both are active."""
    registry: CallerRegistry = request.app.state.caller_registry
    return await registry.subject(world_of(request), holder)


async def read_verified_caller(request: Request, caller: OptionalCaller) -> Caller | None:
    """Return the caller of any kind, or None; the session of an end user is checked."""
    return await subject(request, caller) if isinstance(caller, EndUser) else caller


async def optional_subject(request: Request, caller: OptionalCaller) -> Subject | None:
    """Return the end user of the token, or None without an Authorization header."""
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
    """Return the pending login to continue, or None without an Authorization header."""
    return None if caller is None else await pending_login(caller)


async def decision_caller(caller: OptionalCaller) -> EndUser | ActivatedDevice | None:
    """Return the caller of an access decision: the end user of the token, a seat, or None. Operators are refused."""
    if caller is None or isinstance(caller, EndUser | ActivatedDevice):
        return caller
    raise SubjectTokenRequired


async def license_caller(
    request: Request, caller: Annotated[EndUser | ActivatedDevice | None, Depends(decision_caller)]
) -> Subject | ActivatedDevice | None:
    """Return the caller who uses a license: an end user with an active session, a seat, or None for a key. Operators are refused."""
    return await subject(request, caller) if isinstance(caller, EndUser) else caller


async def activation_caller(request: Request, caller: OptionalCaller) -> Subject | ActivatedDevice:
    """Return the caller who may keep a seat alive: the seat's own token, or an end user with an active session."""
    return await subject(request, caller) if isinstance(caller, EndUser) else await device(caller)


def as_device(caller: Caller | None) -> ActivatedDevice | None:
    return caller if isinstance(caller, ActivatedDevice) else None


def as_subject(caller: Caller | None) -> Subject | None:
    return caller if isinstance(caller, Subject) else None


SECURITY: Mapping[object, tuple[str, ...]] = {
    token_holder: ("end_user",),
    subject: ("end_user",),
    optional_subject: ("end_user", ""),
    device: ("activation",),
    decision_caller: ("end_user", "activation", ""),
    license_caller: ("end_user", "activation", ""),
    activation_caller: ("end_user", "activation"),
    pending_login: ("login",),
    optional_login: ("login", ""),
    read_verified_caller: ("operator", "end_user", "activation", ""),
}
"""The OpenAPI security schemes of each dependency; the empty scheme means that no credential is also accepted."""

TheEndUser = Annotated[EndUser, Depends(token_holder)]
TheSubject = Annotated[Subject, Depends(subject)]
MaybeSubject = Annotated[Subject | None, Depends(optional_subject)]
VerifiedCaller = Annotated[Caller | None, Depends(read_verified_caller)]
DecisionCaller = Annotated[EndUser | ActivatedDevice | None, Depends(decision_caller)]
LicenseCaller = Annotated[Subject | ActivatedDevice | None, Depends(license_caller)]
ActivationCaller = Annotated[Subject | ActivatedDevice, Depends(activation_caller)]
TheDevice = Annotated[ActivatedDevice, Depends(device)]
MaybeLogin = Annotated[PendingLoginCaller | None, Depends(optional_login)]
TheLogin = Annotated[PendingLoginCaller, Depends(pending_login)]
