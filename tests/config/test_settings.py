"""Settings: every fault at once by name, secrets from files, and never a value in a message."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from app.config.settings import Settings
from tests.config.environments import GOOD, find_faults
from tests.random_keys import random_key

KEY = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


def test_production_names_every_missing_secret_at_once() -> None:
    reported = find_faults({"LICENTIA_ENV": "production", "LICENTIA_PORT": "seventy"})
    assert set(reported) == {"LICENTIA_ENCRYPTION_KEYS", "LICENTIA_LOOKUP_KEY", "LICENTIA_PUBLIC_URL", "LICENTIA_PORT"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LICENTIA_ENCRYPTION_KEYS", "hunter2"),
        ("LICENTIA_ENCRYPTION_KEYS", f"a:{KEY},a:{KEY}"),
        ("LICENTIA_LOOKUP_KEY", "aHVudGVyMg=="),
        ("LICENTIA_LOOKUP_KEY", "A" * 42 + "=="),
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
    reported = find_faults({"LICENTIA_VAR": str(tmp_path), name: value})
    assert name in reported
    assert "hunter2" not in reported[name].lower()


def test_a_secret_comes_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "lookup").write_text(KEY + "\n")
    settings = Settings.load({"LICENTIA_VAR": str(tmp_path), "LICENTIA_LOOKUP_KEY_FILE": str(tmp_path / "lookup")})
    assert settings.lookup_key_bytes() == bytes(range(32))


def test_a_secret_set_twice_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "lookup").write_text(KEY)
    environ = {"LICENTIA_LOOKUP_KEY": KEY, "LICENTIA_LOOKUP_KEY_FILE": str(tmp_path / "lookup"), "LICENTIA_VAR": str(tmp_path)}
    assert list(find_faults(environ)) == ["LICENTIA_LOOKUP_KEY_FILE"]


def test_development_creates_its_secrets_once_and_only_the_owner_can_read_them(tmp_path: Path) -> None:
    first = Settings.load({"LICENTIA_VAR": str(tmp_path)})
    second = Settings.load({"LICENTIA_VAR": str(tmp_path)})
    assert first.encryption_ring() == second.encryption_ring()
    assert first.lookup_key_bytes() == second.lookup_key_bytes() != next(iter(first.encryption_ring().values()))
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("*.key")} == {0o600}
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize(
    ("url", "normalised"),
    [
        ("postgresql://u:p@h/d?sslmode=require&channel_binding=prefer", "postgresql+asyncpg://u:p@h/d?ssl=require"),
        ("postgresql+asyncpg://u@/d?host=/run/pg", "postgresql+asyncpg://u@/d?host=/run/pg"),
    ],
)
def test_the_sslmode_of_libpq_becomes_the_ssl_of_the_driver(url: str, normalised: str, tmp_path: Path) -> None:
    assert Settings.load({"LICENTIA_VAR": str(tmp_path), "LICENTIA_DATABASE_URL": url}).database_url == normalised


@pytest.mark.parametrize("plain", ["postgres://u:p@h/d", "postgresql://u:p@h/d"])
def test_a_plain_postgresql_address_works(plain: str, tmp_path: Path) -> None:
    settings = Settings.load({"LICENTIA_VAR": str(tmp_path), "LICENTIA_DATABASE_URL": plain})
    assert settings.database_url == "postgresql+asyncpg://u:p@h/d"


@pytest.mark.parametrize(
    ("name", "value", "seconds"),
    [
        ("LOGIN_LIFETIME", "900", 900),
        ("LOGIN_LIFETIME", "PT15M", 900),
        ("ACCESS_LIFETIME", "60", 60),
        ("SEAL_INTERVAL", "0.25", 0.25),
        ("EVENT_RETENTION", "86400", 86_400),
    ],
)
def test_a_time_is_seconds_or_a_duration(name: str, value: str, seconds: float, tmp_path: Path) -> None:
    settings = Settings.load({"LICENTIA_VAR": str(tmp_path), f"LICENTIA_{name}": value})
    assert getattr(settings, name.lower()).total_seconds() == seconds


@pytest.mark.parametrize("value", ["0", "-900", "901", "1e2", "9" * 400, "0x10", "P", "\u0669\u0660"])
def test_seconds_have_the_bounds_that_durations_have(value: str, tmp_path: Path) -> None:
    assert list(find_faults({"LICENTIA_VAR": str(tmp_path), "LICENTIA_ACCESS_LIFETIME": value})) == ["LICENTIA_ACCESS_LIFETIME"]


@pytest.mark.parametrize(
    ("url", "normalised"),
    [
        ("postgresql:///db?host=/run/pg", "postgresql+asyncpg:///db?host=/run/pg"),
        ("postgres://u@h/d?sslmode=verify-full&channel_binding=require", "postgresql+asyncpg://u@h/d?ssl=verify-full"),
        ("postgresql://u@[::1]:5433/d?target_session_attrs=primary", "postgresql+asyncpg://u@[::1]:5433/d?target_session_attrs=primary"),
    ],
)
def test_libpq_parameters_are_translated_for_the_driver(url: str, normalised: str, tmp_path: Path) -> None:
    assert Settings.load({"LICENTIA_VAR": str(tmp_path), "LICENTIA_DATABASE_URL": url}).database_url == normalised


@pytest.mark.parametrize(
    ("parameter", "expected"),
    [
        ("connect_timeout=5", "LICENTIA_DATABASE_CONNECT_TIMEOUT"),
        ("sslmode=verify-full&sslrootcert=/etc/ca.pem", "PGSSLROOTCERT"),
        ("application_name=x", "application_name"),
        ("sslmode=bogus", "verify-full"),
        ("sslmode=", "verify-full"),
        ("sslmode=verify-full&ssl=disable", "twice"),
        ("host=x&port=abc", "port"),
        ("host=x&port=0", "port"),
        ("prepared_statement_cache_size=many", "prepared_statement_cache_size"),
        ("p%40ss=hunter2", "unknown parameter"),
    ],
)
def test_a_parameter_that_the_driver_does_not_accept_is_refused_by_name(parameter: str, expected: str, tmp_path: Path) -> None:
    """Otherwise the server would start and fail later with a traceback of the driver."""
    (sentence,) = find_faults({"LICENTIA_VAR": str(tmp_path), "LICENTIA_DATABASE_URL": f"postgresql://u@h/d?{parameter}"}).values()
    assert expected in sentence
    assert "hunter2" not in sentence
    assert find_faults({"LICENTIA_VAR": str(tmp_path), "LICENTIA_DATABASE_URL": "postgresql://u@h:0/d"})


def test_no_secret_is_in_the_repr(tmp_path: Path) -> None:
    settings = Settings.load({"LICENTIA_VAR": str(tmp_path), "LICENTIA_LOOKUP_KEY": KEY})
    assert KEY not in repr(settings)


def test_the_command_line_exits_with_78_and_prints_each_fault_on_a_line() -> None:
    environ = {"PATH": os.environ["PATH"], "LICENTIA_ENV": "production", "LICENTIA_PORT": "0"}  # noqa: TID251  for a child
    process = subprocess.run([sys.executable, "-m", "app", "check"], env=environ, capture_output=True, text=True, check=False)
    assert process.returncode == 78
    names = [line.partition(":")[0] for line in process.stderr.splitlines()]
    assert names == ["LICENTIA_ENCRYPTION_KEYS", "LICENTIA_LOOKUP_KEY", "LICENTIA_PORT", "LICENTIA_PUBLIC_URL"]


SPARE_KEY = random_key()


def test_production_starts_with_good_keys() -> None:
    assert Settings.load(GOOD).env == "production"


@pytest.mark.parametrize(
    "weak",
    [
        {"LICENTIA_LOOKUP_KEY": GOOD["LICENTIA_ENCRYPTION_KEYS"].partition(":")[2]},
        {"LICENTIA_ENCRYPTION_KEYS": f"k1:{SPARE_KEY},k2:{SPARE_KEY}"},
        {"LICENTIA_GUESSES_PER_KEY": "1000000"},
        {"LICENTIA_GUESSES_PER_ADDRESS": "1000000"},
        {"LICENTIA_LOGIN_FAILURES_PER_IP": "100000"},
        {"LICENTIA_TRUSTED_PROXIES": "0.0.0.0/0"},
        {"LICENTIA_TRUSTED_PROXIES": "10.0.0.0/8, ::/0"},
        {"LICENTIA_DATABASE_URL": "sqlite+aiosqlite:///:memory:"},
        {"LICENTIA_DATABASE_URL": "sqlite+aiosqlite:///file:l?mode=memory&uri=true"},
        {"LICENTIA_DATABASE_URL": "sqlite+aiosqlite:////data/licentia.db?timeout=1"},
        {"LICENTIA_METRICS_TOKEN": "short"},
        {"LICENTIA_PUBLIC_URL": "https://"},
        {"LICENTIA_PUBLIC_URL": "https://:443"},
        {"LICENTIA_PUBLIC_URL": "https://id.example:99999"},
        {"LICENTIA_PUBLIC_URL": "https://someone:pw@id.example"},
        {"LICENTIA_ENCRYPTION_KEYS": f"dev1:{KEY}"},
    ],
)
def test_production_refuses_unsafe_settings(weak: dict[str, str]) -> None:
    """One key for two uses, limits that do not limit, proxies that are everyone, databases that are not stored."""
    reported = find_faults(GOOD | weak)
    assert any(next(iter(weak)) in f"{name} {sentence}" for name, sentence in reported.items())
    assert not any(value in str(reported) for value in weak.values() if "=" in value)


@pytest.mark.parametrize("listed", ["10.0.0.0/8,192.168.0.0/16,fc00::/7", "203.0.113.7", "2001:db8::/32", "172.16.0.0/12,::1"])
def test_private_networks_and_single_addresses_can_be_proxies(listed: str) -> None:
    assert Settings.load(GOOD | {"LICENTIA_TRUSTED_PROXIES": listed}).trusted_proxies == listed.split(",")


def test_production_refuses_keys_of_development(tmp_path: Path) -> None:
    """Under any key id: the keys carry a mark."""
    settings = Settings.load({"LICENTIA_VAR": str(tmp_path)})
    ring, lookup = settings.encryption_keys.get_secret_value().partition(":")[2], settings.lookup_key.get_secret_value()
    for name, value in (("LICENTIA_ENCRYPTION_KEYS", f"k7:{ring}"), ("LICENTIA_LOOKUP_KEY", lookup)):
        assert list(find_faults(GOOD | {name: value})) == [name]


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"LICENTIA_HOST": "0.0.0.0"}, "LICENTIA_DATABASE_URL"),  # noqa: S104  this causes the warning
        ({"LICENTIA_PUBLIC_URL": "http://id.example"}, "LICENTIA_PUBLIC_URL"),
    ],
)
def test_settings_that_are_rarely_intended_cause_a_warning(environ: dict[str, str], name: str) -> None:
    assert [variable for variable, _ in Settings.load(GOOD | environ).list_warnings()] == [name]
    assert Settings.load(GOOD).list_warnings() == []
    reachable = {"LICENTIA_HOST": "0.0.0.0", "LICENTIA_DATABASE_URL": "postgresql://u:kV3x9pQz7w@db/l"}  # noqa: S104
    assert Settings.load(GOOD | reachable).list_warnings() == []
