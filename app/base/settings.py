"""Configuration, from the environment alone. Typed, read once, told by name and never by value when it is wrong."""

import base64
import os
from collections.abc import Mapping
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit, urlunsplit

from pydantic import AfterValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from app.base import machine
from app.base.entropy import Entropy
from app.base.keyring import DRAWN, KEY_OCTETS, checked_key, checked_ring, decoded_key, decoded_ring, typed
from app.base.regions import EUROPEAN_UNION, checked_groups
from app.base.smtp import SmtpAddress, sender

PREFIX = "LICENTIA_"
EX_CONFIG = 78  # sysexits.h
REQUIRED = "is required in production"
ALONE = 15  # NIST SP 800-63B-4 section 3.1.1.2: the shortest password that gives a session by itself
MOST_POSTS = 100_000
SOFTEST = 1000
LEAST_MEMORY_KIB = 19_456  # the OWASP floor for Argon2id with t=2, p=1


class SettingsInvalid(Exception):
    """The configuration cannot be used. `faults` are (variable name, sentence), all of them at once."""

    def __init__(self, faults: list[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{name}: {sentence}" for name, sentence in faults))
        self.faults = faults


def _comma_separated(text: object) -> object:
    return [item.strip() for item in text.split(",") if item.strip()] if isinstance(text, str) else text


def _networks(listed: list[str]) -> list[str]:
    for item in listed:
        try:
            ip_network(item)
        except ValueError as wrong:
            raise ValueError("wants addresses or networks such as 10.0.0.0/8, with commas between") from wrong
    return listed


def _database(url: str) -> str:
    if url.startswith("sqlite+aiosqlite:///") and url.partition(":///")[2].strip("/"):
        return url
    for plain in ("postgres://", "postgresql://", "postgresql+asyncpg://"):
        if url.startswith(plain):
            return _asyncpg(urlsplit("postgresql+asyncpg://" + url.removeprefix(plain)))
    raise ValueError("wants postgresql://… or sqlite+aiosqlite:///path")


def _asyncpg(url: SplitResult) -> str:
    """The address as the driver wants it: what libpq calls `sslmode` is its `ssl`; it knows no channel binding."""
    try:
        _ = url.port
    except ValueError:
        raise ValueError("wants a port number after the host") from None
    names = {"sslmode": "ssl"}
    query = [(names.get(name, name), value) for name, value in parse_qsl(url.query) if name != "channel_binding"]
    return urlunsplit(url._replace(query=urlencode(query, safe="/")))


def _public_url(url: str) -> str:
    if not url.startswith(("http://", "https://")) or any(mark in url for mark in "?# "):
        raise ValueError("wants an http or https address without query")
    return url.rstrip("/")


def _smtp(secret: SecretStr) -> SecretStr:
    SmtpAddress.parse(secret.get_secret_value())
    return secret


def _sender(text: str) -> str:
    sender(text)
    return text


Listed = Annotated[list[str], NoDecode]
Span = Annotated[timedelta, Field(gt=timedelta(0), le=timedelta(days=366))]
Kept = Annotated[timedelta, Field(ge=timedelta(days=1), le=timedelta(days=36_525))]
"""How long something is kept: a century at most."""


class Settings(BaseSettings):
    """One field for each `LICENTIA_` variable. Times are seconds or ISO 8601 durations (`PT10M`)."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True)

    env: Literal["development", "production"] = "development"
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65_535)] = 8000
    database_url: Annotated[str, AfterValidator(_database), Field(repr=False)] = "sqlite+aiosqlite:///./var/licentia.db"
    database_pool: Annotated[int, Field(ge=1, le=200)] = 10
    database_connect_timeout: Annotated[float, Field(gt=0, le=60)] = 3
    database_pool_timeout: Annotated[float, Field(gt=0, le=60)] = 5
    database_statement_timeout: Annotated[float, Field(ge=0, le=3600)] = 10
    var: Path = Path("var")
    encryption_keys: Annotated[SecretStr, AfterValidator(checked_ring)]
    lookup_key: Annotated[SecretStr, AfterValidator(checked_key)]
    public_url: Annotated[str, AfterValidator(_public_url)]
    trusted_proxies: Annotated[Listed, AfterValidator(_networks)] = []
    cors_origins: Listed = []
    docs: bool = True
    log_format: Literal["json", "text"] = "json"
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    max_body: Annotated[int, Field(ge=65_536, le=64 * 1024 * 1024)] = 1024 * 1024
    max_requests: Annotated[int, Field(ge=16, le=100_000)] = 1000
    body_timeout: Annotated[float, Field(gt=0, le=3600)] = 20
    shutdown_delay: Annotated[float, Field(ge=0, le=60)] = 0
    shutdown_timeout: Annotated[int, Field(ge=1, le=300)] = 25

    argon2_memory_kib: Annotated[int, Field(ge=LEAST_MEMORY_KIB, le=131_072)] = LEAST_MEMORY_KIB
    argon2_time: Annotated[int, Field(ge=2, le=10)] = 2
    argon2_lanes: Annotated[int, Field(ge=1, le=16)] = 1
    hash_slots: Annotated[int, Field(ge=1, le=256)] | None = None
    mfa: Literal["optional", "required"] = "optional"
    password_min: Annotated[int, Field(ge=8, le=64)] = ALONE
    breach_lookup: Annotated[str, AfterValidator(_public_url)] | None = None
    totp_issuer: Annotated[str, Field(min_length=1, max_length=64, pattern="^[^:]+$")] = "Licentia"
    totp_skew: Annotated[int, Field(ge=0, le=1)] = 1
    totp_pending: Span = timedelta(minutes=15)
    login_lifetime: Span = timedelta(minutes=10)
    login_tries: Annotated[int, Field(ge=1, le=10)] = 5
    access_lifetime: Annotated[Span, Field(le=timedelta(minutes=15))] = timedelta(minutes=10)
    session_lifetime: Span = timedelta(days=30)
    refresh_idle: Span = timedelta(days=14)
    sessions_per_user: Annotated[int, Field(ge=1, le=1000)] = 50
    login_posts_per_minute: Annotated[int, Field(ge=1, le=MOST_POSTS)] = 30
    login_failures_per_ip: Annotated[int, Field(ge=1, le=MOST_POSTS)] = 20
    second_factor_lifetime: Span = timedelta(hours=24)
    fresh_password: Span = timedelta(minutes=5)
    presentation_lifetime: Annotated[Span, Field(ge=timedelta(minutes=1), le=timedelta(hours=24))] = timedelta(minutes=30)
    region_groups: Annotated[str, AfterValidator(checked_groups)] = EUROPEAN_UNION
    seal_interval: Annotated[Span, Field(ge=timedelta(milliseconds=100), le=timedelta(days=1))] = timedelta(seconds=10)
    presentation_retention: Kept = timedelta(days=90)
    context_retention: Kept = timedelta(days=731)  # 24 months, of which one may have a leap day
    guesses_per_address: Annotated[int, Field(ge=1, le=1_000_000)] = 30
    guesses_per_key: Annotated[int, Field(ge=1, le=1_000_000)] = 10
    guess_window: Annotated[Span, Field(le=timedelta(hours=24))] = timedelta(minutes=10)
    grant_lifetime: Annotated[Span, Field(le=timedelta(minutes=15))] = timedelta(minutes=15)

    registration: Literal["closed", "open"] = "closed"
    smtp_url: Annotated[SecretStr, AfterValidator(_smtp)] | None = None
    mail_from: Annotated[str, AfterValidator(_sender)] = "Licentia <licentia@localhost>"
    pages_url: Annotated[str, AfterValidator(_public_url)] | None = None
    verify_lifetime: Annotated[Span, Field(le=timedelta(hours=24))] = timedelta(hours=24)
    reset_lifetime: Annotated[Span, Field(le=timedelta(hours=24))] = timedelta(minutes=60)

    @model_validator(mode="after")
    def _safe_together(self) -> Self:
        if self.password_min < ALONE and self.mfa == "optional":
            raise ValueError(f"{PREFIX}PASSWORD_MIN below {ALONE} wants {PREFIX}MFA=required")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        # The environment is handed over by `load`, so that a test never has to touch the process's own.
        return (init_settings,)

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read `LICENTIA_*` and `LICENTIA_*_FILE`. Raises SettingsInvalid with every fault at once."""
        given, faults = _gather(os.environ if environ is None else environ, cls)
        if given.get("env") != "production":
            try:
                given = _with_development_secrets(given, Path(given.get("var", "var")))
            except OSError:
                faults.append((f"{PREFIX}VAR", "names a folder that cannot be written"))
            given.setdefault("public_url", f"http://127.0.0.1:{given.get('port', 8000)}")
        elif "public_url" not in given:
            faults.append((f"{PREFIX}PUBLIC_URL", REQUIRED))
        listed: dict[str, Any] = {name: _comma_separated(given[name]) for name in ("trusted_proxies", "cors_origins") if name in given}
        try:
            settings = cls(**(given | listed))
        except ValidationError as invalid:
            faults += [_fault(error) for error in invalid.errors(include_input=False, include_context=False)]
        else:
            faults += settings._mail_faults()
            faults += settings._production_faults() if settings.env == "production" else []
        if faults:
            raise SettingsInvalid(sorted(set(faults)))
        return settings

    def _mail_faults(self) -> list[tuple[str, str]]:
        told = []
        if self.smtp_url is not None and "mail_from" not in self.model_fields_set:
            told.append((f"{PREFIX}MAIL_FROM", "is required where mail is sent"))
        if self.registration == "open" and not self.mail_configured:
            told.append((f"{PREFIX}REGISTRATION", f"cannot be open without mail: set {PREFIX}SMTP_URL"))
        return told

    def _production_faults(self) -> list[tuple[str, str]]:
        """What is as good as no key, no limit or no proxy."""
        ring = self.ring().values()
        limits = ("login_posts_per_minute", "login_failures_per_ip", "guesses_per_address", "guesses_per_key")
        everybody = any(ip_network(item).prefixlen == 0 for item in self.trusted_proxies)
        told = [
            (typed(self.lookup()), "lookup_key", DRAWN),
            (any(typed(key) for key in ring), "encryption_keys", DRAWN),
            (self.lookup() in ring, "lookup_key", "is one of the encryption keys too; each wants a key of its own"),
            (everybody, "trusted_proxies", "trusts everybody: each caller could choose its own address"),
            *((getattr(self, name) > SOFTEST, name, f"is {SOFTEST} at most in production") for name in limits),
        ]
        return [(f"{PREFIX}{name}".upper(), sentence) for wrong, name, sentence in told if wrong]

    @property
    def mail_configured(self) -> bool:
        """Whether mail goes anywhere: by SMTP, or in development into a folder."""
        return self.smtp_url is not None or self.env == "development"

    def smtp(self) -> SmtpAddress | None:
        return SmtpAddress.parse(self.smtp_url.get_secret_value()) if self.smtp_url is not None else None

    @property
    def hashes_at_once(self) -> int:
        """As set, or what the machine has room for."""
        return self.hash_slots or machine.slots(self.argon2_memory_kib, machine.cpus(), machine.memory())

    def ring(self) -> dict[str, bytes]:
        return decoded_ring(self.encryption_keys.get_secret_value())

    def lookup(self) -> bytes:
        return decoded_key(self.lookup_key.get_secret_value())


def _fault(error: Mapping[str, Any]) -> tuple[str, str]:
    name = PREFIX + str(error["loc"][0]).upper() if error["loc"] else PREFIX.rstrip("_")
    sentence = REQUIRED if error["type"] == "missing" else str(error["msg"])
    return name, sentence.removeprefix("Value error, ")


def _gather(environ: Mapping[str, str], cls: type[Settings]) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    given: dict[str, Any] = {}
    faults: list[tuple[str, str]] = []
    for variable in sorted(name for name in environ if name.upper().startswith(PREFIX)):
        name = variable.upper().removeprefix(PREFIX).lower()
        field, value = name.removesuffix("_file"), environ[variable]
        if name in cls.model_fields:
            field = name
        elif name != field and field in cls.model_fields:
            try:
                value = Path(value).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeError):
                faults.append((variable, "names a file that cannot be read"))
                continue
        else:
            faults.append((variable, "is not a setting; see the README for the list"))
            continue
        if field in given:
            faults.append((variable, "is given twice, directly and as a file"))
        given[field] = value
    return given, faults


def _with_development_secrets(given: dict[str, Any], var: Path) -> dict[str, Any]:
    made = {"encryption_keys": "dev1:", "lookup_key": ""}
    for name, prefix in made.items():
        if name not in given:
            given[name] = prefix + _kept_secret(var / f"{name}.key")
    return given


def _kept_secret(path: Path) -> str:
    """A secret made once and kept for the owner alone; two first starts at once agree on one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_suffix(f".{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(base64.b64encode(Entropy().octets(KEY_OCTETS)).decode(), encoding="ascii")
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path.read_text(encoding="ascii")
