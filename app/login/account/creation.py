"""Making end users, with a password, with a hash that another system made, or with neither."""

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
    """What an account is made with: a password as typed, or a hash of one; and whether it has to be changed at the first login."""

    password: str | None = field(default=None, repr=False)
    imported_hash: str | None = field(default=None, repr=False)
    must_change: bool = False


async def create_user(world: World, actor: Actor, values: dict[str, Any], given: InitialPassword | str | None = None) -> AnyRow:
    """A new end user. Raises EmailTaken, UserExternalIdTaken, Malformed, Busy."""
    credential = given if isinstance(given, InitialPassword) else InitialPassword(given)
    hashed = None
    if credential.password is not None:
        hashed = await passwords.check_and_hash(world, credential.password, values["email"], "/password")
    elif credential.imported_hash is not None:
        hashed = passwords.accept_imported_hash(world, credential.imported_hash)
    try:
        async with world.db.write() as tx:
            row = await users.insert_user(tx, world, actor, values)
            if hashed is not None:
                facts: dict[str, Any] = {"must_change": credential.must_change}
                if credential.password is None:
                    facts |= {"imported": True, "form": read_cost(hashed)}
                await passwords.set_password(tx, world, actor, row.id, hashed, **facts)
    except IntegrityError as error:
        raise users.unique_violation(error) from error
    if credential.imported_hash is not None:
        world.hasher.padding.due = 0.0  # it may be the first of its kind
    return row


async def get_me(world: World, end_user: EndUser) -> AnyRow:
    """The user's own row with the session's, in one statement."""
    return await load_session(world, end_user)


async def change_me(world: World, end_user: EndUser, changes: dict[str, Any]) -> AnyRow:
    """Change one's own profile, as far as it is one's own to change."""
    await load_session(world, end_user)
    await users.change_user(world, end_user.actor, end_user.id, changes)
    return await load_session(world, end_user)
