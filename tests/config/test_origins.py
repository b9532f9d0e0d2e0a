"""From where passkeys may be shown: what a relying party can be called, and what its origins are (authentication R34)."""

from pathlib import Path

import pytest

from app.config.settings import Settings, SettingsInvalid
from tests.authenticator import ANDROID
from tests.config.test_settings import GOOD, faults

PARTY = {"LICENTIA_WEBAUTHN_RP_ID": "example.com", "LICENTIA_WEBAUTHN_ORIGINS": "https://example.com"}


@pytest.mark.parametrize(
    ("rp_id", "origins"),
    [
        ("example.com", f"https://example.com, https://login.example.com:8443, {ANDROID}"),
        ("localhost", "http://localhost:8000"),
    ],
)
def test_a_relying_party(rp_id: str, origins: str, tmp_path: Path) -> None:
    given = {"LICENTIA_VAR": str(tmp_path), "LICENTIA_WEBAUTHN_RP_ID": rp_id, "LICENTIA_WEBAUTHN_ORIGINS": origins}
    settings = Settings.load(given)
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
def test_what_is_none_is_named(name: str, value: str, tmp_path: Path) -> None:
    told = faults({"LICENTIA_VAR": str(tmp_path), **PARTY, f"LICENTIA_WEBAUTHN_{name}": value})
    assert set(told) == {f"LICENTIA_WEBAUTHN_{name}"}


@pytest.mark.parametrize(
    "listed",
    ["*", "https://app.example.com,http://localhost:3000", "https://192.0.2.1:8443", "http://[::1]:3000", "app://my_app", "http://a"],
)
def test_pages_that_may_call(listed: str, tmp_path: Path) -> None:
    given = {"LICENTIA_VAR": str(tmp_path), "LICENTIA_CORS_ORIGINS": listed}
    assert Settings.load(given).cors_origins == listed.split(",")


@pytest.mark.parametrize(
    "listed",
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
def test_an_origin_that_no_browser_sends_is_refused(listed: str, tmp_path: Path) -> None:
    assert set(faults({"LICENTIA_VAR": str(tmp_path), "LICENTIA_CORS_ORIGINS": listed})) == {"LICENTIA_CORS_ORIGINS"}


@pytest.mark.parametrize("missing", list(PARTY))
def test_one_without_the_other_does_not_start(missing: str, tmp_path: Path) -> None:
    given = {name: value for name, value in PARTY.items() if name != missing}
    assert set(faults({"LICENTIA_VAR": str(tmp_path), **given})) == {missing}


def test_without_both_passkeys_are_off_and_production_wants_tls(tmp_path: Path) -> None:
    assert not Settings.load({"LICENTIA_VAR": str(tmp_path)}).passkeys_enabled
    local = {"LICENTIA_WEBAUTHN_RP_ID": "localhost", "LICENTIA_WEBAUTHN_ORIGINS": "http://localhost:8000"}
    assert set(faults(GOOD | local)) == {"LICENTIA_WEBAUTHN_ORIGINS"}
    with pytest.raises(SettingsInvalid):
        Settings.load(GOOD | local)
