"""Configuration: typed, every fault at once by name, secrets from files, never a value in a message."""

import base64
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from app.base.settings import Settings, SettingsInvalid

KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


def faults(environ: dict[str, str]) -> dict[str, str]:
    with pytest.raises(SettingsInvalid) as caught:
        Settings.load(environ)
    return dict(caught.value.faults)


def test_production_names_every_missing_secret_at_once() -> None:
    told = faults({"LICENTIA_ENV": "production", "LICENTIA_PORT": "seventy"})
    assert set(told) == {"LICENTIA_ENCRYPTION_KEYS", "LICENTIA_LOOKUP_KEY", "LICENTIA_PUBLIC_URL", "LICENTIA_PORT"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LICENTIA_ENCRYPTION_KEYS", "hunter2"),
        ("LICENTIA_ENCRYPTION_KEYS", f"a:{KEY},a:{KEY}"),
        ("LICENTIA_LOOKUP_KEY", "aHVudGVyMg=="),
        ("LICENTIA_LOOKUP_KEY", "A" * 43 + "="),
        ("LICENTIA_DATABASE_URL", "mysql://hunter2@db/licentia"),
        ("LICENTIA_DATABASE_URL", "postgresql://u:p@h:hunter2/d"),
        ("LICENTIA_DATABASE_URL", "sqlite+aiosqlite:///"),
        ("LICENTIA_VAR", "/proc/hunter2"),
        ("LICENTIA_PUBLIC_URL", "hunter2"),
        ("LICENTIA_TRUSTED_PROXIES", "hunter2"),
        ("LICENTIA_TRUSTED_PROXIES", "*"),
        ("LICENTIA_ARGON2_MEMORY_KIB", "8"),
        ("LICENTIA_ENV", "hunter2"),
        ("LICENTIA_HUNTER2", "x"),
        ("LICENTIA_LOOKUP_KEY_FILE", "/nowhere/hunter2"),
    ],
)
def test_a_bad_value_is_named_and_never_repeated(name: str, value: str, tmp_path: Path) -> None:
    told = faults({"LICENTIA_VAR": str(tmp_path), name: value})
    assert name in told
    assert "hunter2" not in told[name].lower()


def test_a_secret_comes_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "lookup").write_text(KEY + "\n")
    settings = Settings.load({"LICENTIA_VAR": str(tmp_path), "LICENTIA_LOOKUP_KEY_FILE": str(tmp_path / "lookup")})
    assert settings.lookup() == bytes(range(32))


def test_a_secret_given_twice_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "lookup").write_text(KEY)
    environ = {"LICENTIA_LOOKUP_KEY": KEY, "LICENTIA_LOOKUP_KEY_FILE": str(tmp_path / "lookup"), "LICENTIA_VAR": str(tmp_path)}
    assert list(faults(environ)) == ["LICENTIA_LOOKUP_KEY_FILE"]


def test_development_makes_its_secrets_once_for_the_owner_alone(tmp_path: Path) -> None:
    first = Settings.load({"LICENTIA_VAR": str(tmp_path)})
    second = Settings.load({"LICENTIA_VAR": str(tmp_path)})
    assert first.ring() == second.ring()
    assert first.lookup() == second.lookup() != next(iter(first.ring().values()))
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("*.key")} == {0o600}
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("postgresql://u:p@h/d?sslmode=require&channel_binding=prefer", "postgresql+asyncpg://u:p@h/d?ssl=require"),
        ("postgresql+asyncpg://u@/d?host=/run/pg", "postgresql+asyncpg://u@/d?host=/run/pg"),
    ],
)
def test_what_libpq_calls_sslmode_is_the_drivers_ssl(given: str, taken: str, tmp_path: Path) -> None:
    assert Settings.load({"LICENTIA_VAR": str(tmp_path), "LICENTIA_DATABASE_URL": given}).database_url == taken


@pytest.mark.parametrize("plain", ["postgres://u:p@h/d", "postgresql://u:p@h/d"])
def test_a_plain_postgresql_address_works(plain: str, tmp_path: Path) -> None:
    settings = Settings.load({"LICENTIA_VAR": str(tmp_path), "LICENTIA_DATABASE_URL": plain})
    assert settings.database_url == "postgresql+asyncpg://u:p@h/d"


