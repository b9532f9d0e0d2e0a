"""Every `LICENTIA_` variable with its type, bounds, default and description.

`make openapi` renders the table of settings from this file; a test requires a description of each field.
"""

from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.base.durations import parse_seconds
from app.config.addresses import check_networks, normalise_database_url, normalise_web_url
from app.config.environment import PREFIX
from app.config.keys import check_key, check_ring
from app.config.origins import check_cors_origins, check_domain, check_passkey_origins
from app.config.regions import EUROPEAN_UNION, check_region_groups
from app.config.smtp_url import SmtpAddress, parse_sender

PASSWORD_ONLY_MIN = 15  # NIST SP 800-63B-4 section 3.1.1.2: the shortest password that opens a session without a second factor
MAX_LOGIN_POSTS = 100_000
MIN_ARGON2_KIB = 19_456  # the minimum that OWASP recommends for Argon2id with t=2, p=1


def _check_smtp(secret: SecretStr) -> SecretStr:
    SmtpAddress.parse(secret.get_secret_value())
    return secret


def _check_sender(text: str) -> str:
    parse_sender(text)
    return text


def _check_telemetry(traces: str) -> str:
    if traces != "off" and find_spec("opentelemetry.exporter.otlp.proto.http") is None:
        raise ValueError("requires the `telemetry` extra: install licentia[telemetry]")
    return traces


def _check_bearer(secret: SecretStr) -> SecretStr:
    if any(not "!" <= character <= "~" for character in secret.get_secret_value()):
        raise ValueError("must be visible ASCII characters without spaces")
    return secret


CommaSeparated = Annotated[list[str], NoDecode]
Interval = Annotated[timedelta, BeforeValidator(parse_seconds), Field(gt=timedelta(0), le=timedelta(days=366))]
Retention = Annotated[timedelta, BeforeValidator(parse_seconds), Field(ge=timedelta(days=1), le=timedelta(days=36_525))]
"""How long rows are kept: at most a century."""


