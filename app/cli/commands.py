"""The command line: `serve`, `migrate`, `check`, `health`, `verify`, and administration of the database."""

import sys
from collections.abc import Awaitable
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer
from sqlalchemy.exc import SQLAlchemyError

from app.api_keys import service as api_keys
from app.api_keys.schemas import ApiKeyIn, RotationIn
from app.base.clock import Clock
from app.base.durations import instant_text
from app.cli import maintenance
from app.cli.console import exit_with_error, load_settings, parse_arguments, print_result, with_world
from app.cli.verify import VerificationFailed, verify_file
from app.events.service import Actor
from app.licenses.issuing import service as licenses
from app.licenses.issuing.details import get_license
from app.licenses.issuing.schemas import LicenseIn, LicenseOut
from app.licenses.seats import activations
from app.licenses.seats.schemas import ActivationOut
from app.login.account import creation as login
from app.login.signing_in.schemas import UserIn
from app.models import METADATA
from app.observability import logs
from app.signing_keys import sealing_keys
from app.users.schemas import UserOut
from app.web.paging import PageWindow
from app.world import World

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Licentia: licensing, login and agreements. `health` checks whether the server is ready.",
)
keys_app = typer.Typer(no_args_is_help=True, help="Operator keys.")
users_app = typer.Typer(no_args_is_help=True, help="End users.")
licenses_app = typer.Typer(no_args_is_help=True, help="Licenses.")
ledger_app = typer.Typer(no_args_is_help=True, help="The ledger of agreement events.")
app.add_typer(ledger_app, name="ledger")
app.add_typer(keys_app, name="api-keys")
app.add_typer(maintenance.signing_app, name="keys")
app.add_typer(users_app, name="users")
app.add_typer(licenses_app, name="licenses")
app.command("migrate")(maintenance.migrate)
app.command("backup")(maintenance.backup_database)


@app.command()
def serve(
    migrate: Annotated[bool, typer.Option("--migrate", help="First migrate the database.")] = False,
    demo: Annotated[bool, typer.Option("--demo", help="Create the demo data and print curl commands (development only).")] = False,
) -> None:
    """Serve HTTP in one process. To scale, start more replicas."""
    chosen = load_settings()
    from app.main import build_app
    from app.server.server import build_server

    logs.configure_logging(chosen)
    if migrate:
        maintenance.migrate_database(chosen)
    _check_keys()
    if chosen.env == "development":
        from app.cli import demo as demonstration

        print(with_world(lambda world: demonstration.prepare_and_describe(world, seed=demo)), flush=True)
    build_server(build_app(World.of(chosen)), chosen).run()


def _check_keys() -> None:
    """Refuse to start with keys other than those the database was written with. /readyz reports an unreachable database."""

    async def check_sealed(world: World) -> None:
        with suppress(SQLAlchemyError, OSError):
            await sealing_keys.check_sealed(world, METADATA)

    with_world(check_sealed)


@app.command()
def check() -> None:
    """Check the configuration. Errors name the setting and never show its value. Exits with code 78 if there are errors."""
    chosen = load_settings()
    for name, sentence in chosen.list_warnings():
        print(f"warning: {name}: {sentence}", file=sys.stderr)
    print_result(f"the configuration is valid ({chosen.env}, {chosen.database_url.partition(':')[0]})")


@app.command()
def demo() -> None:
    """Create the demo data and print curl commands for it. If the data exists, only print the commands again."""
    from app.cli import demo as demonstration

    print_result(with_world(lambda world: demonstration.prepare_and_describe(world, seed=True)))


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(help="An evidence bundle, or one compact JWS (an offline license, a grant or a receipt).")],
    jwks: Annotated[
        Path | None, typer.Option(help="A key set saved from /.well-known/jwks.json. Required for a JWS; a bundle contains its keys.")
    ] = None,
    fingerprint: Annotated[str | None, typer.Option(help="Fingerprint of this device, for a file that is bound to a device.")] = None,
) -> None:
    """Verify a signed file or an evidence bundle, without database or network. On failure, print one reason per line."""
    try:
        print_result(verify_file(file, jwks, fingerprint, Clock().now))
    except VerificationFailed as error:
        exit_with_error("\n".join(error.sentences))


