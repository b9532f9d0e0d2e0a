"""Verifies an evidence bundle without database, network or configuration. Each fault names its place."""

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
    "How these records are made, for a person who is qualified to certify it. Licentia keeps agreements in versions and languages. A "
    "text is normalised (Unicode NFC, LF line ends), hashed with SHA-256 and frozen when it is published; database triggers refuse to "
    "change or delete it. An end user who is logged in requests a presentation: the service records which text, in which language and "
    "form, it gives to which client. The decision is sent with the end user's own access token, never with an operator's key; it names "
    "the presentation and repeats the hash of the text. In one transaction, while the end user's chain is locked, the service writes one "
    "event: a receipt as a JWS (RFC 7515) signed with Ed25519 (RFC 8037), with the time of the server in UTC, its number in the end "
    "user's chain, and the SHA-256 of the previous receipt. Events are only ever added; a correction is another event. IP address, user "
    "agent and session are stored separately and may have been erased; the receipt holds salted SHA-256 commitments to them (ctx, "
    "sid_h). At short intervals all new receipts become leaves of a Merkle tree (RFC 9162 section 2.1) whose root is signed and chained "
    "to the previous root. To verify this document, check: each receipt's signature with the keys in it (compare their RFC 7638 "
    "thumbprints with the published ones), the numbers 1 to n and the hash of the previous receipt, the hashes of the texts and "
    "statements, the paths to the sealed roots, and the signature over the whole, which is a JWS of the SHA-256 of this document without "
    "its member `signature`, as JSON with sorted names and without white space (RFC 8785). `python -m app verify FILE` does all of it."
)
Faults = Iterator[tuple[str, str]]