class Variables(BaseSettings):
    """One field for each `LICENTIA_` variable. Times are seconds or ISO 8601 durations (`PT10M`)."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True
    )

    env: Literal["development", "production"] = "development"
    """`production` requires the secrets and `PUBLIC_URL`, and refuses development keys"""
    host: str = "127.0.0.1"
    """address to listen on; the container image sets `0.0.0.0` (all addresses)"""
    port: Annotated[int, Field(ge=1, le=65_535)] = 8000
    """port to listen on"""
    database_url: Annotated[str, AfterValidator(normalise_database_url), Field(repr=False)] = "sqlite+aiosqlite:///./var/licentia.db"
    """`postgresql://user:password@host/name` (with `sslmode` if needed) or `sqlite+aiosqlite:///path`"""
    database_pool: Annotated[int, Field(ge=1, le=200)] = 10
    """maximum database connections of a process; up to half of them are reserved for fast reads"""
    database_connect_timeout: Annotated[float, Field(gt=0, le=60)] = 3
    """seconds to connect to PostgreSQL"""
    database_pool_timeout: Annotated[float, Field(gt=0, le=60)] = 5
    """seconds to wait for a free connection; SQLite: six times that"""
    database_statement_timeout: Annotated[float, Field(ge=0, le=3600)] = 10
    """seconds for one PostgreSQL statement, except in migrations and on the command line. `0`: no limit, and no such
    parameter is sent (some poolers refuse it)"""
    var: Path = Path("var")
    """folder for generated development secrets; the container image sets `/data`"""
    encryption_keys: Annotated[SecretStr, AfterValidator(check_ring)]
    """`kid:base64,…` of 32 random bytes each; the first encrypts, all decrypt"""
    lookup_key: Annotated[SecretStr, AfterValidator(check_key)]
    """32 random bytes in base64, for the HMAC of license keys and codes. Keep a backup: if it is lost, no license key works"""
    public_url: Annotated[str, AfterValidator(normalise_web_url)]
    """public URL of this service, such as `https://id.example.com`; also the issuer of tokens and grants"""
    trusted_proxies: Annotated[CommaSeparated, AfterValidator(check_networks)] = []
    """proxies whose `X-Forwarded-For` is trusted: addresses or networks such as `10.0.0.0/8`, separated by commas"""
    cors_origins: Annotated[CommaSeparated, AfterValidator(check_cors_origins)] = []
    """origins whose pages may call the API (`https://app.example.com`), separated by commas; `*` for all"""
    docs: bool = True
    """serve `/docs` and `/openapi.json`"""
    log_format: Literal["json", "text"] = "json"
    """format of the log on standard output"""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """the lowest level that is logged"""
    metrics_token: Annotated[SecretStr, Field(min_length=16), AfterValidator(_check_bearer)] | None = None
    """bearer token of at least 16 characters that `/metrics` requires; if unset, anyone can read `/metrics`"""
    traces: Annotated[Literal["off", "otlp"], AfterValidator(_check_telemetry)] = "off"
    """`otlp`: one span for each request, sent as the standard `OTEL_…` variables say"""
    max_body: Annotated[int, Field(ge=65_536, le=64 * 1024 * 1024)] = 1024 * 1024
    """maximum size of a request body, in bytes"""
    max_requests: Annotated[int, Field(ge=16, le=100_000)] = 1000
    """maximum concurrent requests of a process; further requests get 503"""
    body_timeout: Annotated[float, Field(gt=0, le=3600)] = 20
    """seconds to receive the headers of a request, and then its body; also the longest pause of a client that reads a response"""
    keep_alive: Annotated[Interval, Field(ge=timedelta(seconds=5), le=timedelta(hours=1))] = timedelta(seconds=75)
    """time after which an idle connection is closed; set it longer than that of the reverse proxy"""
    shutdown_delay: Annotated[float, Field(ge=0, le=60)] = 0
    """seconds after SIGTERM during which `/readyz` returns 503 but requests are still served"""
    shutdown_timeout: Annotated[int, Field(ge=1, le=300)] = 25
    """seconds after `SHUTDOWN_DELAY` for running requests to finish"""

    argon2_memory_kib: Annotated[int, Field(ge=MIN_ARGON2_KIB, le=131_072)] = MIN_ARGON2_KIB
    """memory of a password hash, in KiB; for this and the next two settings, the default is the recommended minimum"""
    argon2_time: Annotated[int, Field(ge=2, le=10)] = 2
    """iterations of a password hash"""
    argon2_lanes: Annotated[int, Field(ge=1, le=16)] = 1
    """threads of a password hash"""
    hash_slots: Annotated[int, Field(ge=1, le=256)] | None = None
    """maximum concurrent password hashes; twice as many requests wait, further ones get 503. Default: by CPUs and memory"""
    mfa: Literal["optional", "required"] = "optional"
    """`required`: a login without a second factor continues with the set-up of one"""
    password_min: Annotated[int, Field(ge=8, le=64)] = PASSWORD_ONLY_MIN
    """minimum length of a password, in characters; less than 15 requires `MFA=required`"""
    breach_lookup: Annotated[str, AfterValidator(normalise_web_url)] | None = None
    """URL of a k-anonymity range service (`…/range`). It receives five characters of a SHA-1; a failure accepts the password"""
    totp_issuer: Annotated[str, Field(min_length=1, max_length=64, pattern="^[^:]+$")] = "Licentia"
    """name in authenticator apps and e-mails"""
    totp_skew: Annotated[int, Field(ge=0, le=1)] = 1
    """steps of 30 seconds that a clock may be off; 0 accepts only the current code (ASVS 6.5.5)"""
    totp_pending: Interval = timedelta(minutes=15)
    """time to confirm a new authenticator app"""
    webauthn_rp_id: Annotated[str, Field(max_length=253), AfterValidator(check_domain)] | None = None
    """domain of passkeys, such as `example.com`; if unset, passkeys are disabled"""
    webauthn_rp_name: Annotated[str, Field(min_length=1, max_length=64)] = "Licentia"
    """name that passkey dialogs show"""
    webauthn_origins: Annotated[CommaSeparated, AfterValidator(check_passkey_origins)] = []
    """pages (`https://login.example.com`) and applications (`android:apk-key-hash:…`) that may use passkeys, separated by commas"""
    login_lifetime: Interval = timedelta(minutes=10)
    """lifetime of an unfinished login"""
    login_tries: Annotated[int, Field(ge=1, le=10)] = 5
    """attempts with codes in an unfinished login"""
    access_lifetime: Annotated[Interval, Field(le=timedelta(minutes=15))] = timedelta(minutes=10)
    """lifetime of an access token"""
    session_lifetime: Interval = timedelta(days=30)
    """lifetime of a session"""
    refresh_idle: Interval = timedelta(days=14)
    """time after which a session ends if it is not refreshed"""
    sessions_per_user: Annotated[int, Field(ge=1, le=1000)] = 50
    """maximum sessions of a user; a further login ends the oldest session"""
    login_posts_per_minute: Annotated[int, Field(ge=1, le=MAX_LOGIN_POSTS)] = 30
    """maximum login requests per minute of one address (IPv6: /64 network); in production at most 1000"""
    login_failures_per_ip: Annotated[int, Field(ge=1, le=MAX_LOGIN_POSTS)] = 20
    """maximum failed logins of one address in five minutes; in production at most 1000"""
    second_factor_lifetime: Interval = timedelta(hours=24)
    """time after which a session falls from `aal2` to `aal1`"""
    fresh_password: Interval = timedelta(minutes=5)
    """maximum age of a login that may add a factor"""
    presentation_lifetime: Annotated[Interval, Field(ge=timedelta(minutes=1), le=timedelta(hours=24))] = timedelta(minutes=30)
    """time to decide on a presented agreement"""
    region_groups: Annotated[str, AfterValidator(check_region_groups)] = EUROPEAN_UNION
    """`NAME=AT BE …,…`: countries that share an agreement"""
    seal_interval: Annotated[Interval, Field(ge=timedelta(milliseconds=100), le=timedelta(days=1))] = timedelta(seconds=10)
    """interval at which new agreement events are sealed"""
    presentation_retention: Retention = timedelta(days=90)
    """how long presentations without a decision are kept"""
    context_retention: Retention = timedelta(days=731)  # 24 months, of which one may have a leap day
    """how long IP addresses and user agents of decisions are kept after the version was superseded"""
    login_retention: Retention = timedelta(days=366)  # 12 months, of which one may have a leap day
    """how long ended sessions and events of logins are kept"""
    event_retention: Retention = timedelta(days=731)
    """how long events of devices and mail are kept"""
    seat_retention: Retention = timedelta(days=90)
    """how long released seats of processes are kept"""
    guesses_per_address: Annotated[int, Field(ge=1, le=1_000_000)] = 30
    """wrong license keys and codes of one address before 429; correct ones always pass. In production at most 1000"""
    guesses_per_key: Annotated[int, Field(ge=1, le=1_000_000)] = 10
    """the same for one key or code"""
    guess_window: Annotated[Interval, Field(le=timedelta(hours=24))] = timedelta(minutes=10)
    """period in which wrong keys and codes are counted"""
    grant_lifetime: Annotated[Interval, Field(le=timedelta(minutes=15))] = timedelta(minutes=15)
    """longest lifetime of a grant"""

    webhook_allowed_networks: Annotated[CommaSeparated, AfterValidator(check_networks)] = []
    """private networks that webhooks may reach, such as `10.1.0.0/16`"""
    webhook_timeout: Annotated[Interval, Field(ge=timedelta(milliseconds=100), le=timedelta(minutes=1))] = timedelta(seconds=15)
    """total time of one delivery attempt"""
    webhook_disable_after: Interval = timedelta(days=5)
    """time without a successful delivery after which a webhook is disabled"""
    webhook_retention: Retention = timedelta(days=30)
    """how long finished deliveries are kept"""

    registration: Literal["closed", "open"] = "closed"
    """`open`: end users can register themselves; requires mail (`SMTP_URL`)"""
    smtp_url: Annotated[SecretStr, AfterValidator(_check_smtp)] | None = None
    """`smtp://user:password@host` (STARTTLS required), `smtps://…` (TLS), `smtp://host:25?tls=off` without a password"""
    mail_from: Annotated[str, AfterValidator(_check_sender)] = "Licentia <licentia@localhost>"
    """`Name <someone@example.com>`; required with `SMTP_URL`"""
    pages_url: Annotated[str, AfterValidator(normalise_web_url)] | None = None
    """URL of the application's pages. E-mails link to `…/verify-email#token=…` and `…/reset-password#token=…`, or show the token
    without it; short codes are entered at `…/device`"""
    verify_lifetime: Annotated[Interval, Field(le=timedelta(hours=24))] = timedelta(hours=24)
    """lifetime of a token that verifies an e-mail address"""
    reset_lifetime: Annotated[Interval, Field(le=timedelta(hours=24))] = timedelta(minutes=60)
    """lifetime of a token that resets a password"""
