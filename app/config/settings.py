"""Configuration, from the environment alone. Typed, read once, told by name and never by value when it is wrong."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from app.config import development_secrets, resources
from app.config.addresses import everybody, is_public_host
from app.config.environment import PREFIX, Fault, read_environment
from app.config.keys import KEY_EXPECTED, decode_key, decode_ring, is_development_key
from app.config.origins import any_plain_http, find_relying_party_faults
from app.config.smtp_url import SmtpAddress
from app.config.variables import PASSWORD_ONLY_MIN, Variables
from app.config.weak_secrets import guessable, guessable_in, guessable_key

EX_CONFIG = 78  # sysexits.h
REQUIRED = "is required in production"
FOR_DEVELOPMENT = "was made for development; draw another with `openssl rand -base64 32`"
FIRST_GUESSED = "has a password that is among the first to be guessed"
SOFTEST = 1000
LISTS = ("trusted_proxies", "cors_origins", "webauthn_origins", "webhook_allowed_networks")


class SettingsInvalid(Exception):
    """The configuration cannot be used. `faults` are (variable name, sentence), all of them at once."""

    def __init__(self, faults: list[Fault]) -> None:
        super().__init__("; ".join(f"{name}: {sentence}" for name, sentence in faults))
        self.faults = faults


def _comma_separated(text: object) -> object:
    return [item.strip() for item in text.split(",") if item.strip()] if isinstance(text, str) else text


class Settings(Variables):
    """The variables as they were read, and what is wrong with them together."""

    @model_validator(mode="after")
    def _safe_together(self) -> Self:
        if self.password_min < PASSWORD_ONLY_MIN and self.mfa == "optional":
            raise ValueError(f"{PREFIX}PASSWORD_MIN below {PASSWORD_ONLY_MIN} wants {PREFIX}MFA=required")
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
        given, faults = read_environment(os.environ if environ is None else environ, cls.model_fields)
        if given.get("env") != "production":
            try:
                given = development_secrets.add_missing_secrets(given, Path(given.get("var", "var")))
            except OSError:
                faults.append((f"{PREFIX}VAR", "names a folder that cannot be written"))
            given.setdefault("public_url", f"http://127.0.0.1:{given.get('port', 8000)}")
        elif "public_url" not in given:
            faults.append((f"{PREFIX}PUBLIC_URL", REQUIRED))
        listed: dict[str, Any] = {name: _comma_separated(given[name]) for name in LISTS if name in given}
        try:
            settings = cls(**(given | listed))
        except ValidationError as invalid:
            faults += [_fault(error) for error in invalid.errors(include_input=False, include_context=False)]
        else:
            faults += settings._mail_faults()
            faults += [
                (PREFIX + name, told) for name, told in find_relying_party_faults(settings.webauthn_rp_id, settings.webauthn_origins)
            ]
            faults += settings._production_faults() if settings.env == "production" else []
        if faults:
            raise SettingsInvalid(sorted(set(faults)))
        return settings

    def _mail_faults(self) -> list[Fault]:
        told = []
        if self.smtp_url is not None and "mail_from" not in self.model_fields_set:
            told.append((f"{PREFIX}MAIL_FROM", "is required where mail is sent"))
        if self.registration == "open" and not self.mail_configured:
            told.append((f"{PREFIX}REGISTRATION", f"cannot be open without mail: set {PREFIX}SMTP_URL"))
        return told

    def _production_faults(self) -> list[Fault]:
        """What is as good as no key, no password, no limit or no proxy."""
        ring = self.encryption_ring()
        keys = ring.values()
        limits = ("login_posts_per_minute", "login_failures_per_ip", "guesses_per_address", "guesses_per_key")
        token, smtp = self.metrics_token, self.smtp()
        told = [
            (guessable_key(self.lookup()), "lookup_key", KEY_EXPECTED),
            (any(guessable_key(key) for key in keys), "encryption_keys", KEY_EXPECTED),
            (is_development_key(self.lookup()), "lookup_key", FOR_DEVELOPMENT),
            (development_secrets.KID in ring or any(is_development_key(key) for key in keys), "encryption_keys", FOR_DEVELOPMENT),
            (guessable_in(self.database_url), "database_url", FIRST_GUESSED),
            (token is not None and guessable(token.get_secret_value()), "metrics_token", "is among the first to be guessed; draw one"),
            (smtp is not None and smtp.guessable, "smtp_url", FIRST_GUESSED),
            (self.lookup() in keys, "lookup_key", "is one of the encryption keys too; each wants a key of its own"),
            (everybody(self.trusted_proxies), "trusted_proxies", "trusts everybody: each caller could choose its own address"),
            (any_plain_http(self.webauthn_origins), "webauthn_origins", "wants https in production"),
            *((getattr(self, name) > SOFTEST, name, f"is {SOFTEST} at most in production") for name in limits),
        ]
        return [(f"{PREFIX}{name}".upper(), sentence) for wrong, name, sentence in told if wrong]

    def warnings(self) -> list[Fault]:
        """What works and is seldom meant, by name."""
        told = [
            (
                self.database_url.startswith("sqlite") and is_public_host(self.host),
                "database_url",
                "is SQLite, and the port is not for this machine alone: good for one process on one disk, not for replicas",
            ),
            (
                self.env == "production"
                and self.public_url.startswith("http://")
                and is_public_host(urlsplit(self.public_url).hostname or ""),
                "public_url",
                "is not https: tokens would travel in clear",
            ),
        ]
        return [(f"{PREFIX}{name}".upper(), sentence) for wrong, name, sentence in told if wrong]

    @property
    def passkeys_enabled(self) -> bool:
        """Whether there is a relying party, so that a passkey can be registered and shown."""
        return self.webauthn_rp_id is not None

    @property
    def mail_configured(self) -> bool:
        """Whether mail goes anywhere: by SMTP, or in development into a folder."""
        return self.smtp_url is not None or self.env == "development"

    def smtp(self) -> SmtpAddress | None:
        return SmtpAddress.parse(self.smtp_url.get_secret_value()) if self.smtp_url is not None else None

    @property
    def hashes_at_once(self) -> int:
        """As set, or what the machine has room for."""
        return self.hash_slots or resources.count_hash_slots(self.argon2_memory_kib, resources.count_cpus(), resources.read_memory_limit())

    def encryption_ring(self) -> dict[str, bytes]:
        return decode_ring(self.encryption_keys.get_secret_value())

    def lookup(self) -> bytes:
        return decode_key(self.lookup_key.get_secret_value())


def _fault(error: Mapping[str, Any]) -> tuple[str, str]:
    name = PREFIX + str(error["loc"][0]).upper() if error["loc"] else PREFIX.rstrip("_")
    sentence = REQUIRED if error["type"] == "missing" else str(error["msg"])
    return name, sentence.removeprefix("Value error, ")