def digest_bundle(bundle: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the bundle without its signature, as RFC 8785 writes it: its names are ASCII, its numbers integers."""
    content = {name: value for name, value in bundle.items() if name != "signature"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=True)
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True)
class BundleReport:
    """The result of checking a bundle.

    `faults` are pairs of place and reason, in order; without faults the bundle is genuine. `warnings` name what a revoked key
    signed, and what still vouches for it. `keys` are the thumbprints of the keys that signed.
    """

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
    """A bundle that is being checked: its parts by name, and the warnings so far.

    `revoked` maps a leaked key to the time of its revocation. Such a key must not have signed the bundle as a whole.
    """

    bundle: Mapping[str, Any]
    keys: Any
    revoked: Mapping[str, str] = field(default_factory=dict)
    warnings: list[tuple[str, str]] = field(default_factory=list)
    seal_signers: dict[int, str] = field(default_factory=dict)
    texts: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    versions: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    seals: dict[int, Claims] = field(default_factory=dict)
    receipts: list[Claims] = field(default_factory=list)
    signers: set[str] = field(default_factory=set)

    def read(self, token: Any, typ: str) -> Claims:
        """Return the claims of a signed token of type `typ`. Raises InvalidToken."""
        actual_typ, claims = read_with_key_set(str(token), self.keys)
        if actual_typ != typ:
            raise InvalidToken("its type (`typ`) is wrong")
        kid = str(read_kid(str(token)))
        if typ == BUNDLE and kid in self.revoked:
            raise InvalidToken("it was signed with a revoked key")
        self.signers.add(kid)
        return claims

    def check_signature(self) -> Faults:
        if self.bundle.get("format") != FORMAT:
            yield "format", f"is not {FORMAT}"
        claims = self.read(self.bundle["signature"], BUNDLE)
        if claims.get("sha256") != digest_bundle(self.bundle):
            yield "signature", "does not match: the bundle was changed"
        if claims.get("sub") != self.bundle["user"]:
            yield "signature", "is about another end user"

    def check_texts(self) -> Faults:
        self.versions = {each["id"]: each for each in self.bundle["versions"]}
        for place, text in enumerate(self.bundle["texts"]):
            self.texts[text["id"]] = text
            if (fault := proofs.find_text_mismatch(text)) is not None:
                yield f"texts/{place}", f"{fault} is not the hash of the text"
            if text["version"] not in self.versions:
                yield f"texts/{place}", "its version is missing"

    def check_seals(self) -> Faults:
        previous: tuple[int, str] | None = None
        for place, seal in enumerate(self.bundle["seals"]):
            claims = self.read(seal, SEAL)
            self.seals[claims["n"]], self.seal_signers[claims["n"]] = claims, str(read_kid(seal))
            if (since := self.revoked.get(self.seal_signers[claims["n"]])) is not None:
                self.warnings.append((f"seals/{place}", f"was signed by a key that was revoked at {since}"))
            if previous is not None and previous[0] + 1 == claims["n"] and claims["prev"] != previous[1]:
                yield f"seals/{place}", "does not follow the previous seal"
            previous = claims["n"], digest(seal)

    def check_receipts(self) -> Faults:
        position = ChainPosition(self.bundle["user"])
        for place, entry in enumerate(self.bundle["receipts"]):
            claims = self.read(entry["jws"], RECEIPT)
            self.receipts.append(claims)
            if (since := self.revoked.get(str(read_kid(entry["jws"])))) is not None:
                self.warnings.append((f"receipts/{place}", self._describe_revoked(entry, claims, since)))
            if (fault := position.find_mismatch(claims)) is not None:
                yield f"receipts/{place}", f"{fault} does not continue the chain"
            yield from ((f"receipts/{place}", fault) for fault in self._entry_faults(entry, claims))
            position = position.advance(entry["jws"], claims)

    def _describe_revoked(self, entry: Mapping[str, Any], claims: Claims, since: str) -> str:
        """Return a warning that says what still proves a receipt that a revoked key signed."""
        n = entry["inclusion"]["n"] if entry["inclusion"] is not None else None
        if n in self.seal_signers and self.seal_signers[n] not in self.revoked:
            voucher = f"seal {n}, signed by a key that was not revoked, includes it"
        else:
            voucher = "only the ledger vouches for it, which contained it at `made_at`"
        later = ", though its own date is later" if claims["at"] > since else ""
        return f"was signed by a key that was revoked at {since}{later}; {voucher}"

    def _entry_faults(self, entry: Mapping[str, Any], claims: Claims) -> Iterator[str]:
        if entry["sha256"] != digest(entry["jws"]):
            yield "sha256 is not the hash of the receipt"
        if entry["grade"] != grade_event(claims["event"], claims.get("amr", ()), claims.get("fallback")):
            yield "grade does not follow from the receipt"
        text, version = self.texts.get(claims["txt"]), self.versions.get(claims["ver"])
        if text is None or version is None:
            yield "its text or version is missing"
        elif (fault := proofs.find_claim_mismatch(claims, text) or _find_version_mismatch(claims, version)) is not None:
            yield f"{fault} does not match the text or version"
        if (context := entry["context"]) is not None and (
            fault := proofs.find_context_mismatch(claims, _decode_context(context))
        ) is not None:
            yield f"{fault} is not a commitment to the context"
        if entry["inclusion"] is not None and not self._is_included(entry):
            yield "its path does not lead to the sealed root"

    def _is_included(self, entry: Mapping[str, Any]) -> bool:
        proof = entry["inclusion"]
        seal = self.seals.get(proof["n"])
        path = [bytes.fromhex(each) for each in proof["path"]]
        root = merkle.compute_root_from_path(merkle.hash_leaf(entry["jws"].encode()), proof["leaf"], proof["count"], path)
        return seal is not None and root is not None and (root.hex(), proof["count"]) == (seal["root"], seal["count"])


def _find_version_mismatch(claims: Claims, version: Mapping[str, Any]) -> str | None:
    members = {"doc": "document", "ord": "ordinal", "product": "product", "kind": "kind", "region": "region"}
    return next((claim for claim, member in members.items() if claims.get(claim) != version[member]), None)


def _decode_context(context: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**context, "salt": bytes.fromhex(context["salt"]), "session_id": UUID(context["session_id"])}


def _prepare_check(bundle: Mapping[str, Any], keys: Any) -> BundleCheck:
    """Add the bundle's own revoked keys to a given key set, which no longer publishes them.

    Their signatures only cause a warning. The signature of the bundle proves that these keys belong in it.
    """
    own: Any = bundle.get("keys")
    revoked = read_revocations(own)
    if keys is None or not isinstance(keys, dict) or not revoked:
        return BundleCheck(bundle, own if keys is None else keys, revoked | read_revocations(keys))
    revoked_keys = [jwk for jwk in own["keys"] if "revoked_at" in jwk]
    return BundleCheck(bundle, {**keys, "keys": [*keys.get("keys", ()), *revoked_keys]}, revoked | read_revocations(keys))


def check_bundle(bundle: Any, keys: Any = None) -> BundleReport:
    """Check the parsed content of a bundle's file. `keys`: a JWK set from a source more trusted than the bundle itself."""
    check = _prepare_check(bundle if isinstance(bundle, dict) else {}, keys)
    steps: Mapping[str, Callable[[], Faults]] = {
        "signature": check.check_signature,
        "texts": check.check_texts,
        "seals": check.check_seals,
        "receipts": check.check_receipts,
    }
    faults: list[tuple[str, str]] = []
    for name, step in steps.items():
        try:
            faults += step()
        except InvalidToken as error:
            faults.append((name, f"does not verify: {error}"))
        except (AttributeError, KeyError, TypeError, ValueError):
            faults.append((name, "cannot be read: the document is damaged or of another kind"))
    return _build_report(check, faults)


def _build_report(check: BundleCheck, faults: list[tuple[str, str]]) -> BundleReport:
    receipts = check.bundle.get("receipts")
    entries = [entry for entry in receipts if isinstance(entry, dict)] if isinstance(receipts, list) else []
    return BundleReport(
        user=str(check.bundle.get("user")),
        receipts=len(check.receipts),
        sealed=sum(entry.get("inclusion") is not None for entry in entries),
        texts=len(check.texts),
        contexts=sum(entry.get("context") is not None for entry in entries),
        keys=tuple(sorted(check.signers)),
        faults=tuple(faults),
        warnings=tuple(check.warnings),
    )
