"""The last safeguard of the logs: `mask` recognises secrets by the name of their field and by their format."""

from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import SecretStr

from app.observability.logs import MASK, mask
from tests.secrets.credentials import CODE, KEY, TOKEN

JWT = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"

SECRET_TEXTS = [
    f"op_{TOKEN}",
    f"act_{TOKEN}",
    f"lgn_{TOKEN}",
    f"vfy_{TOKEN}",
    f"rst_{TOKEN}",
    JWT,
    KEY,
    KEY.lower(),
    CODE,
    "7Q2M-0ABC-DEFG-HJKM-NPQR",
    f"rt_{TOKEN}",
    f"dvc_{TOKEN}",
    "whsec_3q2+7wABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhs=",
    "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2g",
    "otpauth://totp/Licentia:a%40example.com?secret=Z6WFWVLIMPACYLXK&issuer=Licentia",
]
WRAPPINGS = [
    "{}",
    "Bearer {}",
    "Authorization: Bearer {}",
    "('{}',)",
    '{{"x": "{}"}}',
    "GET /v1/licenses/{}?a=b",
    "a\n{}\nb",
    "<{}>",
    "x={}&y=1",
]


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize("secret", SECRET_TEXTS, ids=lambda text: text[:12])
def test_a_secret_is_recognised_by_its_format_anywhere_in_a_text(secret: str, wrapping: str) -> None:
    masked_text = str(mask(wrapping.format(secret)))
    assert secret not in masked_text
    assert MASK in masked_text


def test_the_rest_of_the_text_is_unchanged() -> None:
    assert mask(f"license {KEY} was requested twice") == f"license {MASK} was requested twice"
    assert mask("postgresql+asyncpg://licentia:hunter2@db/licentia") == f"postgresql+asyncpg://{MASK}@db/licentia"
    assert mask("redis://:hunter2@cache/0 and on") == f"redis://{MASK}@cache/0 and on"


@pytest.mark.parametrize(
    "text",
    [
        "01a20460-ef73-719c-b7be-883c0c34ba9f",
        "2026-11-22T12:00:00.000Z",
        "POST /v1/access",
        "seat_limit_reached",
        "op_x",
        "eyJ",
        "product-1",
        "act_on_this",
        "127.0.0.1:8000",
        "http://127.0.0.1:8000/v1/access",
        "zh-Hans-CN",
        "",
    ],
)
def test_text_that_support_needs_stays_readable(text: str) -> None:
    """Identifiers, times, codes and paths are not masked."""
    assert mask(text) == text


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "Password",
        "new_password",
        "secret",
        "CLIENT_SECRET",
        "token",
        "access_token",
        "Authorization",
        "license_key",
        "activation_code",
        "otpauth_uri",
        "credential",
        "code",
        "key",
        "recovery_codes",
        "totp",
        "device_code",
        "user_code",
    ],
)
def test_a_secret_is_recognised_by_the_name_of_its_field(name: str) -> None:
    assert mask({name: "hunter2"}) == {name: MASK}
    assert mask([{"deep": ({name: ["hunter2"]},)}]) == [{"deep": [{name: MASK}]}]


@pytest.mark.parametrize("name", ["status", "path", "code_id", "key_last4", "event", "keys", "request_id", "license", "method"])
def test_a_harmless_field_keeps_its_value(name: str) -> None:
    assert mask({name: "plain"}) == {name: "plain"}


@dataclass
class Careless:
    """An object whose repr shows everything."""

    token: str


@pytest.mark.parametrize(
    "value",
    [
        f"op_{TOKEN}".encode(),
        [(b"authorization", f"Bearer op_{TOKEN}".encode())],
        {f"op_{TOKEN}"},
        frozenset({f"op_{TOKEN}"}),
        Careless(f"op_{TOKEN}"),
        ValueError(f"op_{TOKEN} is no token"),
        {"deep": [Careless(f"op_{TOKEN}")]},
        SecretStr(f"op_{TOKEN}"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_repr_of_any_value_is_masked(value: Any) -> None:
    """Bytes, sets, exceptions and objects are logged as their repr, so that text is masked."""
    assert TOKEN not in repr(mask(value))


@pytest.mark.parametrize("value", [None, True, 0, 1.5, [1, 2], {"a": None}])
def test_plain_values_keep_their_type(value: object) -> None:
    assert mask(value) == value
