"""What a receipt proves by itself and beside its neighbours. Pure: no database, no clock; the service and the offline verifier judge
by the same functions."""

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
"""Characters of a receipt: its claims are bounded, also in scripts of four bytes a character."""
_SERVED = {"md": "sha256", "html": "html_sha256", "text": "plain_sha256"}


def commit_to_context(salt: bytes, ip: str | None, user_agent: str | None) -> str:
    """SHA-256 over salt (32 bytes), address, NUL, user agent (UTF-8, empty when unknown), in hexadecimal."""
    return sha256(salt + (ip or "").encode() + b"\0" + (user_agent or "").encode()).hexdigest()


def commit_to_session(salt: bytes, session_id: UUID) -> str:
    """SHA-256 over salt (32 bytes) and the session's id as text, in hexadecimal."""
    return sha256(salt + str(session_id).encode()).hexdigest()


@dataclass(frozen=True)
class ChainPosition:
    """The end of one end user's chain so far."""

    user: str
    seq: int = 0
    sha256: str | None = None
    at: str = ""

    def misfit(self, claims: Claims) -> str | None:
        """What says that these claims are not the chain's next link: `sub`, `seq`, `prev` or `at`, which never runs backwards (agreements R23)."""
        at = claims.get("at")
        fits = {
            "sub": claims.get("sub") == self.user,
            "seq": claims.get("seq") == self.seq + 1,
            "prev": claims.get("prev") == self.sha256,
            "at": isinstance(at, str) and at >= self.at,  # one form, so the order of texts is that of time
        }
        return next((name for name, good in fits.items() if not good), None)

    def after(self, receipt: str, claims: Claims) -> "ChainPosition":
        return ChainPosition(self.user, claims["seq"], digest(receipt), claims["at"])


def find_text_mismatch(text: Mapping[str, Any]) -> str | None:
    """Which hash of a stored text is not that of its words; `text` has the columns of `agreement_texts`."""
    made: dict[str, str | None] = {"sha256": digest(text["body"]), "statement_sha256": hash_statement(text)}
    made |= {f"{form}_sha256": digest(text[form]) if text[form] is not None else None for form in ("html", "plain")}
    return next((name for name, value in made.items() if text[name] != value), None)


def hash_statement(text: Mapping[str, Any]) -> str:
    return digest_statement(text["statement"], text["accept_label"], text["decline_label"])


def find_claim_mismatch(claims: Claims, text: Mapping[str, Any]) -> str | None:
    """Which hash of a receipt is not that of the text which it names."""
    served = claims.get("served_sha256")
    made = {
        "txt": claims.get("txt") == str(text["id"]),
        "locale": claims.get("locale") == text["locale"],
        "text_sha256": claims.get("text_sha256") == text["sha256"],
        "stmt_sha256": claims.get("stmt_sha256") == text["statement_sha256"],
        "served_sha256": served is None or served == text[_SERVED.get(str(claims.get("format")), "sha256")],
    }
    return next((name for name, good in made.items() if not good), None)


def find_context_mismatch(claims: Claims, context: Mapping[str, Any]) -> str | None:
    """Which commitment of a receipt is not to this context: `ctx` or `sid_h`."""
    salt, session_id = context["salt"], context["session_id"]
    if claims.get("ctx") != commit_to_context(salt, context["ip"], context["user_agent"]):
        return "ctx"
    return "sid_h" if claims.get("sid_h") != commit_to_session(salt, session_id) else None
