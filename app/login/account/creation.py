"""Create end users: with a password, with a hash imported from another system, or without either."""

from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.exc import IntegrityError

from app.db.types import AnyRow
from app.events.service import Actor
from app.login.factors import passwords
from app.login.sessions.service import load_session
from app.security.foreign_hashes import read_cost
from app.users import service as users
from app.web.callers import EndUser
from app.world import World


@dataclass(frozen=True)
class InitialPassword:
    """The first password of an account, in plain text or as an imported hash. `must_change`: at the first login."""

    password: str | None = field(default=None, repr=False)
    imported_hash: str | None = field(default=None, repr=False)
    must_change: bool = False


async def create_user(world: World, actor: Actor, values: dict[str, Any], initial: InitialPassword | str | None = None) -> AnyRow:
    """Create an end user. Raises EmailTaken, UserExternalIdTaken, Malformed, Busy."""
    password = initial if isinstance(initial, InitialPassword) else InitialPassword(initial)
    hashed = None
    if password.password is not None:
        hashed = await passwords.check_and_hash(world, password.password, values["email"], "/password")
    elif password.imported_hash is not None:
        hashed = passwords.accept_imported_hash(world, password.imported_hash)
    try:
        async with world.db.write() as tx:
            row = await users.insert_user(tx, world, actor, values)
            if hashed is not None:
                details: dict[str, Any] = {"must_change": password.must_change}
                if password.password is None:
                    details |= {"imported": True, "form": read_cost(hashed)}
                await passwords.set_password(tx, world, actor, row.id, hashed, **details)
    except IntegrityError as error:
        raise users.translate_unique_violation(error) from error
    if password.imported_hash is not None:
        world.hasher.padding.due = 0.0  # measure again: this may be the first hash of its type
    return row


async def get_me(world: World, end_user: EndUser) -> AnyRow:
    """Load the calling user and the session in one statement. Raises TokenInvalid."""
    return await load_session(world, end_user)


async def change_me(world: World, end_user: EndUser, changes: dict[str, Any]) -> AnyRow:
    """Change the profile fields that users may change themselves. Raises TokenInvalid, UserErased, AgeBandFixed."""
    await load_session(world, end_user)
    await users.change_user(world, end_user.actor, end_user.id, changes)
    return await load_session(world, end_user)
