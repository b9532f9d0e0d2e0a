"""Tests of the command line, on SQLite only; other tests run its use cases on both databases."""

import json
from pathlib import Path
from uuid import UUID

import pytest
from typer.testing import CliRunner

from app.cli.commands import app
from app.cli.healthcheck import check_health
from app.security.signing import Signer, SigningKey
from tests import databases
from tests.random_keys import SECRETS
from tests.servers import Running


@pytest.fixture
def run(sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Run":
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LICENTIA_VAR", str(tmp_path / "var"))
    monkeypatch.setenv("LICENTIA_DATABASE_URL", databases.copy_template(sqlite_template, tmp_path / "cli.db"))
    return Run()


class Run:
    """Run a command and return the lines of its output; fail on another exit code."""

    def __call__(self, *arguments: str, code: int = 0, typed: str = "") -> list[str]:
        result = CliRunner().invoke(app, list(arguments), input=typed)
        assert result.exit_code == code, result.output
        return result.output.splitlines()


def test_operator_keys(run: Run) -> None:
    (key,) = run("api-keys", "create", "ci", "--scope", "licenses:read")
    assert key.startswith("op_")
    (line,) = run("api-keys", "list")
    row = json.loads(line)
    assert (row["name"], row["scopes"], row["revoked"]) == ("ci", ["licenses:read"], False)
    (fresh,) = run("api-keys", "rotate", row["id"], "--overlap", "PT1H")
    assert fresh.startswith("op_")
    assert "api_key_over" in run("api-keys", "rotate", row["id"], code=1)[0]
    run("api-keys", "rotate", row["id"], "--overlap", "P1Y", code=2)
    run("api-keys", "revoke", row["id"])
    assert [json.loads(line)["revoked"] for line in run("api-keys", "list")] == [False, True]
    assert run("api-keys", "revoke", str(UUID(int=1)), code=1) == ["api_key_not_found: The operator key does not exist."]


def test_scopes_are_checked_on_the_command_line_too(run: Run) -> None:
    run("api-keys", "create", "ci", "--scope", "everything", code=2)


def test_users_with_a_password_from_standard_input(run: Run) -> None:
    (line,) = run("users", "create", "kari@example.com", "--verified", "--password", "-", typed="correct horse battery staple\n")
    assert json.loads(line)["email_verified"] is True
    assert "email_taken" in run("users", "create", "KARI@example.com", code=1)[0]
    assert "malformed" in run("users", "create", "ola@example.com", "--password", "short", code=1)[0]
    run("users", "create", "no address", code=2)


def test_demo_then_licenses(run: Run) -> None:
    first = run("demo")
    assert first == run("demo")
    assert sum(line.startswith("curl ") for line in first) == 5
    license_id = [line for line in first if line][-1].partition("/v1/licenses/")[2].partition("/")[0]
    (line,) = run("licenses", "show", license_id)
    policy = json.loads(line)["policy_id"]
    (issued,) = run("licenses", "issue", policy)
    assert json.loads(issued)["key"].startswith("STUDIO-")
    assert run("licenses", "activations", license_id) == []
    assert "license_not_found" in run("licenses", "show", str(UUID(int=1)), code=1)[0]
    assert "policy_not_found" in run("licenses", "issue", str(UUID(int=1)), code=1)[0]


def test_check_and_migrate(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert run("check") == ["the configuration is valid (development, sqlite+aiosqlite)"]
    monkeypatch.setenv("LICENTIA_DATABASE_URL", f"sqlite+aiosqlite:///{tmp_path}/new/place/licentia.db")
    assert json.loads(run("migrate", "--status", code=1)[0])["database"] is None
    assert run("migrate")[-1].startswith("migrated to ")
    assert run("migrate")[-1].startswith("migrated to ")
    assert json.loads(run("migrate", "--status")[0])["ready"] is True
    monkeypatch.setenv("LICENTIA_HOST", "0.0.0.0")  # noqa: S104  the address that causes the warning
    assert any(line.startswith("warning: LICENTIA_DATABASE_URL: ") for line in run("check"))
    monkeypatch.setenv("LICENTIA_PORT", "http")
    run("check", code=78)


def test_verify_explains_in_one_line_why_a_file_fails(run: Run, tmp_path: Path) -> None:
    key, stranger = SigningKey.generate(), SigningKey.generate()
    sign = Signer(key, {key.kid: key}).sign
    keys, file = tmp_path / "jwks.json", tmp_path / "grant.jws"
    keys.write_text(json.dumps({"keys": [key.public()]}))

    def verify(token: str, code: int) -> str:
        file.write_text(token)
        (line,) = run("verify", str(file), "--jwks", str(keys), code=code)
        return line

    assert json.loads(verify(sign("grant+jwt", {"exp": 4_000_000_000}), 0))["typ"] == "grant+jwt"
    assert "expired" in verify(sign("grant+jwt", {"exp": 1}), 1)
    good = sign("acceptance-receipt+jwt", {"sub": "1"})
    assert "changed" in verify(good[:-4] + "AAAA", 1)
    assert "not in the key set" in verify(Signer(stranger, {stranger.kid: stranger}).sign("grant+jwt", {}), 1)
    assert "not a compact JWS" in verify("nonsense", 1)
    assert "cannot be read" in run("verify", str(tmp_path / "nothing"), "--jwks", str(keys), code=1)[0]


def test_health_checks_a_running_server(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The address comes from the argument, from the port file or from the port setting."""
    with Running(tmp_path, "--migrate") as server:
        assert check_health([server.base]) == 0
        (tmp_path / "port").write_text(f"{server.port}\n", encoding="ascii")
        monkeypatch.setenv("LICENTIA_PORT_FILE", str(tmp_path / "port"))
        assert check_health([]) == 0
        monkeypatch.setenv("LICENTIA_PORT", "1")
        assert check_health([]) == 1
        assert (tmp_path / "var" / "operator.key").stat().st_mode & 0o777 == 0o600
    assert check_health([server.base]) == 1
    assert "no answer" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["LICENTIA_ENCRYPTION_KEYS", "LICENTIA_LOOKUP_KEY"])
def test_r23_starting_with_keys_other_than_the_databases_is_refused(
    run: Run, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run("demo")
    other = "Pz8/Pz8/Pz8AAQIDBAUGBwgJCgsMDQ4PEBESExQVFhc="
    monkeypatch.setenv(name, f"t1:{other}" if name.endswith("KEYS") else other)
    lines = run("serve", code=78)
    assert lines[-1].startswith(name)


def test_a_database_that_is_not_migrated_is_reported_in_one_line(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LICENTIA_DATABASE_URL", f"sqlite+aiosqlite:///{tmp_path}/empty.db")
    (line,) = run("api-keys", "list", code=1)
    assert "not migrated" in line


def test_r63_signing_keys_rotate_a_day_after_their_publication(run: Run) -> None:
    first = json.loads(run("keys", "rotate")[0])
    assert first["active"] != first["next"]
    assert "signing_key_too_young" in run("keys", "rotate", code=1)[0]
    leaked = json.loads(run("keys", "rotate", "--now")[0])
    assert leaked["active"] == first["next"]
    states = {line["kid"]: line["state"] for line in map(json.loads, run("keys", "list")) if "kid" in line}
    assert states == {first["active"]: "retired", leaked["active"]: "active", leaked["next"]: "next"}


def test_r23_a_sealing_key_can_be_removed_once_it_is_unused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new key is added second, moved first, all values are sealed again, then the old key is removed; all stay readable."""

    def count_rows() -> dict[str, int]:
        lines = [json.loads(line) for line in run("keys", "list")]
        return {line["sealing_key"]: sum(line["rows"].values()) for line in lines if "sealing_key" in line}

    run("keys", "rotate")
    old, new = SECRETS["LICENTIA_ENCRYPTION_KEYS"], "t2:" + "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="
    monkeypatch.setenv("LICENTIA_ENCRYPTION_KEYS", f"{old},{new}")
    assert count_rows() == {"t1": 2, "t2": 0}
    monkeypatch.setenv("LICENTIA_ENCRYPTION_KEYS", f"{new},{old}")
    lines = [json.loads(line) for line in run("keys", "rewrap")]
    assert {line["name"]: line["resealed"] for line in lines if line["resealed"]} == {"signing_keys.private_sealed": 2}
    monkeypatch.setenv("LICENTIA_ENCRYPTION_KEYS", new)
    assert count_rows() == {"t2": 2}
    monkeypatch.setenv("LICENTIA_ENCRYPTION_KEYS", old)
    assert run("keys", "rewrap", code=78)[0].startswith("LICENTIA_ENCRYPTION_KEYS")
