"""The command line: `serve`, `migrate`, `check`, `health`, and the operator's few words with the database."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar
from uuid import UUID

import typer
from alembic import command
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from app.api_keys import service as api_keys
from app.api_keys.schemas import ApiKeyIn
from app.base import logs
from app.base.clock import Clock
from app.base.durations import instant_text
from app.base.problems import Problem
from app.base.settings import EX_CONFIG, Settings, SettingsInvalid
from app.db import schema
from app.events.service import Actor
from app.licenses import activations
from app.licenses import service as licenses
from app.licenses.activation_schemas import ActivationOut
from app.licenses.schemas import LicenseIn, LicenseOut
from app.login import accounts as login
from app.login.schemas import UserIn
from app.models import METADATA
from app.signing_keys import rotation
from app.signing_keys.service import WrongKeys, signer
from app.users.schemas import UserOut
from app.verifying import Unsound, verified
from app.web.paging import Window
from app.web.shapes import Shape
from app.world import World

Result = TypeVar("Result")
Shaped = TypeVar("Shaped", bound=Shape)

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help="Licentia: authentication and licensing."
)
keys_app = typer.Typer(no_args_is_help=True, help="Operator keys.")
users_app = typer.Typer(no_args_is_help=True, help="End users.")
licenses_app = typer.Typer(no_args_is_help=True, help="Licenses.")
signing_app = typer.Typer(no_args_is_help=True, help="Signing and encryption keys.")
ledger_app = typer.Typer(no_args_is_help=True, help="The record of agreements.")
app.add_typer(ledger_app, name="ledger")
app.add_typer(keys_app, name="api-keys")
app.add_typer(signing_app, name="keys")
app.add_typer(users_app, name="users")
app.add_typer(licenses_app, name="licenses")


def settings() -> Settings:
    """The configuration, or every fault of it on stderr and exit code 78."""
    try:
        return Settings.load()
    except SettingsInvalid as invalid:
        misconfigured(invalid.faults)


def misconfigured(faults: list[tuple[str, str]]) -> NoReturn:
    for name, sentence in faults:
        print(f"{name}: {sentence}", file=sys.stderr)
    raise SystemExit(EX_CONFIG)


def with_world(work: Callable[[World], Awaitable[Result]]) -> Result:
    """Run one use case; a refusal becomes a sentence on stderr and exit code 1, keys that are not this database's end with 78."""

    async def run() -> Result:
        world = World.of(settings().model_copy(update={"database_statement_timeout": 0}))  # a whole ledger takes its time
        try:
            with suppress(SQLAlchemyError, OSError):  # a database that is away or empty is for the work itself to tell
                await signer(world)
            return await work(world)
        finally:
            await world.db.close()

    try:
        return asyncio.run(run())
    except Problem as problem:
        fail(f"{problem.code}: {problem.detail}")
    except (SQLAlchemyError, OSError) as error:
        fail(f"the database does not answer, or is not migrated yet (`python -m app migrate`): {type(error).__name__}")
    except WrongKeys as wrong:
        misconfigured(wrong.faults)


def fail(sentence: str) -> NoReturn:
    print(sentence, file=sys.stderr)
    raise SystemExit(1)


def shaped(shape: type[Shaped], **given: Any) -> Shaped:
    """The same shape that the wire wants; what does not fit is told by field, and ends with 2."""
    try:
        return shape(**given)
    except ValidationError as invalid:
        for error in invalid.errors(include_input=False, include_url=False):
            print(f"{'.'.join(str(part) for part in error['loc'])}: {error['msg'].removeprefix('Value error, ')}", file=sys.stderr)
        raise SystemExit(2) from None


def show(value: Any) -> None:
    print(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


@app.command()
def serve(
    migrate: Annotated[bool, typer.Option("--migrate", help="Migrate the database first.")] = False,
    demo: Annotated[bool, typer.Option("--demo", help="Seed the demo and print curl lines (development only).")] = False,
) -> None:
    """Serve HTTP, one worker; scale by replicas."""
    chosen = settings()
    from app.main import build_app
    from app.server import server

    logs.configure(chosen)
    if migrate:
        _migrate(chosen)
    _check_keys()
    if chosen.env == "development":
        from app import demo as demonstration

        print(with_world(lambda world: demonstration.welcome(world, seed=demo)), flush=True)
    server(build_app(World.of(chosen)), chosen).run()


def _check_keys() -> None:
    """Refuse to start with keys that the database was not written with. A database that is away is for /readyz to tell."""

    async def sealed(world: World) -> None:
        with suppress(SQLAlchemyError, OSError):
            await rotation.check_sealed(world, METADATA)

    with_world(sealed)


@app.command()
def migrate() -> None:
    """Bring the database to the newest migration. Safe when several start at once."""
    chosen = settings()
    _migrate(chosen)
    show(f"migrated to {schema.wanted()}")


def _migrate(chosen: Settings) -> None:
    if chosen.database_url.startswith("sqlite"):
        Path(chosen.database_url.partition(":///")[2]).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        command.upgrade(schema.alembic_config(chosen.database_url), "head")
    except (SQLAlchemyError, OSError) as error:
        fail(f"the database cannot be migrated: {type(error).__name__}")


@app.command()
def check() -> None:
    """Read the configuration; tell what is wrong by name, never by value."""
    chosen = settings()
    show(f"configuration is good ({chosen.env}, {chosen.database_url.partition(':')[0]})")


@app.command()
def demo() -> None:
    """Seed the demo and print its curl lines; seeding again only prints them again."""
    from app import demo as demonstration

    show(with_world(lambda world: demonstration.welcome(world, seed=True)))


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="An evidence bundle; or one compact JWS: an offline license, a grant, a receipt.")],
    jwks: Annotated[Path | None, typer.Option(help="The key set, as saved from /.well-known/jwks.json. A bundle brings its own.")] = None,
    fingerprint: Annotated[str | None, typer.Option(help="This device's fingerprint, for a file that is bound to one.")] = None,
) -> None:
    """Verify a signed file or an evidence bundle without database or network; says line by line why it fails."""
    try:
        show(verified(file, jwks, fingerprint, Clock().now))
    except Unsound as unsound:
        fail("\n".join(unsound.sentences))


