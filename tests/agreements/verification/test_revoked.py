"""What a leaked and revoked key signed: still distinguished from forgeries, and never without a warning."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.agreements.ledger import seals
from app.agreements.ledger.proofs import BUNDLE
from app.agreements.ledger.receipts import decode_claims
from app.agreements.verification import bundles
from app.cli.verify import VerificationFailed, verify_file
from app.security.signing import read_kid
from app.signing_keys import rotation
from app.signing_keys.service import load_signer
from tests.agreements import making
from tests.given import Given, Person

Json = dict[str, Any]


async def _signed_by_a_leaked_key(given: Given, *, sealed_before: bool) -> tuple[Person, Json]:
    """Create an acceptance whose key was revoked later, sealed by that key or not at all."""
    person = await given.logged_in()
    decision = await making.accept(given, person, await making.create_in_force(given))
    if sealed_before:
        await seals.seal_events(given.world)
    await rotation.rotate_keys(given.world, at_once=True)
    await rotation.revoke_key(given.world, str(read_kid(decision["receipt"]["jws"])))
    return person, decision


async def _verdict(given: Given, receipt: str) -> Json:
    return given.expect(await given.client.post("/v1/receipts/verify", json={"receipt": receipt}))


async def _bundle(given: Given, person: Person) -> Json:
    return given.expect(await given.client.get(f"/v1/users/{person.id}/evidence", headers=given.root))


async def test_a_verdict_says_what_vouches_for_a_receipt_by_a_revoked_key(given: Given) -> None:
    """First only the ledger, then a seal by another key. A receipt with nothing but the leaked key's signature is refused."""
    _, decision = await _signed_by_a_leaked_key(given, sealed_before=False)
    jws, revoked_at = decision["receipt"]["jws"], making.days_from_now(given, 0)
    first = await _verdict(given, jws)
    (warning,) = first["warnings"]
    assert (first["valid"], first["code"]) == (True, "ok")
    assert (warning["code"], warning["vouched_by"], warning["revoked_at"]) == ("signing_key_revoked", "ledger", revoked_at)
    await seals.seal_events(given.world)
    (warning,) = (await _verdict(given, jws))["warnings"]
    assert (warning["vouched_by"], warning["seal"], warning["sealed_at"]) == ("seal", 1, making.days_from_now(given, 0))
    keys = await load_signer(given.world)
    leaked = keys.known[str(read_kid(jws))]
    forged = type(keys)(leaked, keys.known).sign("acceptance-receipt+jwt", {**decode_claims(jws), "client": "forged"})
    verdict = await _verdict(given, forged)
    assert (verdict["valid"], verdict["code"], verdict["warnings"][0]["vouched_by"]) == (False, "receipt_not_in_ledger", "nothing")


async def test_a_seal_by_the_same_key_vouches_for_nothing_until_another_follows(given: Given) -> None:
    _, decision = await _signed_by_a_leaked_key(given, sealed_before=True)
    assert (await _verdict(given, decision["receipt"]["jws"]))["warnings"][0]["vouched_by"] == "ledger"
    await making.accept(given, await given.logged_in(), await making.create_in_force(given))
    await seals.seal_events(given.world)
    (warning,) = (await _verdict(given, decision["receipt"]["jws"]))["warnings"]
    assert (warning["vouched_by"], warning["seal"]) == ("seal", 2)
    ledger = given.expect(await given.client.post("/v1/ledger/verify", json={}, headers=given.root))
    assert ledger["valid"] is True


@pytest.mark.parametrize("sealed_before", [True, False])
@pytest.mark.parametrize("published", [True, False])
async def test_a_bundle_made_after_a_revocation_verifies_and_warns(
    given: Given, tmp_path: Path, published: bool, sealed_before: bool
) -> None:
    """With the bundle's own keys, and with the published set, which lacks the leaked key."""
    person, _ = await _signed_by_a_leaked_key(given, sealed_before=sealed_before)
    await seals.seal_events(given.world)
    jwks = (await given.client.get("/.well-known/jwks.json")).json()
    bundle = await _bundle(given, person)
    assert [("revoked_at" in key) for key in bundle["keys"]["keys"]] == [False, False, True]
    assert not any("revoked_at" in key for key in jwks["keys"])
    file, keys = tmp_path / "bundle.json", tmp_path / "jwks.json"
    file.write_text(json.dumps(bundle))
    keys.write_text(json.dumps(jwks))
    report = verify_file(file, keys if published else None, None, given.clock.now)
    places = {line.split(":")[0] for line in report["warnings"]}
    assert (report["genuine"], places) == (True, {"receipts/0", "seals/0"} if sealed_before else {"receipts/0"})
    file.write_text(bundle["receipts"][0]["jws"])
    keys.write_text(json.dumps(bundle["keys"]))
    with pytest.raises(VerificationFailed, match="revoked"):
        verify_file(file, keys, None, given.clock.now)


async def test_a_bundle_signed_by_a_revoked_key_is_a_forgery(given: Given) -> None:
    """Even if the bundle contains that key and marks another one as revoked."""
    person, decision = await _signed_by_a_leaked_key(given, sealed_before=False)
    bundle = await _bundle(given, person)
    keys = await load_signer(given.world)
    leaked = keys.known[str(read_kid(decision["receipt"]["jws"]))]
    claims = {**decode_claims(bundle["signature"]), "sha256": bundles.digest_bundle(bundle)}
    forged = {**bundle, "signature": type(keys)(leaked, keys.known).sign(BUNDLE, claims)}
    assert [place for place, _ in bundles.check_bundle(forged).faults] == ["signature"]
    jwks = (await given.client.get("/.well-known/jwks.json")).json()
    assert [place for place, _ in bundles.check_bundle(forged, jwks).faults] == ["signature"]
    assert bundles.check_bundle(bundle, jwks).faults == ()
