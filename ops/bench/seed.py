"""The data of a run: a product with all requirements, people who meet them, and many licenses and users."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import httpx

from app.base.clock import Clock
from app.config.settings import Settings
from app.world import World
from ops.bench import crowd
from ops.bench.crowd import Licensed, Member
from ops.bench.load import HOST
from tests.agreements import making
from tests.clock import TurnedClock
from tests.given import Given, Person

REQUIRES = ["license", "activation", "login", "second_factor", "passkey", "eula"]
CHECKED, ACTIVATED, MEMBERS, PEOPLE = 10_000, 2_000, 2_000, 16


@dataclass(frozen=True)
class Holder:
    """A person with access to the product: logged in by a passkey, terms accepted, on a device with a seat."""

    token: str
    key: str
    fingerprint: str
    refresh: str


@dataclass(frozen=True)
class Seeded:
    """`checked` licenses are only read, `activated` ones take new seats; `plain` is the address of a user without authenticator."""

    product: str
    checked: Sequence[Licensed]
    activated: Sequence[Licensed]
    holders: Sequence[Holder]
    members: Sequence[Member]
    plain: str


async def seed(settings: Settings, **policy: Any) -> Seeded:
    """Fill the empty database: people over HTTP, the rest in bulk. `policy` is added to the licenses' terms."""
    world = World.of(settings)
    try:
        async with httpx.AsyncClient(base_url=f"http://{HOST}:{settings.port}", timeout=30) as client:
            return await _seeded(world, await Given.with_root_key(client, world, TurnedClock(Clock().now())), policy)
    finally:
        await world.db.close()


async def _seeded(world: World, given: Given, more: dict[str, Any]) -> Seeded:
    product = await given.product(requires=REQUIRES)
    policy = await given.policy(
        product, seat_by="device", max_seats="unlimited", lease="P7D", duration="P1Y", features={"export": True, "projects": 25}, **more
    )
    licenses = await crowd.licenses(world, UUID(policy["id"]), CHECKED + ACTIVATED)
    terms = await given.post("/v1/agreements", {"product": product["code"], "name": "Terms"})
    await making.create_published(given, terms)
    holders = [await _holder(given, policy, terms) for _ in range(PEOPLE)]
    members = await crowd.members(world, MEMBERS)
    plain = await given.person()
    async with world.db.query() as tx:
        await tx.exec_driver_sql("VACUUM ANALYZE")
    return Seeded(str(product["code"]), licenses[:CHECKED], licenses[CHECKED:], holders, members, plain.email)


async def _holder(given: Given, policy: dict[str, Any], terms: dict[str, Any]) -> Holder:
    """The second code is of the next time step, which the server accepts; so each person has a fresh code."""
    own = replace(given, clock=TurnedClock(Clock().now()))
    person: Person = await own.with_passkey(await own.strong())
    await own.by_passkey(person)
    await making.accept(own, person, terms)
    license_ = await own.license(policy)
    await own.activation(license_, fingerprint := f"desk-{person.id}")
    assert person.token is not None
    assert person.refresh is not None
    return Holder(person.token, license_["key"], fingerprint, person.refresh)
