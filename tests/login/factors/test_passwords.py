"""Tests of passwords: length, block list, hashing, and hashes imported from other systems (authentication R1 to R11)."""

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha1
from typing import Any

import passlib.hash  # noqa: TID251  creates the hashes of other systems
import pytest
from fastapi import FastAPI
from sqlalchemy import select

from app.login.factors.timing import refresh_timing
from app.login.models import Factor
from app.security.foreign_hashes import is_affordable, unwrap_django_hash
from app.security.password_blocklist import COMMON, find_fault
from app.security.passwords import SAMPLES, PasswordHasher, ResponsePadding
from tests.assertions import problem
from tests.given import PASSWORD, Given, Person

RECIPES: Any = passlib.hash
NEW = "a wholly different staple"
LEGACY = {
    "argon2": RECIPES.argon2.using(memory_cost=8192, time_cost=1, parallelism=1).hash(PASSWORD),
    "pbkdf2_sha256": RECIPES.pbkdf2_sha256.using(rounds=1000).hash(PASSWORD),
    "pbkdf2_sha512": RECIPES.pbkdf2_sha512.using(rounds=1000).hash(PASSWORD),
    "scrypt": RECIPES.scrypt.using(rounds=8, block_size=8, parallelism=1).hash(PASSWORD),
    "django": RECIPES.django_pbkdf2_sha256.using(rounds=1000).hash(PASSWORD),
    "django_argon2": RECIPES.django_argon2.using(memory_cost=8192, time_cost=1, parallelism=1).hash(PASSWORD),
    "phpass": RECIPES.phpass.using(rounds=8).hash(PASSWORD),
    "bcrypt": "$2b$04$8aboUX8Wz5njIf2JlZifLODVeRwceCaz0wuKhdZEnJPSFIVatzovq",
    "django_bcrypt": "bcrypt$$2b$04$8aboUX8Wz5njIf2JlZifLODVeRwceCaz0wuKhdZEnJPSFIVatzovq",
    "django_bcrypt_sha256": "bcrypt_sha256$$2b$04$P8P06r81p/svMzTBwJxez.XyAkGD5QMhUdJ1A4/lNvjxEhHdtLg2O",
}
TOO_EXPENSIVE = [
    "$argon2id$v=19$m=131073,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2g",
    "$argon2id$v=19$m=19456,t=11,p=1$c2FsdHNhbHQ$aGFzaGhhc2g",
    "$argon2id$v=19$m=19456,t=2,p=17$c2FsdHNhbHQ$aGFzaGhhc2g",
    "$scrypt$ln=18,r=8,p=1$c2FsdA$aGFzaA",
    "$scrypt$ln=14,r=9,p=1$c2FsdA$aGFzaA",
    "$pbkdf2-sha256$10000001$c2FsdA$aGFzaA",
    "pbkdf2_sha256$10000001$c2FsdA$aGFzaA==",
    "$2b$16$abcdefghijklmnopqrstuuWzTGaQW8vGRzKQoWVGUHUqeZEIhgJl2",
]


@pytest.fixture(autouse=True)
def reset_padding(hasher: PasswordHasher) -> None:
    """Reset the padding, so that slow hashes of one test do not slow down the next."""
    hasher.padding.seen.clear()
    hasher.padding.stored.clear()
    hasher.padding.due = 0.0


async def expect_refused(given: Given, password: str, **more: Any) -> str:
    """Return the error code with which a password is refused when a user is created."""
    body = {"email": "kari.nordmann@example.com", "password": password, **more}
    error = problem(await given.client.post("/v1/users", json=body, headers=given.root), 422, "malformed")
    assert password not in str(error)
    return str(error["errors"][0]["code"])


async def create_with_hash(given: Given, hashed: str) -> Person:
    return await given.person(password=None, password_hash=hashed)


async def read_stored_hash(given: Given, person: Person) -> str:
    async with given.world.db.query() as tx:
        wanted = select(Factor.hash).where(Factor.kind == "password", Factor.state == "active")
        return str(await tx.scalar(wanted.order_by(Factor.created_at.desc())))


def test_r3_the_list_has_three_thousand_of_each_allowed_length() -> None:
    assert sum(len(word) >= 15 for word in COMMON) >= 3000
    assert sum(len(word) >= 8 for word in COMMON) >= 3000
    assert all(word == word.casefold() and word.isalnum() for word in COMMON)


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("passwordpassword", "password_common"),
        ("Password Password", "password_common"),
        ("I love you so much 2026", "password_common"),
        ("aaaaaaaaaaaaaaaaaaaa", "password_common"),
        ("qwertyuiopasdfghjkl", "password_common"),
        ("zyxwvutsrqponmlkj", "password_common"),
        ("ｐａｓｓｗｏｒｄｐａｓｓｗｏｒｄ", "password_common"),
        ("Licentia-Licentia-1", "password_context"),
        ("kari.nordmann1990!", "password_context"),
        ("kari.nordmann@example.com", "password_context"),
        ("Norskstudio 12345", "password_context"),
    ],
)
async def test_r3_common_passwords_and_names_around_the_account_are_refused(given: Given, password: str, code: str) -> None:
    await given.product(code="norskstudio")
    assert await expect_refused(given, password) == code