@keys_app.command("create")
def create_key(
    name: str,
    scope: Annotated[
        list[str], typer.Option(help="A scope such as licenses:read, or * for all scopes. Repeat the option for more scopes.")
    ],
) -> None:
    """Create an operator key and print it. It cannot be shown again."""
    body = parse_arguments(ApiKeyIn, name=name, scopes=scope)
    print_result(with_world(lambda world: api_keys.create_key(world, None, body.name, body.scopes))[1])


@keys_app.command("list")
def list_keys() -> None:
    """Print one line of JSON per key, newest first, at most 200."""
    rows, _ = with_world(lambda world: api_keys.list_keys(world, PageWindow(200, None)))
    for row in rows:
        print_result({"id": str(row.id), "name": row.name, "scopes": row.scopes, "revoked": row.revoked_at is not None})


@keys_app.command("rotate")
def rotate_key(
    key_id: UUID,
    overlap: Annotated[str, typer.Option(help="How long the old key stays valid: an ISO 8601 duration, at most P30D.")] = "PT24H",
) -> None:
    """Replace a key and print the new one, which cannot be shown again. The old key stays valid for the overlap."""
    body = parse_arguments(RotationIn, overlap=overlap)
    print_result(with_world(lambda world: api_keys.rotate_key(world, None, key_id, body.overlap))[1])


@keys_app.command("revoke")
def revoke_key(key_id: UUID) -> None:
    """Revoke a key. It becomes invalid at once."""
    with_world(lambda world: api_keys.revoke_key(world, None, key_id))


@ledger_app.command("verify")
def verify_ledger() -> None:
    """Verify the whole ledger and print the result. Exits with code 1 if an entry differs from what was written."""
    from app.agreements.verification import service as verification
    from app.agreements.verification.schemas import LedgerVerdict

    report = with_world(lambda world: verification.verify_ledger(world, None))
    print_result(LedgerVerdict.of(report).model_dump_json())
    if report.fault is not None:
        raise SystemExit(1)


@ledger_app.command("rebuild")
def rebuild_states() -> None:
    """Rebuild the agreement states of all end users from their events, and print how many users had a wrong state."""
    from app.agreements.ledger import projection

    print_result({"mended": with_world(projection.rebuild_states)})


@users_app.command("create")
def create_user(
    email: str,
    password: Annotated[str | None, typer.Option(help="The password. Use `-` to read it from standard input.")] = None,
    verified: Annotated[bool, typer.Option("--verified", help="Mark the e-mail address as verified.")] = False,
) -> None:
    """Create an end user and print it as JSON."""
    secret = sys.stdin.readline().rstrip("\n") if password == "-" else password  # noqa: S105  the dash means standard input
    body = parse_arguments(UserIn, email=email, email_verified=verified, password=secret)
    values = body.to_profile()
    row = with_world(lambda world: login.create_user(world, Actor.system(), values, body.password))
    print_result(UserOut.of(row).model_dump_json())


@licenses_app.command("issue")
def issue_license(policy: UUID) -> None:
    """Issue a license under a policy and print its key. The key cannot be shown again."""
    values = LicenseIn(policy_id=policy).to_values()
    (issued,), (key,) = with_world(lambda world: licenses.issue_licenses(world, Actor.system(), values))
    print_result(
        {"id": str(issued.row.id), "key": key, "expires_at": instant_text(issued.row.expires_at) if issued.row.expires_at else None}
    )


@licenses_app.command("show")
def show_license(license_id: UUID) -> None:
    """Print a license as JSON."""

    async def work(world: World) -> LicenseOut:
        return LicenseOut.from_details(await get_license(world, license_id), world.clock.now())

    print_result(with_world(work).model_dump_json())


@licenses_app.command("activations")
def show_activations(license_id: UUID) -> None:
    """Print one line of JSON per seat of the license, at most 200."""

    def work(world: World) -> Awaitable[Any]:
        return activations.list_activations(world, PageWindow(200, None), license_id=license_id)

    for row in with_world(work)[0]:
        print_result(ActivationOut.of(row).model_dump_json())


def run() -> None:
    app()
