"""Evidence of one end user: complete, verified offline, every altered byte found; legal hold, and erasure of the context."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from app.agreements.ledger import seals
from app.agreements.ledger.receipts import decode_claims
from app.agreements.models import AgreementEventContext
from app.agreements.verification import bundles
from app.cli.verify import VerificationFailed, verify_file
from app.events.models import Event
from app.security.signing import SigningKey, read_kid
from app.signing_keys import rotation
from tests.agreements import making
from tests.agreements.making import status_and_code
from tests.conftest import PreparedWorld
from tests.given import Given, Person
from tests.house.source import ROOT

Json = dict[str, Any]


async def _scene(given: Given) -> Person:
    """Create a user who declined, then accepted in Norwegian under another key, with an annotation. Two seals include all but that."""
    person = await given.strong()
    agreement = await making.create_in_force(given, "en", "nb")
    given.expect(await making.decide(given, person, await making.present(given, person, agreement), "decline"))
    await seals.seal_events(given.world)
    await rotation.rotate_keys(given.world, at_once=True)
    decision = await making.accept(given, person, agreement, locale="nb")
    await making.accept(given, await given.logged_in(), agreement)
    await seals.seal_events(given.world)
    await given.post(f"/v1/agreement-events/{decision['event']}/annotations", {"reason": "Ærlig talt: 好"})
    return person


@pytest.fixture
async def person(prepared: PreparedWorld) -> Person:
    return await prepared.restore("evidence", _scene)


async def _bundle(given: Given, person: Person) -> bytes:
    answer = await given.client.get(f"/v1/users/{person.id}/evidence", headers=given.root)
    given.expect(answer)
    return answer.content


def _faults(bundle: Any, keys: Any = None) -> list[tuple[str, str]]:
    return list(bundles.check_bundle(bundle, keys).faults)


async def test_the_bundle_is_complete(given: Given, person: Person) -> None:
    """Everything that the receipts name, in their order, with their proofs and all keys. Reading it is recorded."""
    bundle = json.loads(await _bundle(given, person))
    assert [read_kid(each["jws"]) for each in bundle["receipts"]] != [read_kid(bundle["signature"])] * 3
    assert [each["grade"] for each in bundle["receipts"]] == ["B", "A", None]
    assert [each["inclusion"] and each["inclusion"]["n"] for each in bundle["receipts"]] == [1, 2, None]
    assert [each["context"] is None for each in bundle["receipts"]] == [False, False, True]
    assert {each["locale"] for each in bundle["texts"]} == {"en", "nb"}
    assert [each["ordinal"] for each in bundle["versions"]] == [1]
    assert (len(bundle["seals"]), bundle["legal_hold"], bundle["user"]) == (2, False, person.id)
    async with given.world.db.query() as tx:
        event = (await tx.execute(select(Event).where(Event.type == "evidence.read"))).one()
    assert (event.user_id, event.actor_type, event.data) == (UUID(person.id), "operator", {"receipts": 3})


async def test_the_bundle_verifies_offline(given: Given, person: Person, tmp_path: Path) -> None:
    """By the command line only: no database, network or configuration, after keys were rotated, with or without a key set."""
    file, keys = tmp_path / "bundle.json", tmp_path / "jwks.json"
    file.write_bytes(await _bundle(given, person))
    keys.write_bytes((await given.client.get("/.well-known/jwks.json")).content)
    for more in ([], ["--jwks", str(keys)]):
        done = _run(tmp_path, "verify", str(file), *more)
        assert (done.returncode, done.stderr) == (0, "")
        report = json.loads(done.stdout)
        assert (report["genuine"], report["receipts"], report["sealed"], report["texts"], report["contexts"]) == (True, 3, 2, 2, 2)
        assert len(report["signed_by"]) == 2
    keys.write_text('{"keys": []}')
    done = _run(tmp_path, "verify", str(file), "--jwks", str(keys))
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 3


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run our command line in an empty folder, with an almost empty environment and an unreachable database."""
    environment = {"PYTHONPATH": str(ROOT), "LICENTIA_DATABASE_URL": "nonsense", "LICENTIA_ENV": "production"}
    command = [sys.executable, "-m", "app", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


async def test_every_altered_byte_is_found(given: Given, person: Person, tmp_path: Path) -> None:
    """Change any byte to any other. Unless the JSON still has the same value, verification fails."""
    raw = await _bundle(given, person)
    file = tmp_path / "bundle.json"
    original = json.loads(raw)
    assert _faults(original) == []

    @settings(max_examples=150, deadline=None, database=None, derandomize=True)
    @drawn(st.integers(0, len(raw) - 1), st.integers(1, 255))
    def flip(place: int, by: int) -> None:
        altered = raw[:place] + bytes([raw[place] ^ by]) + raw[place + 1 :]
        try:
            if json.loads(altered) == original:
                return
        except ValueError:
            pass
        file.write_bytes(altered)
        with pytest.raises(VerificationFailed):
            verify_file(file, None, None, given.clock.now)

    flip()


CHANGES: list[tuple[str, Any]] = [
    ("texts", lambda bundle: bundle["texts"][0].update(title="Other")),
    ("texts", lambda bundle: bundle["texts"][0].update(body="Other\n")),
    ("receipts", lambda bundle: bundle["receipts"].pop(0)),
    ("receipts", lambda bundle: bundle["receipts"].pop()),
    ("receipts", lambda bundle: bundle["receipts"].reverse()),
    ("receipts", lambda bundle: bundle["receipts"][0].update(grade="A")),
    ("receipts", lambda bundle: bundle["receipts"][0]["context"].update(ip="192.0.2.7")),
    ("receipts", lambda bundle: bundle["receipts"][0].update(inclusion=bundle["receipts"][1]["inclusion"])),
    ("receipts", lambda bundle: bundle["receipts"][1]["inclusion"].update(leaf=1)),
    ("versions", lambda bundle: bundle["versions"][0].update(ordinal=2)),
    ("versions", lambda bundle: bundle.update(versions=[])),
    ("seals", lambda bundle: bundle["seals"].reverse()),
    ("seals", lambda bundle: bundle.update(seals=[])),
    ("keys", lambda bundle: bundle["keys"]["keys"].pop()),
    ("process", lambda bundle: bundle.update(process="It was so.")),
    ("user", lambda bundle: bundle.update(user=str(UUID(int=1)))),
    ("format", lambda bundle: bundle.update(format="licentia-evidence/2")),
    ("signature", lambda bundle: bundle.pop("signature")),
    ("signature", lambda bundle: bundle.update(signature=bundle["receipts"][0]["jws"])),
]


@pytest.mark.parametrize(("part", "change"), CHANGES)
async def test_a_change_is_found(given: Given, person: Person, part: str, change: Any) -> None:
    """Any member that is changed, removed or moved; mostly by more than the signature over the whole."""
    bundle = json.loads(await _bundle(given, person))
    change(bundle)
    places = {place.split("/")[0] for place, _ in _faults(bundle)}
    assert "signature" in places or part in {"signature", "keys"}
    assert places


async def test_a_bundle_signed_with_foreign_keys_fails_with_our_keys(given: Given, person: Person) -> None:
    """A bundle that someone made with their own keys does not verify with ours."""
    bundle = json.loads(await _bundle(given, person))
    ours = bundle["keys"]
    stranger = SigningKey.generate()
    bundle["keys"] = {"keys": [stranger.public()]}
    assert {place for place, _ in _faults(bundle)} >= {"signature", "seals", "receipts"}
    assert {place for place, _ in _faults(bundle, ours)} == {"signature"}


@pytest.mark.parametrize("bundle", [None, [], {}, {"format": bundles.FORMAT}, {"receipts": 1, "texts": 2, "seals": 3, "keys": 4}])
def test_input_that_is_no_bundle_has_faults(bundle: Any) -> None:
    assert bundles.check_bundle(bundle).faults


def test_a_repeated_name_is_refused(tmp_path: Path) -> None:
    """Of two members with the same name, different readers use different ones."""
    file = tmp_path / "twice.json"
    file.write_text('{"user": 1, "user": 2}')
    with pytest.raises(VerificationFailed):
        verify_file(file, None, None, lambda: pytest.fail("the clock is not read"))


async def _contexts(given: Given) -> int:
    async with given.world.db.query() as tx:
        return int(await tx.scalar(select(func.count()).select_from(AgreementEventContext)) or 0)


async def test_r25_erasing_the_context_leaves_the_proof(given: Given, person: Person) -> None:
    """Agreements R25: IP address, user agent and session of this user are erased; chain, seals and bundle still verify."""
    path = f"/v1/users/{person.id}/evidence"
    assert await _contexts(given) == 3
    erased = await given.client.delete(f"{path}/context", headers=given.root)
    assert given.expect(erased) == {"erased": 2}
    assert await _contexts(given) == 1
    assert given.expect(await given.client.delete(f"{path}/context", headers=given.root)) == {"erased": 0}
    assert given.expect(await given.client.post("/v1/ledger/verify", json={}, headers=given.root))["valid"] is True
    bundle = json.loads(await _bundle(given, person))
    assert [each["context"] for each in bundle["receipts"]] == [None] * 3
    assert _faults(bundle) == []
    first = decode_claims(bundle["receipts"][0]["jws"])["jti"]
    event = await given.client.get(f"/v1/agreement-events/{first}", headers=given.root)
    assert given.expect(event)["context"] is None


async def test_p4_reading_a_context_is_recorded(given: Given) -> None:
    """P4: each read of an event with its context is recorded for the end user; without a context it is not."""
    agreement = await making.create_in_force(given)
    person = await given.logged_in()
    decision = await making.accept(given, person, agreement)
    path = f"/v1/agreement-events/{decision['event']}"
    assert given.expect(await given.client.get(path, headers=given.root))["context"] is not None
    given.expect(await given.client.delete(f"/v1/users/{person.id}/evidence/context", headers=given.root))
    assert given.expect(await given.client.get(path, headers=given.root))["context"] is None
    async with given.world.db.query() as tx:
        event = (await tx.execute(select(Event).where(Event.type == "evidence.context_read"))).one()
    assert (str(event.user_id), event.actor_type, event.data) == (person.id, "operator", {"event": decision["event"]})


async def test_r25_legal_hold_blocks_erasure(given: Given, person: Person) -> None:
    """Agreements R25: nothing is erased under a hold. Both calls may be repeated, and are recorded once."""
    path = f"/v1/users/{person.id}/evidence"
    for _ in range(2):
        response = await given.client.put(f"{path}/legal-hold", headers=given.root)
        assert given.expect(response) == {"user": person.id, "legal_hold": True}
    assert status_and_code(await given.client.delete(f"{path}/context", headers=given.root)) == (409, "legal_hold")
    assert await _contexts(given) == 3
    assert json.loads(await _bundle(given, person))["legal_hold"] is True
    for _ in range(2):
        released = await given.client.delete(f"{path}/legal-hold", headers=given.root)
        assert given.expect(released) == {"user": person.id, "legal_hold": False}
    assert given.expect(await given.client.delete(f"{path}/context", headers=given.root)) == {"erased": 2}
    async with given.world.db.query() as tx:
        types = (await tx.scalars(select(Event.type).where(Event.type.startswith("evidence.")).order_by(Event.id))).all()
    assert list(types) == ["evidence.held", "evidence.read", "evidence.released", "evidence.context_erased"]


async def test_scopes_and_unknown_users(given: Given) -> None:
    """Reading requires agreements:read, the rest agreements:write. An unknown user is a 404; a user without events has empty evidence."""
    reader, person = await given.operator("agreements:read"), await given.person()
    path, unknown = f"/v1/users/{person.id}/evidence", f"/v1/users/{UUID(int=1)}/evidence"
    for method, call in (("DELETE", "/context"), ("PUT", "/legal-hold"), ("DELETE", "/legal-hold")):
        assert status_and_code(await given.client.request(method, path + call, headers=reader)) == (403, "scope_missing")
        assert status_and_code(await given.client.request(method, unknown + call, headers=given.root)) == (404, "user_not_found")
    assert status_and_code(await given.client.get(unknown, headers=reader)) == (404, "user_not_found")
    empty = given.expect(await given.client.get(path, headers=reader))
    assert (empty["receipts"], _faults(empty)) == ([], [])
    assert given.expect(await given.client.put(f"{path}/legal-hold", headers=given.root))["legal_hold"] is True
