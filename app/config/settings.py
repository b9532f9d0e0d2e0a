"""Settings, read once from the environment. Faults are reported all at once, by variable name and never by value."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from app.config import development_secrets, resources
from app.config.addresses import include_everyone, is_public_host
from app.config.environment import PREFIX, Fault, read_environment
from app.config.keys import decode_key, decode_ring, is_development_key
from app.config.origins import any_plain_http, find_relying_party_faults
from app.config.smtp_url import SmtpAddress
from app.config.variables import PASSWORD_ONLY_MIN, Variables

EX_CONFIG = 78  # sysexits.h
REQUIRED = "is required in production"
FOR_DEVELOPMENT = "was generated for development; generate a new key with `openssl rand -base64 32`"
MAX_ATTEMPTS = 1000
LISTS = ("trusted_proxies", "cors_origins", "webauthn_origins", "webhook_allowed_networks")


class SettingsInvalid(Exception):
    """The settings cannot be used. `faults` has all faults as (variable name, sentence)."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("; ".join(f"{name}: {sentence}" for name, sentence in faults))
        self.faults = faults


def _comma_separated(text: object) -> object:
    return [item.strip() for item in text.split(",") if item.strip()] if isinstance(text, str) else text


class Settings(Variables):
    """The variables, the checks that need several of them, and values computed from them."""

    @model_validator(mode="after")
    def _check_password_length(self) -> Self:
        if self.password_min < PASSWORD_ONLY_MIN and self.mfa == "optional":
            raise ValueError(f"{PREFIX}PASSWORD_MIN below {PASSWORD_ONLY_MIN} requires {PREFIX}MFA=required")
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
        # `load` passes the environment in, so that a test never changes that of the process.
        return (init_settings,)

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> Self:
        """Read `LICENTIA_*` and `LICENTIA_*_FILE`. Raises SettingsInvalid with all faults."""
        values, faults = read_environment(os.environ if environ is None else environ, cls.model_fields)
        if values.get("env") != "production":
            try:
                values = development_secrets.add_missing_secrets(values, Path(values.get("var", "var")))
            except OSError:
                faults.append((f"{PREFIX}VAR", "names a folder that this process cannot write to"))
            values.setdefault("public_url", f"http://127.0.0.1:{values.get('port', 8000)}")
        elif "public_url" not in values:
            faults.append((f"{PREFIX}PUBLIC_URL", REQUIRED))
        lists: dict[str, Any] = {name: _comma_separated(values[name]) for name in LISTS if name in values}
        try:
            settings = cls(**(values | lists))
        except ValidationError as invalid:
            faults += [_describe_error(error) for error in invalid.errors(include_input=False, include_context=False)]
        else:
            faults += settings._mail_faults() + settings._passkey_faults() + settings._production_faults()
        if faults:
            raise SettingsInvalid(sorted(set(faults)))
        return settings

    def _mail_faults(self) -> list[Fault]:
        faults = []
        if self.smtp_url is not None and "mail_from" not in self.model_fields_set:
            faults.append((f"{PREFIX}MAIL_FROM", f"is required with {PREFIX}SMTP_URL"))
        if self.registration == "open" and not self.mail_configured:
            faults.append((f"{PREFIX}REGISTRATION", f"cannot be open without mail: set {PREFIX}SMTP_URL"))
        return faults

    def _passkey_faults(self) -> list[Fault]:
        return [(PREFIX + name, sentence) for name, sentence in find_relying_party_faults(self.webauthn_rp_id, self.webauthn_origins)]

    def _production_faults(self) -> list[Fault]:
        """List the faults that only matter in production: development keys, one key for two uses, and limits without effect."""
        if self.env != "production":
            return []
        ring, lookup = self.encryption_ring(), self.lookup_key_bytes()
        limits = ("login_posts_per_minute", "login_failures_per_ip", "guesses_per_address", "guesses_per_key")
        checks = [
            (is_development_key(lookup), "lookup_key", FOR_DEVELOPMENT),
            (development_secrets.KID in ring or any(map(is_development_key, ring.values())), "encryption_keys", FOR_DEVELOPMENT),
            (lookup in ring.values(), "lookup_key", "is also an encryption key; generate a separate key"),
            (
                include_everyone(self.trusted_proxies),
                "trusted_proxies",
                "trusts every address, so callers could forge theirs; list only your proxies",
            ),
            (any_plain_http(self.webauthn_origins), "webauthn_origins", "must be https in production"),
            *((getattr(self, name) > MAX_ATTEMPTS, name, f"must be at most {MAX_ATTEMPTS} in production") for name in limits),
        ]
        return [(f"{PREFIX}{name}".upper(), sentence) for is_wrong, name, sentence in checks if is_wrong]

    def list_warnings(self) -> list[Fault]:
        """List settings that work but are rarely intended, as (variable name, sentence)."""
        is_plain_http = self.public_url.startswith("http://") and is_public_host(urlsplit(self.public_url).hostname or "")
        checks = [
            (
                self.database_url.startswith("sqlite") and is_public_host(self.host),
                "database_url",
                "is SQLite, which supports one process only; use PostgreSQL for replicas",
            ),
            (self.env == "production" and is_plain_http, "public_url", "is not https, so tokens are sent unencrypted"),
        ]
        return [(f"{PREFIX}{name}".upper(), sentence) for is_wrong, name, sentence in checks if is_wrong]

    @property
    def passkeys_enabled(self) -> bool:
        """Whether a relying party is configured, so that passkeys can be registered and used."""
        return self.webauthn_rp_id is not None

    @property
    def mail_configured(self) -> bool:
        """Whether mail can be sent: by SMTP, or in development into a folder."""
        return self.smtp_url is not None or self.env == "development"

    def smtp_address(self) -> SmtpAddress | None:
        return SmtpAddress.parse(self.smtp_url.get_secret_value()) if self.smtp_url is not None else None

    @property
    def hashes_at_once(self) -> int:
        """Concurrent password hashes: as set, or computed from CPUs and memory."""
        return self.hash_slots or resources.count_hash_slots(self.argon2_memory_kib, resources.count_cpus(), resources.read_memory_limit())

    def encryption_ring(self) -> dict[str, bytes]:
        return decode_ring(self.encryption_keys.get_secret_value())

    def lookup_key_bytes(self) -> bytes:
        return decode_key(self.lookup_key.get_secret_value())


def _describe_error(error: Mapping[str, Any]) -> tuple[str, str]:
    name = PREFIX + str(error["loc"][0]).upper() if error["loc"] else PREFIX.rstrip("_")
    sentence = REQUIRED if error["type"] == "missing" else str(error["msg"])
    return name, sentence.removeprefix("Value error, ")
