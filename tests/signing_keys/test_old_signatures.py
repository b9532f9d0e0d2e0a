"""Signatures verify permanently, after any number of rotations, unless the key leaked (authentication R63)."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.cli.verify import VerificationFailed, verify_file
from app.signing_keys import rotation
from tests.agreements import making
from tests.given import Given

TWELVE_YEARS = timedelta(days=4383)


async def signed(given: Given) -> dict[str, str]:
    """Return a receipt, an offline file, a grant and an evidence bundle, signed by the active key."""
    person, agreement = await given.logged_in(), await making.create_in_force(given)
    await making.accept(given, person, agreement)
    (receipt,) = given.expect(await given.client.get("/v1/me/receipts", headers=person.auth))["data"]
    license_ = await given.license(await given.policy({"code": agreement["product"]}, seat_by="device", max_seats=1))
    await given.activation(license_)
    holder: dict[str, Any] = {"license_key": license_["key"], "device": {"fingerprint": "laptop"}}
    granted = await given.access(agreement["product"], person, **holder)
    offline = await given.client.post("/v1/offline-files", json={**holder, "ttl": "P1Y"})
    evidence = await given.client.get(f"/v1/users/{person.id}/evidence", headers=given.root)
    return {"receipt": receipt["jws"], "grant": granted["grant"], "offline": offline.text, "evidence": evidence.text}


async def test_r63_old_signatures_verify_after_any_number_of_rotations(given: Given, tmp_path: Path) -> None:
    """By the service, and offline by the command with the current key set."""
    old = await signed(given)
    for _ in range(3):
        await rotation.rotate_keys(given.world, at_once=True)
    jwks = tmp_path / "jwks.json"

    async def judged(name: str) -> dict[str, Any]:
        jwks.write_text((await given.client.get("/.well-known/jwks.json")).text, encoding="utf-8")
        file = tmp_path / name
        file.write_text(old[name], encoding="utf-8")
        return verify_file(file, jwks, None, given.clock.now)

    assert {name: (await judged(name))["genuine"] for name in old} == dict.fromkeys(old, True)
    given.clock.moment += TWELVE_YEARS
    for _ in range(3):
        await rotation.rotate_keys(given.world)
        given.clock.forward(days=1)
    assert given.expect(await given.client.post("/v1/receipts/verify", json={"receipt": old["receipt"]}))["code"] == "ok"
    assert given.expect(await given.client.post("/v1/ledger/verify", json={}, headers=given.root))["valid"] is True
    for name in ("receipt", "evidence"):
        assert (await judged(name))["genuine"] is True
    with pytest.raises(VerificationFailed, match="expired"):
        await judged("offline")
    states = [row.state for row in await rotation.list_keys(given.world)]
    assert (states.count("active"), states.count("next"), states.count("retired")) == (1, 1, len(states) - 2)
    assert len(json.loads(jwks.read_text())["keys"]) == len(states)