@pytest.mark.parametrize(
    "password", ["correct horse battery staple", "all lower case no digits", "              一二三", "þrjátíu og þrír hestar"]
)
def test_r2_there_are_no_other_rules_for_a_password(password: str) -> None:
    assert find_fault(password, ["kari.nordmann", "Licentia"]) is None


async def test_r3_every_path_that_sets_a_password_checks_the_list(given: Given) -> None:
    """Set by an operator, changed by its owner, changed at a forced change; the paths with mailed tokens use the same function."""
    bad = "passwordpassword"
    assert await expect_refused(given, bad) == "password_common"
    person = await given.logged_in()
    answer = await given.client.post("/v1/me/password", json={"current": PASSWORD, "new": bad}, headers=person.auth)
    assert problem(answer, 422, "malformed")["errors"][0] == {
        "pointer": "/new",
        "code": "password_common",
        "detail": "is a common password; choose another one",
    }
    handle = await given.begin(await given.person(password_change_required=True))
    answer = await given.client.post("/v1/login/password", json={"new": bad}, headers=handle)
    assert problem(answer, 422, "malformed")["errors"][0]["code"] == "password_common"


async def test_r1_eight_characters_are_enough_if_a_second_factor_is_always_required(given: Given, app: FastAPI) -> None:
    given.configured(app, mfa="required", password_min=8)
    assert await expect_refused(given, "seven77") == "password_too_short"
    assert (await given.person(password="kjøtt9då")).id


class RangeService:
    """A breach list on loopback that contains one password. `broken`: it responds with 500."""

    def __init__(self, password: str, *, broken: bool = False) -> None:
        self.digest = sha1(password.encode(), usedforsecurity=False).hexdigest().upper()
        self.broken = broken
        self.asked: list[str] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(head)
        body = f"{self.digest[5:]}:42\r\n{'0' * 35}:0\r\n".encode()
        status = b"500 Broken" if self.broken else b"200 OK"
        writer.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body) + body)
        await writer.drain()
        writer.close()


@pytest.fixture
async def serve_breach_list() -> AsyncIterator[Any]:
    servers: list[asyncio.Server] = []

    async def serve(service: RangeService) -> str:
        server = await asyncio.start_server(service, "127.0.0.1", 0)
        servers.append(server)
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/range"

    yield serve
    for server in servers:
        server.close()
        await server.wait_closed()


async def test_r4_a_breached_password_is_refused_and_only_five_characters_are_sent(
    given: Given, app: FastAPI, serve_breach_list: Any
) -> None:
    service = RangeService(NEW)
    given.configured(app, breach_lookup=await serve_breach_list(service))
    assert await expect_refused(given, NEW) == "password_breached"
    assert f"GET /range/{service.digest[:5]} " in service.asked[0]
    assert "add-padding: true" in service.asked[0].lower()
    assert service.digest[5:] not in service.asked[0]
    assert (await given.person(password=PASSWORD)).id


async def test_r4_a_failed_lookup_accepts_the_password(given: Given, app: FastAPI, serve_breach_list: Any) -> None:
    for url in (await serve_breach_list(RangeService(NEW, broken=True)), "http://127.0.0.1:1/range"):
        given.configured(app, breach_lookup=url)
        assert (await given.person(password=NEW)).id
        assert await expect_refused(given, "passwordpassword") == "password_common"  # the local list is still checked


async def test_an_owner_changes_their_password(given: Given) -> None:
    person = await given.logged_in()
    wrong = {"current": "not this one at all", "new": NEW}
    problem(await given.client.post("/v1/me/password", json=wrong, headers=person.auth), 403, "password_wrong")
    right = {"current": PASSWORD, "new": NEW}
    assert (await given.client.post("/v1/me/password", json=right, headers=person.auth)).status_code == 204
    person.password = NEW
    assert (await given.logged_in(person)).token


async def test_r6_a_hash_is_argon2id_with_the_configured_cost(given: Given) -> None:
    assert (await read_stored_hash(given, await given.person())).startswith("$argon2id$v=19$m=256,t=1,p=1$")


