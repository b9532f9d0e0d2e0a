"""Configuration: typed, every fault at once by name, secrets from files, never a value in a message."""

import os
import stat
import subprocess
import sys
from base64 import b64decode, b64encode
from pathlib import Path

import pytest

from app.config.settings import Settings, SettingsInvalid
from app.config.weak_secrets import guessable, guessable_key
from tests.random_keys import production_environment, random_key

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
    assert first.encryption_ring() == second.encryption_ring()
    assert first.lookup() == second.lookup() != next(iter(first.encryption_ring().values()))
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
    assert list(faults({"LICENTIA_VAR": str(tmp_path), "LICENTIA_ACCESS_LIFETIME": value})) == ["LICENTIA_ACCESS_LIFETIME"]


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("postgresql:///db?host=/run/pg", "postgresql+asyncpg:///db?host=/run/pg"),
        ("postgres://u@h/d?sslmode=verify-full&channel_binding=require", "postgresql+asyncpg://u@h/d?ssl=verify-full"),
        ("postgresql://u@[::1]:5433/d?target_session_attrs=primary", "postgresql+asyncpg://u@[::1]:5433/d?target_session_attrs=primary"),
    ],
)
def test_what_libpq_says_is_put_for_the_driver(given: str, meant: str, tmp_path: Path) -> None:
    assert Settings.load({"LICENTIA_VAR": str(tmp_path), "LICENTIA_DATABASE_URL": given}).database_url == meant


@pytest.mark.parametrize(
    ("parameter", "told"),
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
        ("p%40ss=hunter2", "no usual name"),
    ],
)
def test_what_the_driver_does_not_take_is_refused_by_name(parameter: str, told: str, tmp_path: Path) -> None:
    """A start that was called good must not end in the driver's own trace."""
    (sentence,) = faults({"LICENTIA_VAR": str(tmp_path), "LICENTIA_DATABASE_URL": f"postgresql://u@h/d?{parameter}"}).values()
    assert told in sentence
    assert "hunter2" not in sentence
    assert faults({"LICENTIA_VAR": str(tmp_path), "LICENTIA_DATABASE_URL": "postgresql://u@h:0/d"})


def test_no_secret_shows_in_a_repr(tmp_path: Path) -> None:
    settings = Settings.load({"LICENTIA_VAR": str(tmp_path), "LICENTIA_LOOKUP_KEY": KEY})
    assert KEY not in repr(settings)


