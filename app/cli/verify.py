"""`python -m app verify`: signed files and evidence bundles, with neither database nor network nor configuration."""

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
Told: TypeAlias = dict[str, Any]


class NotVerified(Exception):
    """A file that does not verify. `sentences` say why, one line each."""

    def __init__(self, *sentences: str) -> None:
        super().__init__(*sentences)
        self.sentences = sentences


def verify_file(file: Path, jwks: Path | None, fingerprint: str | None, now: Callable[[], datetime]) -> Told:
    """What a good file says: an evidence bundle, or one compact JWS, which wants a key set. Raises NotVerified."""
    text = _read(file).strip(" \t\r\n")  # what JSON calls white space, and no more
    keys = _json(_read(jwks)) if jwks is not None else None
    if text.startswith("{"):
        return _bundle(_json(text), keys)
    if keys is None:
        raise NotVerified("one compact JWS wants --jwks: a key set from a source that you trust")
    return _token(text, keys, fingerprint, now())


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise NotVerified(f"cannot be read: {error}") from error


def _json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise NotVerified(f"cannot be read: {error}") from error


def _once(pairs: list[tuple[str, Any]]) -> Told:
    """An object whose names differ: of two that are the same, nobody could say which one was signed."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object")
    return found


def _bundle(bundle: Any, keys: Any) -> Told:
    found = bundles.check_bundle(bundle, keys)
    if found.faults:
        raise NotVerified(*(f"{place}: {what}" for place, what in found.faults))
    trust = "the given set" if keys is not None else "the bundle itself: compare them with keys from a source that you trust"
    counts = {"receipts": found.receipts, "sealed": found.sealed, "texts": found.texts, "contexts": found.contexts}
    warnings = [f"{place}: {what}" for place, what in found.warnings]
    return {"genuine": True, "user": found.user, **counts, "signed_by": list(found.keys), "keys_from": trust, "warnings": warnings}


def _token(token: str, keys: Any, fingerprint: str | None, now: datetime) -> Told:
    try:
        typ, claims = read_with_key_set(token, keys)
    except InvalidToken as wrong:
        raise NotVerified(f"does not verify: {wrong}") from wrong
    if (since := read_revocations(keys).get(str(read_kid(token)))) is not None:
        raise NotVerified(f"was signed by a key that was revoked at {since}; by itself it proves nothing")
    if (sentence := find_time_fault(claims, now) or find_device_fault(claims, fingerprint)) is not None:
        raise NotVerified(sentence)
    return {"genuine": True, "typ": typ, "claims": claims}


def find_time_fault(claims: Told, now: datetime) -> str | None:
    """Why a genuine file does not hold at this moment, by its `iat` and `exp` (RFC 7519 section 4.1), if it does not."""
    made, until = claims.get("iat"), claims.get("exp")
    if isinstance(made, int | float) and now.timestamp() < made - CLOCK_SKEW.total_seconds():
        return "is genuine but from the future: this computer's clock was set back"
    if isinstance(until, int | float) and now.timestamp() >= until:
        return f"is genuine but has expired, at {instant_text(datetime.fromtimestamp(until, UTC))}"
    return None


def find_device_fault(claims: Told, fingerprint: str | None) -> str | None:
    """Why a genuine file is not for this device, if one was named and it is bound to another."""
    bound = claims.get("dev")
    if fingerprint is None or bound is None or bound == sha256(fingerprint.encode()).hexdigest():
        return None
    return "is genuine but for another device"