@keys_app.command("create")
def create_key(name: str, scope: Annotated[list[str], typer.Option(help="A scope such as licenses:read; * is all.")]) -> None:
    """Make an operator key and print it, this once."""
    body = shaped(ApiKeyIn, name=name, scopes=scope)
    show(with_world(lambda world: api_keys.create(world, None, body.name, body.scopes))[1])


@keys_app.command("list")
def list_keys() -> None:
    """One line of JSON for each key; the newest first, at most 200."""
    rows, _ = with_world(lambda world: api_keys.listed(world, Window(200, None)))
    for row in rows:
        show({"id": str(row.id), "name": row.name, "scopes": row.scopes, "revoked": row.revoked_at is not None})


@keys_app.command("revoke")
def revoke_key(key_id: UUID) -> None:
    """Kill a key at once."""
    with_world(lambda world: api_keys.revoke(world, None, key_id))


@signing_app.command("rotate")
def rotate_keys(
    now: Annotated[bool, typer.Option("--now", help="A key leaked: do not wait until caches know the next one.")] = False,
) -> None:
    """Let the next signing key sign and publish another; seal what old encryption keys wrote with the first of LICENTIA_ENCRYPTION_KEYS."""

    async def work(world: World) -> dict[str, Any]:
        resealed = sum([await rotation.reseal(world, each) for each in rotation.sealed_columns(METADATA)])
        return {**vars(await rotation.rotate(world, at_once=now)), "resealed": resealed}

    show(with_world(work))


@signing_app.command("revoke")
def revoke_signing_key(kid: str) -> None:
    """Put a retired signing key that leaked out of use: out of the published set, and no access token of it is taken any more."""
    with_world(lambda world: rotation.revoke(world, kid))


@ledger_app.command("verify")
def verify_ledger() -> None:
    """Read the whole ledger with suspicion; names the first place that is not as it was written, and ends with 1."""
    from app.agreements import verification
    from app.agreements.ledger_schemas import LedgerVerdict

    report = with_world(lambda world: verification.verify(world, None))
    show(LedgerVerdict.of(report).model_dump_json())
    if report.broken is not None:
        raise SystemExit(1)


@ledger_app.command("rebuild")
def rebuild_states() -> None:
    """Make anew, from the events, where everybody stands with their agreements; says how many end users were wrong."""
    from app.agreements import projection

    show({"mended": with_world(projection.rebuild)})


@users_app.command("create")
def create_user(
    email: str,
    password: Annotated[str | None, typer.Option(help="`-` reads it from standard input.")] = None,
    verified: Annotated[bool, typer.Option("--verified", help="The address is known to be theirs.")] = False,
) -> None:
    """Create an end user."""
    secret = sys.stdin.readline().rstrip("\n") if password == "-" else password  # noqa: S105  the dash means standard input
    body = shaped(UserIn, email=email, email_verified=verified, password=secret)
    values = body.profile()
    row = with_world(lambda world: login.create_user(world, Actor.system(), values, body.password))
    show(UserOut.of(row).model_dump_json())


@licenses_app.command("issue")
def issue_license(policy: UUID) -> None:
    """Issue a license under a policy and print its key, this once."""
    values = LicenseIn(policy_id=policy).values()
    (shown,), (key,) = with_world(lambda world: licenses.issue(world, Actor.system(), values))
    show({"id": str(shown.row.id), "key": key, "expires_at": instant_text(shown.row.expires_at) if shown.row.expires_at else None})


@licenses_app.command("show")
def show_license(license_id: UUID) -> None:
    async def work(world: World) -> LicenseOut:
        return LicenseOut.shown(await licenses.license_(world, license_id), world.clock.now())

    show(with_world(work).model_dump_json())


@licenses_app.command("activations")
def show_activations(license_id: UUID) -> None:
    """Which devices hold the license: one line of JSON for each."""

    def work(world: World) -> Awaitable[Any]:
        return activations.listed(world, Window(200, None), license_id=license_id)

    for row in with_world(work)[0]:
        show(ActivationOut.seat(row).model_dump_json())


def run() -> None:
    app()