def test_the_command_line_ends_with_78_and_tells_each_fault_on_a_line() -> None:
    environ = {"PATH": os.environ["PATH"], "LICENTIA_ENV": "production", "LICENTIA_PORT": "0"}  # noqa: TID251  for a child
    done = subprocess.run([sys.executable, "-m", "app", "check"], env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 78
    named = [line.partition(":")[0] for line in done.stderr.splitlines()]
    assert named == ["LICENTIA_ENCRYPTION_KEYS", "LICENTIA_LOOKUP_KEY", "LICENTIA_PORT", "LICENTIA_PUBLIC_URL"]


DRAWN = random_key()
GOOD = production_environment()
NO_KEYS = {
    "typed": b"passwordpasswordpassword12345678",
    "over and over": b"abcdefgh" * 4,
    "drawn, but half": b64decode(random_key())[:16] * 2,
    "the suite's own": b64decode(KEY),
    "counted": bytes(range(1, 33)),
    "counted from afar": bytes(range(110, 142)),
    "counted down": bytes(range(255, 223, -1)),
    "counted in eights": bytes(8 * n % 256 for n in range(32)),
    "typed in Norwegian": "blåbærsyltetøy på brødskiva".encode().ljust(32, b"!")[:32],
    "typed, and one octet changed": b"correct horse battery st\xe9ple 123",
    "typed and filled up": b"a long passphrase, is it not".ljust(32, b"\0"),
    "drawn, but a quarter": bytes.fromhex("8f03c1d97a5e42b6e81f90ad376bc45d21fa0e93687cd4b2") + bytes(8),
    "typed, with its line end": b"a long passphrase, is it not so\n",
}


def test_production_starts_with_good_keys() -> None:
    assert Settings.load(GOOD).env == "production"


@pytest.mark.parametrize(
    "weak",
    [
        {"LICENTIA_LOOKUP_KEY": GOOD["LICENTIA_ENCRYPTION_KEYS"].partition(":")[2]},
        {"LICENTIA_ENCRYPTION_KEYS": f"k1:{DRAWN},k2:{DRAWN}"},
        {"LICENTIA_GUESSES_PER_KEY": "1000000"},
        {"LICENTIA_GUESSES_PER_ADDRESS": "1000000"},
        {"LICENTIA_LOGIN_FAILURES_PER_IP": "100000"},
        {"LICENTIA_TRUSTED_PROXIES": "0.0.0.0/0"},
        {"LICENTIA_TRUSTED_PROXIES": "10.0.0.0/8, ::/0"},
        {"LICENTIA_DATABASE_URL": "postgresql://licentia:licentia@db/licentia"},
        {"LICENTIA_DATABASE_URL": "postgresql://owner:ChangeMe@db/licentia"},
        {"LICENTIA_DATABASE_URL": "postgresql://owner@db/licentia?password=postgres"},
        {"LICENTIA_DATABASE_URL": "postgresql://owner:password123@db/licentia"},
        {"LICENTIA_DATABASE_URL": "postgresql://owner:123456@db/licentia"},
        {"LICENTIA_DATABASE_URL": "postgresql://owner:Licentia1@db/licentia"},
        {"LICENTIA_DATABASE_URL": "postgresql://owner:P4ssw0rd2024@db/licentia"},
        {"LICENTIA_DATABASE_URL": "postgresql://owner:@db/licentia"},
        {"LICENTIA_DATABASE_URL": "postgresql://bernard77:bernard77@db/licentia"},
        {"LICENTIA_DATABASE_URL": "sqlite+aiosqlite:///:memory:"},
        {"LICENTIA_DATABASE_URL": "sqlite+aiosqlite:///file:l?mode=memory&uri=true"},
        {"LICENTIA_DATABASE_URL": "sqlite+aiosqlite:////data/licentia.db?timeout=1"},
        {"LICENTIA_SMTP_URL": "smtps://mailer:mailer123@mail.example"},
        {"LICENTIA_METRICS_TOKEN": "short"},
        {"LICENTIA_METRICS_TOKEN": "changemechangeme"},
        {"LICENTIA_METRICS_TOKEN": "a" * 32},
        {"LICENTIA_METRICS_TOKEN": " " * 32},
        {"LICENTIA_METRICS_TOKEN": "0123456789abcdef"},
        {"LICENTIA_METRICS_TOKEN": "licentia-metrics-token"},
        {"LICENTIA_TRUSTED_PROXIES": "0.0.0.0/1,128.0.0.0/1"},
        {"LICENTIA_TRUSTED_PROXIES": "::ffff:0:0/96"},
        {"LICENTIA_TRUSTED_PROXIES": "2000::/4"},
        {"LICENTIA_PUBLIC_URL": "https://"},
        {"LICENTIA_PUBLIC_URL": "https://:443"},
        {"LICENTIA_PUBLIC_URL": "https://id.example:99999"},
        {"LICENTIA_PUBLIC_URL": "https://someone:pw@id.example"},
        {"LICENTIA_ENCRYPTION_KEYS": f"dev1:{KEY}"},
    ],
)
def test_production_refuses_what_is_as_good_as_nothing(weak: dict[str, str]) -> None:
    """Keys that somebody typed, one key for two uses, passwords that everybody tries, limits that never bite, proxies that are all."""
    told = faults(GOOD | weak)
    assert any(next(iter(weak)) in f"{name} {sentence}" for name, sentence in told.items())
    assert not any(value in str(told) for value in weak.values() if "=" in value)


@pytest.mark.parametrize("octets", NO_KEYS.values(), ids=NO_KEYS.keys())
def test_production_refuses_keys_that_were_not_drawn(octets: bytes) -> None:
    told = b64encode(octets).decode()
    assert list(faults(GOOD | {"LICENTIA_LOOKUP_KEY": told})) == ["LICENTIA_LOOKUP_KEY"]
    assert list(faults(GOOD | {"LICENTIA_ENCRYPTION_KEYS": f"k1:{told}"})) == ["LICENTIA_ENCRYPTION_KEYS"]


@pytest.mark.parametrize(
    "typed",
    [
        *("replace-me-please", "REPLACE_ME", "temp12345", "Pass1234!", "MyCompany1", "acme-2024", "Summer2024!", "W1nter2025"),
        *("spring2026", "Autumn-24", "prometheus-bearer", "bearer-token-1", "qazwsxedc", "Qazwsx123", "q1w2e3r4", "q1w2e3r4t5y6u7i8"),
        *("1qaz2wsx3edc", "1qaz@WSX", "1q2w3e4r!", "zaq12wsx", "asdfgh123", "zxcvbn99"),
    ],
)
def test_what_everybody_tries_is_guessable(typed: str) -> None:
    assert guessable(typed)


def test_what_is_drawn_is_taken() -> None:
    """As `openssl rand` and password managers draw."""
    assert not any(guessable_key(b64decode(random_key())) for _ in range(2000))
    assert not any(guessable(b64decode(random_key())[:16].hex()) for _ in range(2000))
    assert not any(guessable(random_key()[:32]) for _ in range(2000))


@pytest.mark.parametrize("listed", ["10.0.0.0/8,192.168.0.0/16,fc00::/7", "203.0.113.7", "2001:db8::/32", "172.16.0.0/12,::1"])
def test_networks_of_ones_own_are_proxies(listed: str) -> None:
    assert Settings.load(GOOD | {"LICENTIA_TRUSTED_PROXIES": listed}).trusted_proxies == listed.split(",")


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
    assert Settings.load(GOOD | {"LICENTIA_HOST": "0.0.0.0", "LICENTIA_DATABASE_URL": "postgresql://u:kV3x9pQz7w@db/l"}).warnings() == []  # noqa: S104
