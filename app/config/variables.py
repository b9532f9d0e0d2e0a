"""Every `LICENTIA_` variable: its type, its bounds, its default, and in the line below it what it is for.

The README's table is made of this file (`make openapi`); a test asks each variable for its line.
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

PASSWORD_ONLY_MIN = 15  # NIST SP 800-63B-4 section 3.1.1.2: the shortest password that gives a session by itself
MOST_POSTS = 100_000
LEAST_MEMORY_KIB = 19_456  # the OWASP floor for Argon2id with t=2, p=1


def _smtp(secret: SecretStr) -> SecretStr:
    SmtpAddress.parse(secret.get_secret_value())
    return secret


def _sender(text: str) -> str:
    parse_sender(text)
    return text


def _installed(traces: str) -> str:
    if traces != "off" and find_spec("opentelemetry.exporter.otlp.proto.http") is None:
        raise ValueError("wants the `telemetry` extra, which is not installed")
    return traces


def _bearer(secret: SecretStr) -> SecretStr:
    if any(not "!" <= sign <= "~" for sign in secret.get_secret_value()):
        raise ValueError("wants visible ASCII signs without blanks, as a header carries them")
    return secret


CommaSeparated = Annotated[list[str], NoDecode]
Interval = Annotated[timedelta, BeforeValidator(parse_seconds), Field(gt=timedelta(0), le=timedelta(days=366))]
Retention = Annotated[timedelta, BeforeValidator(parse_seconds), Field(ge=timedelta(days=1), le=timedelta(days=36_525))]
"""How long something is kept: a century at most."""


class Variables(BaseSettings):
    """One field for each `LICENTIA_` variable. Times are seconds or ISO 8601 durations (`PT10M`).

    The line below a field says what it is for: the README's table is made of these (`make openapi`), and a test misses none.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="forbid", frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True
    )

    env: Literal["development", "production"] = "development"
    """`production` wants the secrets and `PUBLIC_URL`, and refuses weak ones"""
    host: str = "127.0.0.1"
    """where to listen; in the image `0.0.0.0`"""
    port: Annotated[int, Field(ge=1, le=65_535)] = 8000
    """where to listen"""
    database_url: Annotated[str, AfterValidator(normalise_database_url), Field(repr=False)] = "sqlite+aiosqlite:///./var/licentia.db"
    """a plain `postgresql://…` works; `sslmode` is understood"""
    database_pool: Annotated[int, Field(ge=1, le=200)] = 10
    """connections of each process; up to half of them are kept for hot reads"""
    database_connect_timeout: Annotated[float, Field(gt=0, le=60)] = 3
    """seconds to reach PostgreSQL"""
    database_pool_timeout: Annotated[float, Field(gt=0, le=60)] = 5
    """seconds for a free connection; SQLite: six times that"""
    database_statement_timeout: Annotated[float, Field(ge=0, le=3600)] = 10
    """seconds of one statement in PostgreSQL, never of a migration or the command line. `0`: for ever, and no such parameter is sent
    (some poolers refuse it)"""
    var: Path = Path("var")
    """where development keeps its secrets; in the image `/data`"""
    encryption_keys: Annotated[SecretStr, AfterValidator(check_ring)]
    """`kid:base64,…` of 32 random bytes each; the first writes, all read"""
    lookup_key: Annotated[SecretStr, AfterValidator(check_key)]
    """32 random bytes in base64; the HMAC of keys and codes. Losing it kills every license key"""
    public_url: Annotated[str, AfterValidator(normalise_web_url)]
    """the issuer in tokens and grants"""
    trusted_proxies: Annotated[CommaSeparated, AfterValidator(check_networks)] = []
    """networks whose `X-Forwarded-For` is believed, with commas between"""
    cors_origins: Annotated[CommaSeparated, AfterValidator(check_cors_origins)] = []
    """origins whose pages may call (`https://app.example.com`), with commas between; `*` for all"""
    docs: bool = True
    """`/docs` and `/openapi.json`"""
    log_format: Literal["json", "text"] = "json"
    """of every line on stdout"""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """the least that is told"""
    metrics_token: Annotated[SecretStr, Field(min_length=16), AfterValidator(_bearer)] | None = None
    """a bearer token of 16 signs or more that `/metrics` asks for; without one it is open"""
    traces: Annotated[Literal["off", "otlp"], AfterValidator(_installed)] = "off"
    """`otlp`: a span for each request, sent as the standard `OTEL_…` variables say"""
    max_body: Annotated[int, Field(ge=65_536, le=64 * 1024 * 1024)] = 1024 * 1024
    """bytes of a request's body"""
    max_requests: Annotated[int, Field(ge=16, le=100_000)] = 1000
    """at once in a process; more get 503"""
    body_timeout: Annotated[float, Field(gt=0, le=3600)] = 20
    """seconds in which the head, and then the body, must have come, and how long a reader may take nothing"""
    keep_alive: Annotated[Interval, Field(ge=timedelta(seconds=5), le=timedelta(hours=1))] = timedelta(seconds=75)
    """an idle connection is closed after this; longer than the reverse proxy keeps its own"""
    shutdown_delay: Annotated[float, Field(ge=0, le=60)] = 0
    """seconds after SIGTERM in which it is not ready but serves"""
    shutdown_timeout: Annotated[int, Field(ge=1, le=300)] = 25
    """seconds after that for what runs to finish"""

    argon2_memory_kib: Annotated[int, Field(ge=LEAST_MEMORY_KIB, le=131_072)] = LEAST_MEMORY_KIB
    """of a password's hash, with the next two; never below these"""
    argon2_time: Annotated[int, Field(ge=2, le=10)] = 2
    """passes"""
    argon2_lanes: Annotated[int, Field(ge=1, le=16)] = 1
    """threads"""
    hash_slots: Annotated[int, Field(ge=1, le=256)] | None = None
    """hashes at once; twice as many wait, more get 503"""
    mfa: Literal["optional", "required"] = "optional"
    """`required`: a login without a second factor goes on by setting one up"""
    password_min: Annotated[int, Field(ge=8, le=64)] = PASSWORD_ONLY_MIN
    """signs; below 15 only with `MFA=required`"""
    breach_lookup: Annotated[str, AfterValidator(normalise_web_url)] | None = None
    """address of a range service (`…/range`); asked by five signs of a SHA-1, and open when it fails"""
    totp_issuer: Annotated[str, Field(min_length=1, max_length=64, pattern="^[^:]+$")] = "Licentia"
    """the name in authenticator apps and letters"""
    totp_skew: Annotated[int, Field(ge=0, le=1)] = 1
    """steps of 30 seconds that a clock may be off; 0 accepts the current code alone (ASVS 6.5.5)"""
    totp_pending: Interval = timedelta(minutes=15)
    """an authenticator that was begun may be confirmed so long"""
    webauthn_rp_id: Annotated[str, Field(max_length=253), AfterValidator(check_domain)] | None = None
    """the domain that passkeys are for; without it none are taken"""
    webauthn_rp_name: Annotated[str, Field(min_length=1, max_length=64)] = "Licentia"
    """what authenticators show"""
    webauthn_origins: Annotated[CommaSeparated, AfterValidator(check_passkey_origins)] = []
    """pages (`https://login.example.com`) and applications (`android:apk-key-hash:…`) where they may be shown, with commas between"""
    login_lifetime: Interval = timedelta(minutes=10)
    """of an unfinished login"""
    login_tries: Annotated[int, Field(ge=1, le=10)] = 5
    """codes that an unfinished login may try"""
    access_lifetime: Annotated[Interval, Field(le=timedelta(minutes=15))] = timedelta(minutes=10)
    """of an access token"""
    session_lifetime: Interval = timedelta(days=30)
    """of a session"""
    refresh_idle: Interval = timedelta(days=14)
    """of a session that is not refreshed"""
    sessions_per_user: Annotated[int, Field(ge=1, le=1000)] = 50
    """the oldest goes"""
    login_posts_per_minute: Annotated[int, Field(ge=1, le=MOST_POSTS)] = 30
    """of one address (an IPv6 /64); 1000 at most in production"""
    login_failures_per_ip: Annotated[int, Field(ge=1, le=MOST_POSTS)] = 20
    """of one address in five minutes; 1000 at most in production"""
    second_factor_lifetime: Interval = timedelta(hours=24)
    """when `aal2` falls to `aal1`"""
    fresh_password: Interval = timedelta(minutes=5)
    """how fresh a login adds a factor"""
    presentation_lifetime: Annotated[Interval, Field(ge=timedelta(minutes=1), le=timedelta(hours=24))] = timedelta(minutes=30)
    """of an agreement that is shown"""
    region_groups: Annotated[str, AfterValidator(check_region_groups)] = EUROPEAN_UNION
    """`NAME=AT BE …,…`: countries that share an agreement"""
    seal_interval: Annotated[Interval, Field(ge=timedelta(milliseconds=100), le=timedelta(days=1))] = timedelta(seconds=10)
    """how often new agreement events are sealed"""
    presentation_retention: Retention = timedelta(days=90)
    """of showings that led to nothing"""
    context_retention: Retention = timedelta(days=731)  # 24 months, of which one may have a leap day
    """of addresses and agents, from when a version was superseded"""
    login_retention: Retention = timedelta(days=366)  # 12 months, of which one may have a leap day
    """of sessions that ended, and of the events of logins"""
    event_retention: Retention = timedelta(days=731)
    """of the events of devices and mail"""
    seat_retention: Retention = timedelta(days=90)
    """of released seats of processes"""
    guesses_per_address: Annotated[int, Field(ge=1, le=1_000_000)] = 30
    """wrong keys and codes before 429; right ones always pass. 1000 at most in production"""
    guesses_per_key: Annotated[int, Field(ge=1, le=1_000_000)] = 10
    """the same of one key or code"""
    guess_window: Annotated[Interval, Field(le=timedelta(hours=24))] = timedelta(minutes=10)
    """in which they are counted"""
    grant_lifetime: Annotated[Interval, Field(le=timedelta(minutes=15))] = timedelta(minutes=15)
    """of a grant, at most"""

    webhook_allowed_networks: Annotated[CommaSeparated, AfterValidator(check_networks)] = []
    """networks inside that webhooks may reach all the same, such as `10.1.0.0/16`"""
    webhook_timeout: Annotated[Interval, Field(ge=timedelta(milliseconds=100), le=timedelta(minutes=1))] = timedelta(seconds=15)
    """of one delivery, all in all"""
    webhook_disable_after: Interval = timedelta(days=5)
    """of nothing but failures, after which an endpoint is disabled"""
    webhook_retention: Retention = timedelta(days=30)
    """of settled deliveries"""

    registration: Literal["closed", "open"] = "closed"
    """`open` wants mail"""
    smtp_url: Annotated[SecretStr, AfterValidator(_smtp)] | None = None
    """`smtp://user:password@host` (STARTTLS, insisted on), `smtps://…` (TLS), `smtp://host:25?tls=off` without a password"""
    mail_from: Annotated[str, AfterValidator(_sender)] = "Licentia <licentia@localhost>"
    """`Name <someone@example.com>`; required with `SMTP_URL`"""
    pages_url: Annotated[str, AfterValidator(normalise_web_url)] | None = None
    """the application's pages: letters link to `…/verify-email#token=…` and `…/reset-password#token=…`, or without it show the token;
    short codes are entered at `…/device`"""
    verify_lifetime: Annotated[Interval, Field(le=timedelta(hours=24))] = timedelta(hours=24)
    """of a mailed proof of an address"""
    reset_lifetime: Annotated[Interval, Field(le=timedelta(hours=24))] = timedelta(minutes=60)
    """of a mailed way to a new password"""
