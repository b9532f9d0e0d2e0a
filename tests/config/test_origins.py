"""Origins that may use passkeys or call the API, and the domain of passkeys (authentication R34)."""

from pathlib import Path

import pytest

from app.config.settings import Settings, SettingsInvalid
from tests.authenticator import ANDROID
from tests.config.environments import GOOD, find_faults

PARTY = {"LICENTIA_WEBAUTHN_RP_ID": "example.com", "LICENTIA_WEBAUTHN_ORIGINS": "https://example.com"}


@pytest.mark.parametrize(
    ("rp_id", "origins"),
    [
        ("example.com", f"https://example.com, https://login.example.com:8443, {ANDROID}"),
        ("localhost", "http://localhost:8000"),
    ],
)
def test_a_valid_relying_party(rp_id: str, origins: str, tmp_path: Path) -> None:
    environ = {"LICENTIA_VAR": str(tmp_path), "LICENTIA_WEBAUTHN_RP_ID": rp_id, "LICENTIA_WEBAUTHN_ORIGINS": origins}
    settings = Settings.load(environ)
    assert (settings.passkeys_enabled, settings.webauthn_origins) == (True, [item.strip() for item in origins.split(",")])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RP_ID", "https://example.com"),
        ("RP_ID", "EXAMPLE.com"),
        ("RP_ID", "example.com."),
        ("RP_ID", "192.0.2.1"),
        ("ORIGINS", "https://example.com/"),
        ("ORIGINS", "https://example.com/login"),
        ("ORIGINS", "example.com"),
        ("ORIGINS", "http://example.com"),
        ("ORIGINS", "https://user@example.com"),
        ("ORIGINS", "https://example.com:port"),
        ("ORIGINS", "*"),
        ("ORIGINS", "null"),
        ("ORIGINS", "https://notexample.com"),
        ("ORIGINS", "https://example.com.evil.example"),
        ("ORIGINS", "android:apk-key-hash:"),
    ],
)
def test_an_invalid_relying_party_is_a_fault(name: str, value: str, tmp_path: Path) -> None:
    reported = find_faults({"LICENTIA_VAR": str(tmp_path), **PARTY, f"LICENTIA_WEBAUTHN_{name}": value})
    assert set(reported) == {f"LICENTIA_WEBAUTHN_{name}"}


@pytest.mark.parametrize(
    "origins",
    ["*", "https://app.example.com,http://localhost:3000", "https://192.0.2.1:8443", "http://[::1]:3000", "app://my_app", "http://a"],
)
def test_valid_cors_origins(origins: str, tmp_path: Path) -> None:
    environ = {"LICENTIA_VAR": str(tmp_path), "LICENTIA_CORS_ORIGINS": origins}
    assert Settings.load(environ).cors_origins == origins.split(",")


@pytest.mark.parametrize(
    "origins",
    [
        "null",
        "javascript:x",
        "https://a.example/",
        "https://a.example/app",
        "https://a.example,null",
        "https://A.example",
        "https://a.example:443",
        "http://a.example:80",
        "https://a.example:65536",
        "https://a.example:0",
        "https://*.example",
        "https://u@a.example",
        "a.example",
        "file://",
        "https://a.example?x",
    ],
)
def test_a_cors_origin_that_no_browser_sends_is_refused(origins: str, tmp_path: Path) -> None:
    assert set(find_faults({"LICENTIA_VAR": str(tmp_path), "LICENTIA_CORS_ORIGINS": origins})) == {"LICENTIA_CORS_ORIGINS"}


@pytest.mark.parametrize("missing", list(PARTY))
def test_a_domain_without_origins_and_origins_without_a_domain_are_faults(missing: str, tmp_path: Path) -> None:
    environ = {name: value for name, value in PARTY.items() if name != missing}
    assert set(find_faults({"LICENTIA_VAR": str(tmp_path), **environ})) == {missing}


def test_without_both_passkeys_are_off_and_production_requires_https(tmp_path: Path) -> None:
    assert not Settings.load({"LICENTIA_VAR": str(tmp_path)}).passkeys_enabled
    local = {"LICENTIA_WEBAUTHN_RP_ID": "localhost", "LICENTIA_WEBAUTHN_ORIGINS": "http://localhost:8000"}
    assert set(find_faults(GOOD | local)) == {"LICENTIA_WEBAUTHN_ORIGINS"}
    with pytest.raises(SettingsInvalid):
        Settings.load(GOOD | local)
