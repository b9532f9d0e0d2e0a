"""Tokens of one kind never pass for another, and nobody else's pass at all (authentication R61, R62)."""

import base64
import json

import jwt
import pytest

from app.security.signing import MAX_TOKEN, MAX_VERIFIED, InvalidToken, Signer, SigningKey

KEY = SigningKey.generate()
SIGNER = Signer(KEY, {KEY.kid: KEY})


def test_a_third_party_library_verifies_what_we_sign() -> None:
    token = SIGNER.sign("grant+jwt", {"aud": "studio", "lic": "1"})
    public = jwt.PyJWK(KEY.public())
    assert jwt.decode(token, public, algorithms=["EdDSA"], audience="studio")["lic"] == "1"
    assert jwt.get_unverified_header(token) == {"alg": "EdDSA", "typ": "grant+jwt", "kid": KEY.kid}


def test_the_key_id_is_the_rfc_7638_thumbprint() -> None:
    public = KEY.public()
    canonical = json.dumps({name: public[name] for name in ("crv", "kty", "x")}, separators=(",", ":"), sort_keys=True)
    from hashlib import sha256  # noqa: PLC0415  next to its only use

    assert KEY.kid == base64.urlsafe_b64encode(sha256(canonical.encode()).digest()).rstrip(b"=").decode()


def test_a_token_of_another_type_is_refused() -> None:
    token = SIGNER.sign("grant+jwt", {"sub": "1"})
    with pytest.raises(InvalidToken):
        SIGNER.read("at+jwt", token)


def test_another_key_with_the_same_key_id_is_refused() -> None:
    stranger = SigningKey(KEY.kid, SigningKey.generate().key)
    forged = Signer(stranger, {KEY.kid: stranger}).sign("at+jwt", {"sub": "1"})
    with pytest.raises(InvalidToken):
        SIGNER.read("at+jwt", forged)


def _segment(value: dict[str, object]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none", "typ": "at+jwt", "kid": KEY.kid},
        {"alg": "HS256", "typ": "at+jwt", "kid": KEY.kid},
        {"alg": "EdDSA", "typ": "at+jwt"},
        {"alg": "EdDSA", "typ": "at+jwt", "kid": "unknown"},
        {"alg": "EdDSA", "typ": "at+jwt", "kid": ["list"]},
        {"alg": "EdDSA", "typ": "at+jwt", "kid": KEY.kid, "crit": ["exp"], "exp": 1},
        {"alg": "EdDSA", "typ": "at+jwt", "kid": KEY.kid, "jwk": KEY.public()},
    ],
)
def test_other_algorithms_and_headers_are_refused(header: dict[str, object]) -> None:
    good = SIGNER.sign("at+jwt", {"sub": "1"})
    payload, signature = good.split(".")[1:]
    with pytest.raises(InvalidToken):
        SIGNER.read("at+jwt", f"{_segment(header)}.{payload}.{signature}")


@pytest.mark.parametrize("text", ["", ".", "..", "a.b.c", "eyJ", "é.é.é", "x" * (MAX_TOKEN + 1), "a" * 3000 + ".b.c"])
def test_a_malformed_token_is_refused(text: str) -> None:
    with pytest.raises(InvalidToken):
        SIGNER.read("at+jwt", text)


def test_a_changed_claim_breaks_the_signature() -> None:
    header, _, signature = SIGNER.sign("at+jwt", {"sub": "1"}).split(".")
    with pytest.raises(InvalidToken):
        SIGNER.read("at+jwt", f"{header}.{_segment({'sub': '2'})}.{signature}")


def test_a_stored_key_can_be_loaded() -> None:
    again = SigningKey.from_private(KEY.private())
    assert again.kid == KEY.kid
    assert SIGNER.read("at+jwt", Signer(again, {again.kid: again}).sign("at+jwt", {"sub": "1"})) == {"sub": "1"}


def test_a_cached_verification_still_checks_type_and_key() -> None:
    retired = SigningKey.generate()
    token = Signer(retired, {retired.kid: retired}).sign("at+jwt", {"sub": "1"})
    known = {KEY.kid: KEY, retired.kid: retired}
    signer = Signer(KEY, known)
    assert signer.read_current("at+jwt", token) == signer.read_current("at+jwt", token) == {"sub": "1"}
    for typ, other in [("grant+jwt", token), ("at+jwt", token[:-8] + "AAAAAAAA"), ("at+jwt", "\ud800.a.b")]:
        for _ in range(2):
            with pytest.raises(InvalidToken):
                signer.read_current(typ, other)
    with pytest.raises(InvalidToken):
        Signer(KEY, known, frozenset({KEY.kid})).read_current("at+jwt", token)


def test_the_cache_of_verified_tokens_is_bounded() -> None:
    signer = Signer(KEY, {KEY.kid: KEY})
    token = signer.sign("at+jwt", {"sub": "1"})
    signer.verified.update({number.to_bytes(4, "big"): (KEY.kid, {}) for number in range(MAX_VERIFIED)})
    assert signer.read_current("at+jwt", token) == {"sub": "1"}
    assert len(signer.verified) == 1
    assert token not in repr(signer)