def test_no_secret_shows_in_a_repr(tmp_path: Path) -> None:
    settings = Settings.load({"LICENTIA_VAR": str(tmp_path), "LICENTIA_LOOKUP_KEY": KEY})
    assert KEY not in repr(settings)


def test_the_command_line_ends_with_78_and_tells_each_fault_on_a_line() -> None:
    environ = {"PATH": os.environ["PATH"], "LICENTIA_ENV": "production", "LICENTIA_PORT": "0"}  # noqa: TID251  for a child
    done = subprocess.run([sys.executable, "-m", "app", "check"], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 78
    named = [line.partition(":")[0] for line in done.stderr.splitlines()]
    assert named == ["LICENTIA_ENCRYPTION_KEYS", "LICENTIA_LOOKUP_KEY", "LICENTIA_PORT", "LICENTIA_PUBLIC_URL"]


TYPED = base64.b64encode(b"passwordpasswordpassword12345678").decode()
REPEATED = base64.b64encode(b"abcdefgh" * 4).decode()
OTHER = base64.b64encode(bytes(range(110, 142))).decode()
GOOD = {
    "LICENTIA_ENV": "production",
    "LICENTIA_PUBLIC_URL": "https://id.example",
    "LICENTIA_ENCRYPTION_KEYS": f"k1:{KEY}",
    "LICENTIA_LOOKUP_KEY": OTHER,
}


def test_production_starts_with_good_keys() -> None:
    assert Settings.load(GOOD).env == "production"


@pytest.mark.parametrize(
    "weak",
    [
        {"LICENTIA_LOOKUP_KEY": TYPED},
        {"LICENTIA_LOOKUP_KEY": REPEATED},
        {"LICENTIA_LOOKUP_KEY": KEY},
        {"LICENTIA_ENCRYPTION_KEYS": f"k1:{TYPED}"},
        {"LICENTIA_GUESSES_PER_KEY": "1000000"},
        {"LICENTIA_GUESSES_PER_ADDRESS": "1000000"},
        {"LICENTIA_LOGIN_FAILURES_PER_IP": "100000"},
        {"LICENTIA_TRUSTED_PROXIES": "0.0.0.0/0"},
        {"LICENTIA_TRUSTED_PROXIES": "10.0.0.0/8, ::/0"},
        {"LICENTIA_DATABASE_URL": "postgresql://licentia:licentia@db/licentia"},
        {"LICENTIA_DATABASE_URL": "postgresql://owner:ChangeMe@db/licentia"},
        {"LICENTIA_METRICS_TOKEN": "short"},
        {"LICENTIA_ENCRYPTION_KEYS": f"dev1:{KEY}"},
    ],
)
def test_production_refuses_what_is_as_good_as_nothing(weak: dict[str, str]) -> None:
    """Keys that somebody typed, one key for two uses, passwords that everybody tries, limits that never bite, proxies that are all."""
    told = faults(GOOD | weak)
    assert any(next(iter(weak)) in f"{name} {sentence}" for name, sentence in told.items())
    assert not any(value in str(told) for value in weak.values() if "=" in value)


def test_production_refuses_what_development_made(tmp_path: Path) -> None:
    """Whatever name they were given since: the keys carry a mark."""
    made = Settings.load({"LICENTIA_VAR": str(tmp_path)})
    ring, lookup = made.encryption_keys.get_secret_value().partition(":")[2], made.lookup_key.get_secret_value()
    for name, value in (("LICENTIA_ENCRYPTION_KEYS", f"k7:{ring}"), ("LICENTIA_LOOKUP_KEY", lookup)):
        assert list(faults(GOOD | {name: value})) == [name]


@pytest.mark.parametrize(
    ("chosen", "name"),
    [
        ({"LICENTIA_HOST": "0.0.0.0"}, "LICENTIA_DATABASE_URL"),  # noqa: S104  what is warned of
        ({"LICENTIA_PUBLIC_URL": "http://id.example"}, "LICENTIA_PUBLIC_URL"),
    ],
)
def test_what_works_and_is_seldom_meant_is_warned_of(chosen: dict[str, str], name: str) -> None:
    assert [warned for warned, _ in Settings.load(GOOD | chosen).warnings()] == [name]
    assert Settings.load(GOOD).warnings() == []
    assert Settings.load(GOOD | {"LICENTIA_HOST": "0.0.0.0", "LICENTIA_DATABASE_URL": "postgresql://u:kV3x9@db/l"}).warnings() == []  # noqa: S104