@pytest.mark.parametrize("scheme", LEGACY)
async def test_r8_an_imported_hash_is_replaced_at_the_first_login(given: Given, scheme: str) -> None:
    person = await create_with_hash(given, LEGACY[scheme])
    assert await read_stored_hash(given, person) == unwrap_django_hash(LEGACY[scheme])
    wrong = {"identifier": person.email, "password": "not this one at all"}
    problem(await given.client.post("/v1/login", json=wrong), 401, "invalid_credentials")
    for _ in range(2):
        assert (await given.logged_in(person)).token
        assert (await read_stored_hash(given, person)).startswith("$argon2id$v=19$m=256,t=1,p=1$")


async def test_r5_an_imported_hash_is_checked_against_the_bytes_as_typed(given: Given) -> None:
    decomposed = "pa\u030ass pa\u030a norsk, takk"
    for typed in (decomposed, "påss på norsk, takk"):
        person = await create_with_hash(given, RECIPES.pbkdf2_sha256.using(rounds=1000).hash(typed))
        person.password = decomposed
        assert (await given.logged_in(person)).token
        person.password = "påss på norsk, takk"  # the new hash is of the normalised form
        assert (await given.logged_in(person)).token


@pytest.mark.parametrize(
    "hashed", [*TOO_EXPENSIVE, "x", "$1$abc$def", "5f4dcc3b5aa765d61d8327deb882cf99", "$argon2id$v=19$m=8192,t=1,p=1$short"]
)
async def test_r9_a_hash_of_unknown_type_or_excessive_cost_is_refused(given: Given, hashed: str) -> None:
    body = {"email": "kari@example.com", "password_hash": hashed}
    error = problem(await given.client.post("/v1/users", json=body, headers=given.root), 422, "malformed")
    assert error["errors"][0]["code"] == "password_hash_refused"


@pytest.mark.parametrize("hashed", TOO_EXPENSIVE)
async def test_r9_a_stored_hash_of_excessive_cost_is_never_computed(hasher: PasswordHasher, hashed: str) -> None:
    """The cost of a stored hash is checked again at every verification."""
    assert not is_affordable(hashed)
    assert not await hasher.verify(PASSWORD, hashed, imported=True)


async def test_a_password_and_a_hash_together_are_refused(given: Given) -> None:
    body = {"email": "kari@example.com", "password": PASSWORD, "password_hash": LEGACY["phpass"]}
    problem(await given.client.post("/v1/users", json=body, headers=given.root), 422, "malformed")


async def test_r10_more_than_72_bytes_for_bcrypt_is_a_wrong_password(hasher: PasswordHasher) -> None:
    hashed = "$2b$04$CCCCCCCCCCCCCCCCCCCCC.uE2Hhl9sNXfCMDZbYDd8OnGWF0v2pBa"
    for password in ("x" * 72, "x" * 73, "å" * 40, "x" * 256):
        assert not await hasher.verify(password, hashed, imported=True)


def test_r11_after_an_imported_hash_every_check_is_padded() -> None:
    pace = ResponsePadding()
    assert pace.compute_floor(0.02, legacy=False) == 0
    assert pace.compute_floor(0.1, legacy=True) == pytest.approx(0.15)
    assert pace.compute_floor(0.02, legacy=False) == pytest.approx(0.15)
    for _ in range(SAMPLES):
        last = pace.compute_floor(0.02, legacy=False)
    assert last == 0


async def test_r11_padding_starts_before_the_first_login_and_ends_after_the_last_upgrade(given: Given, hasher: PasswordHasher) -> None:
    """Padding is measured before the first login, lasts for any number of quick checks, and ends when the last hash is upgraded."""
    person = await create_with_hash(given, LEGACY["bcrypt"])
    hasher.padding.due = 0.0
    await refresh_timing(given.world)
    assert list(hasher.padding.stored) == ["$2b$04$"]
    cost = hasher.padding.stored["$2b$04$"]
    for _ in range(SAMPLES + 1):
        assert hasher.padding.compute_floor(0.0, legacy=False) == pytest.approx(1.5 * cost)
    await given.logged_in(person)
    hasher.padding.due = 0.0
    await refresh_timing(given.world)
    assert hasher.padding.stored == {}


async def test_a_forced_change_requires_a_different_password(given: Given) -> None:
    """The password that must be changed is refused as the new one."""
    user = await given.post(
        "/v1/users", {"email": "new@example.com", "password": PASSWORD, "email_verified": True, "password_change_required": True}
    )
    handle = await given.begin(Person(user["id"], user["email"]))
    error = problem(await given.client.post("/v1/login/password", json={"new": PASSWORD}, headers=handle), 422, "malformed")
    assert error["errors"][0]["code"] == "password_unchanged"
    assert (await given.post("/v1/login/password", {"new": "a wholly different staple"}, handle))["status"] == "complete"
