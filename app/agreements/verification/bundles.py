"""An evidence bundle judged by itself: without database, network or configuration. What was changed in it, or does not fit together,
is told place by place."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from uuid import UUID

from app.agreements.grades import grade_event
from app.agreements.ledger import merkle, proofs
from app.agreements.ledger.proofs import BUNDLE, RECEIPT, SEAL, ChainPosition
from app.agreements.rules import digest
from app.security.signing import Claims, InvalidToken, read_kid, read_revocations, read_with_key_set

FORMAT = "licentia-evidence/1"
PROCESS = (
    "How these records come about, for a person who is qualified to certify it. Licentia keeps agreements in versions and languages. A "
    "text is normalised (Unicode NFC, LF line ends), hashed with SHA-256 and frozen when it is published; database triggers refuse to "
    "change or delete it. An end user who is logged in asks for a presentation: the service notes which text, in which language and "
    "form, it gives to which client. The end user's own access token, and no key of an operator, sends the decision, which names the "
    "presentation and repeats the hash of the text. In one transaction, while the end user's chain is locked, the service writes one "
    "event: a receipt as a JWS (RFC 7515) signed with Ed25519 (RFC 8037), with the time of the server in UTC, its number in the end "
    "user's chain, and the SHA-256 of the receipt before it. Events are only ever added; a correction is another event. Address, user "
    "agent and session are kept apart and may have been erased; the receipt holds salted SHA-256 commitments to them (ctx, sid_h). At "
    "short intervals all new receipts become leaves of a Merkle tree (RFC 9162 section 2.1) whose root is signed and chained to the "
    "root before it. To check this document: each receipt's signature by the keys in it (compare their RFC 7638 thumbprints with the "
    "published ones), numbers 1 to n and the hash of the receipt before, the hashes of the texts and statements, the paths to the "
    "sealed roots, and the signature over the whole, which is a JWS of the SHA-256 of this document without its member `signature`, "
    "as JSON with sorted names and without white space (RFC 8785). `python -m app verify FILE` does all of it."
)
Faults = Iterator[tuple[str, str]]


def digest_bundle(bundle: Mapping[str, Any]) -> str:
    """SHA-256 over the bundle without its signature, in the form of RFC 8785 (its names are ASCII, its numbers whole)."""
    whole = {name: value for name, value in bundle.items() if name != "signature"}
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=True)
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class BundleReport:
    """`faults` are (place, what), in order; none means that everything fits together. `warnings` say what a key signed that was revoked,
    and what vouches for that still. `keys`: the thumbprints of those that signed."""

    user: str
    receipts: int
    sealed: int
    texts: int
    contexts: int
    keys: tuple[str, ...]
    faults: tuple[tuple[str, str], ...]
    warnings: tuple[tuple[str, str], ...] = ()


@dataclass
class BundleCheck:
    """A bundle under judgement: its parts by name, and what was found so far. `revoked`: when each of the keys that leaked was put out
    of use; the document as a whole must be signed by another."""

    bundle: Mapping[str, Any]
    keys: Any
    revoked: Mapping[str, str] = field(default_factory=dict)
    warnings: list[tuple[str, str]] = field(default_factory=list)
    sealers: dict[int, str] = field(default_factory=dict)
    texts: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    versions: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    seals: dict[int, Claims] = field(default_factory=dict)
    receipts: list[Claims] = field(default_factory=list)
    signers: set[str] = field(default_factory=set)

    def opened(self, token: Any, typ: str) -> Claims:
        """The claims of a token of this kind. Raises NotOurs."""
        told, claims = read_with_key_set(str(token), self.keys)
        if told != typ:
            raise InvalidToken("it is a token of another kind")
        kid = str(read_kid(str(token)))
        if typ == BUNDLE and kid in self.revoked:
            raise InvalidToken("it was signed by a key that was revoked")
        self.signers.add(kid)
        return claims

    def whole(self) -> Faults:
        if self.bundle.get("format") != FORMAT:
            yield "format", f"is not {FORMAT}"
        claims = self.opened(self.bundle["signature"], BUNDLE)
        if claims.get("sha256") != digest_bundle(self.bundle):
            yield "signature", "is of another document: something in this one was changed"
        if claims.get("sub") != self.bundle["user"]:
            yield "signature", "is about another end user"

    def words(self) -> Faults:
        self.versions = {each["id"]: each for each in self.bundle["versions"]}
        for place, text in enumerate(self.bundle["texts"]):
            self.texts[text["id"]] = text
            if (fault := proofs.find_text_mismatch(text)) is not None:
                yield f"texts/{place}", f"{fault} is not that of the words"
            if text["version"] not in self.versions:
                yield f"texts/{place}", "its version is missing"

    def roots(self) -> Faults:
        before: tuple[int, str] | None = None
        for place, seal in enumerate(self.bundle["seals"]):
            claims = self.opened(seal, SEAL)
            self.seals[claims["n"]], self.sealers[claims["n"]] = claims, str(read_kid(seal))
            if (since := self.revoked.get(self.sealers[claims["n"]])) is not None:
                self.warnings.append((f"seals/{place}", f"was signed by a key that was revoked at {since}"))
            if before is not None and before[0] + 1 == claims["n"] and claims["prev"] != before[1]:
                yield f"seals/{place}", "does not follow the seal before it"
            before = claims["n"], digest(seal)

    def chain(self) -> Faults:
        tail = ChainPosition(self.bundle["user"])
        for place, entry in enumerate(self.bundle["receipts"]):
            claims = self.opened(entry["jws"], RECEIPT)
            self.receipts.append(claims)
            if (since := self.revoked.get(str(read_kid(entry["jws"])))) is not None:
                self.warnings.append((f"receipts/{place}", self._worth(entry, claims, since)))
            if (fault := tail.misfit(claims)) is not None:
                yield f"receipts/{place}", f"{fault} does not continue the chain"
            yield from ((f"receipts/{place}", fault) for fault in self._entry(entry, claims))
            tail = tail.after(entry["jws"], claims)

    def _worth(self, entry: Mapping[str, Any], claims: Claims, since: str) -> str:
        """What vouches for a receipt by a key that leaked."""
        n = entry["inclusion"]["n"] if entry["inclusion"] is not None else None
        good = n in self.sealers and self.sealers[n] not in self.revoked
        told = f"seal {n}, by a key in good standing, holds it" if good else "only the ledger vouches for it, which held it at `made_at`"
        dated = ", though it is dated after that" if claims["at"] > since else ""
        return f"was signed by a key that was revoked at {since}{dated}; {told}"

    def _entry(self, entry: Mapping[str, Any], claims: Claims) -> Iterator[str]:
        if entry["sha256"] != digest(entry["jws"]):
            yield "sha256 is not that of the receipt"
        if entry["grade"] != grade_event(claims["event"], claims.get("amr", ()), claims.get("fallback")):
            yield "grade is not what the rule makes of it"
        text, version = self.texts.get(claims["txt"]), self.versions.get(claims["ver"])
        if text is None or version is None:
            yield "its text or version is missing"
        elif (fault := proofs.find_claim_mismatch(claims, text) or _version_fault(claims, version)) is not None:
            yield f"{fault} is not that of the text or version"
        if (context := entry["context"]) is not None and (fault := proofs.find_context_mismatch(claims, _context(context))) is not None:
            yield f"{fault} is no commitment to the context"
        if entry["inclusion"] is not None and not self._included(entry):
            yield "its path does not lead to the sealed root"

    def _included(self, entry: Mapping[str, Any]) -> bool:
        told = entry["inclusion"]
        seal = self.seals.get(told["n"])
        way = [bytes.fromhex(each) for each in told["path"]]
        root = merkle.leads_to(merkle.leaf_hash(entry["jws"].encode()), told["leaf"], told["count"], way)
        return seal is not None and root is not None and (root.hex(), told["count"]) == (seal["root"], seal["count"])


def _version_fault(claims: Claims, version: Mapping[str, Any]) -> str | None:
    told = {"doc": "document", "ord": "ordinal", "product": "product", "kind": "kind", "region": "region"}
    return next((claim for claim, name in told.items() if claims.get(claim) != version[name]), None)


def _context(told: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**told, "salt": bytes.fromhex(told["salt"]), "session_id": UUID(told["session_id"])}


def _case(whole: Mapping[str, Any], keys: Any) -> BundleCheck:
    """A published set lacks the keys that leaked, so these are the bundle's own: what they signed counts for no more than a warning, and
    that they are in the bundle is vouched for by the key that signed it."""
    own: Any = whole.get("keys")
    gone = read_revocations(own)
    if keys is None or not isinstance(keys, dict) or not gone:
        return BundleCheck(whole, own if keys is None else keys, gone | read_revocations(keys))
    lost = [jwk for jwk in own["keys"] if "revoked_at" in jwk]
    return BundleCheck(whole, {**keys, "keys": [*keys.get("keys", ()), *lost]}, gone | read_revocations(keys))


def check_bundle(bundle: Any, keys: Any = None) -> BundleReport:
    """The verdict on what was read from a bundle's file. `keys`: a JWK set from a source that is trusted more than the bundle's own."""
    whole = bundle if isinstance(bundle, dict) else {}
    case = _case(whole, keys)
    steps: Mapping[str, Callable[[], Faults]] = {
        "signature": case.whole,
        "texts": case.words,
        "seals": case.roots,
        "receipts": case.chain,
    }
    faults: list[tuple[str, str]] = []
    for name, step in steps.items():
        try:
            faults += step()
        except InvalidToken as wrong:
            faults.append((name, f"does not verify: {wrong}"))
        except (AttributeError, KeyError, TypeError, ValueError):
            faults.append((name, "cannot be read: the document is damaged or of another kind"))
    return _judged(case, faults)


def _judged(case: BundleCheck, faults: list[tuple[str, str]]) -> BundleReport:
    told = case.bundle.get("receipts")
    entries = [entry for entry in told if isinstance(entry, dict)] if isinstance(told, list) else []
    return BundleReport(
        user=str(case.bundle.get("user")),
        receipts=len(case.receipts),
        sealed=sum(entry.get("inclusion") is not None for entry in entries),
        texts=len(case.texts),
        contexts=sum(entry.get("context") is not None for entry in entries),
        keys=tuple(sorted(case.signers)),
        faults=tuple(faults),
        warnings=tuple(case.warnings),
    )
