"""`python -m app verify`: verify signed files and evidence bundles without database, network or configuration."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias

from app.agreements.verification import bundles
from app.base.durations import instant_text
from app.security.signing import InvalidToken, read_kid, read_revocations, read_with_key_set

CLOCK_SKEW = timedelta(minutes=5)
Json: TypeAlias = dict[str, Any]


class VerificationFailed(Exception):
    """The file does not verify. `sentences` contain the reasons."""

    def __init__(self, *sentences: str) -> None:
        super().__init__(*sentences)
        self.sentences = sentences


def verify_file(file: Path, jwks: Path | None, fingerprint: str | None, now: Callable[[], datetime]) -> Json:
    """Verify an evidence bundle, or one compact JWS, which needs a key set; returns what it says. Raises VerificationFailed."""
    text = _read_file(file).strip(" \t\r\n")  # only what JSON defines as white space
    keys = _parse_json(_read_file(jwks)) if jwks is not None else None
    if text.startswith("{"):
        return _verify_bundle(_parse_json(text), keys)
    if keys is None:
        raise VerificationFailed("a compact JWS requires --jwks with a key set from a source that you trust")
    return _verify_token(text, keys, fingerprint, now())


def _read_file(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise VerificationFailed(f"cannot be read: {error}") from error


def _parse_json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_unique_object)
    except (ValueError, RecursionError) as error:
        raise VerificationFailed(f"cannot be read: {error}") from error


def _unique_object(pairs: list[tuple[str, Any]]) -> Json:
    """Build an object, refusing repeated names: it would be unclear which value was signed. Raises ValueError."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("an object contains the same name twice")
    return members


def _verify_bundle(bundle: Any, keys: Any) -> Json:
    report = bundles.check_bundle(bundle, keys)
    if report.faults:
        raise VerificationFailed(*(f"{place}: {what}" for place, what in report.faults))
    trust = "the given set" if keys is not None else "the bundle itself: compare them with a key set from a source that you trust"
    counts = {"receipts": report.receipts, "sealed": report.sealed, "texts": report.texts, "contexts": report.contexts}
    warnings = [f"{place}: {what}" for place, what in report.warnings]
    return {"genuine": True, "user": report.user, **counts, "signed_by": list(report.keys), "keys_from": trust, "warnings": warnings}


def _verify_token(token: str, keys: Any, fingerprint: str | None, now: datetime) -> Json:
    try:
        typ, claims = read_with_key_set(token, keys)
    except InvalidToken as error:
        raise VerificationFailed(f"does not verify: {error}") from error
    if (since := read_revocations(keys).get(str(read_kid(token)))) is not None:
        raise VerificationFailed(f"was signed by a key that was revoked at {since}; without other evidence it proves nothing")
    if (sentence := find_time_fault(claims, now) or find_device_fault(claims, fingerprint)) is not None:
        raise VerificationFailed(sentence)
    return {"genuine": True, "typ": typ, "claims": claims}


def find_time_fault(claims: Json, now: datetime) -> str | None:
    """Return why a genuine file is not valid at this time, by its `iat` and `exp` (RFC 7519 section 4.1), or None."""
    issued, expires = claims.get("iat"), claims.get("exp")
    if isinstance(issued, int | float) and now.timestamp() < issued - CLOCK_SKEW.total_seconds():
        return "is genuine but was issued in the future: the clock of this computer is wrong"
    if isinstance(expires, int | float) and now.timestamp() >= expires:
        return f"is genuine but expired at {instant_text(datetime.fromtimestamp(expires, UTC))}"
    return None


def find_device_fault(claims: Json, fingerprint: str | None) -> str | None:
    """Return why a genuine file is not valid on the given device, or None. Only a file that is bound to a device can fail."""
    device = claims.get("dev")
    if fingerprint is None or device is None or device == sha256(fingerprint.encode()).hexdigest():
        return None
    return "is genuine but for another device"
