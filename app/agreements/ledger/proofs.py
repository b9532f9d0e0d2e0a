"""Checks of one receipt, and of a receipt together with the previous receipt, its text and its context.

Pure functions, without database or clock: the service and the offline verifier use the same ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any
from uuid import UUID

from app.agreements.rules import digest, digest_statement
from app.security.signing import Claims

RECEIPT = "acceptance-receipt+jwt"
SEAL = "ledger-seal+jwt"
BUNDLE = "evidence-bundle+jwt"
MAX_RECEIPT = 32 * 1024
"""The largest length of a receipt in characters. All claims have limits, so no genuine receipt is longer."""
_SERVED = {"md": "sha256", "html": "html_sha256", "text": "plain_sha256"}


def commit_to_context(salt: bytes, ip: str | None, user_agent: str | None) -> str:
    """Return SHA-256 over salt (32 bytes), IP address, NUL and user agent (UTF-8, empty when unknown), in hexadecimal."""
    return sha256(salt + (ip or "").encode() + b"\0" + (user_agent or "").encode()).hexdigest()


def commit_to_session(salt: bytes, session_id: UUID) -> str:
    """Return SHA-256 over salt (32 bytes) and the session id as text, in hexadecimal."""
    return sha256(salt + str(session_id).encode()).hexdigest()


@dataclass(frozen=True)
class ChainPosition:
    """The position reached in one end user's chain: number, hash and time of the last receipt."""

    user: str
    seq: int = 0
    sha256: str | None = None
    at: str = ""

    def find_mismatch(self, claims: Claims) -> str | None:
        """Return the claim that does not continue the chain: `sub`, `seq`, `prev`, or `at` if time runs backwards (agreements R23)."""
        at = claims.get("at")
        matches = {
            "sub": claims.get("sub") == self.user,
            "seq": claims.get("seq") == self.seq + 1,
            "prev": claims.get("prev") == self.sha256,
            "at": isinstance(at, str) and at >= self.at,  # all times have one format, so their text sorts like time
        }
        return _first_false(matches)

    def advance(self, receipt: str, claims: Claims) -> "ChainPosition":
        return ChainPosition(self.user, claims["seq"], digest(receipt), claims["at"])


def _first_false(matches: Mapping[str, bool]) -> str | None:
    return next((name for name, is_match in matches.items() if not is_match), None)


def find_text_mismatch(text: Mapping[str, Any]) -> str | None:
    """Return the hash of a stored text that does not match its content. `text` has the columns of `agreement_texts`."""
    computed: dict[str, str | None] = {"sha256": digest(text["body"]), "statement_sha256": hash_statement(text)}
    computed |= {f"{form}_sha256": digest(text[form]) if text[form] is not None else None for form in ("html", "plain")}
    return next((name for name, value in computed.items() if text[name] != value), None)


def hash_statement(text: Mapping[str, Any]) -> str:
    return digest_statement(text["statement"], text["accept_label"], text["decline_label"])


def find_claim_mismatch(claims: Claims, text: Mapping[str, Any]) -> str | None:
    """Return the claim of a receipt that does not match the text it names."""
    served = claims.get("served_sha256")
    matches = {
        "txt": claims.get("txt") == str(text["id"]),
        "locale": claims.get("locale") == text["locale"],
        "text_sha256": claims.get("text_sha256") == text["sha256"],
        "stmt_sha256": claims.get("stmt_sha256") == text["statement_sha256"],
        "served_sha256": served is None or served == text[_SERVED.get(str(claims.get("format")), "sha256")],
    }
    return _first_false(matches)


def find_context_mismatch(claims: Claims, context: Mapping[str, Any]) -> str | None:
    """Return the commitment of a receipt that does not match the context: `ctx` or `sid_h`."""
    salt, session_id = context["salt"], context["session_id"]
    if claims.get("ctx") != commit_to_context(salt, context["ip"], context["user_agent"]):
        return "ctx"
    return "sid_h" if claims.get("sid_h") != commit_to_session(salt, session_id) else None
