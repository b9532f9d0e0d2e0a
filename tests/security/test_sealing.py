"""Encryption of stored secrets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.base.entropy import Entropy
from app.security.sealing import LookupKey, Place, SealBroken, Sealer

OLD, NEW = bytes(range(32)), bytes(range(32, 64))
HERE = Place("factors", "secret_sealed", "row-1")


@given(st.binary(max_size=200))
def test_an_encrypted_secret_can_be_decrypted(secret: bytes) -> None:
    sealer = Sealer({"k1": OLD}, Entropy())
    assert sealer.open(sealer.seal(secret, HERE), HERE) == secret


def test_a_copy_in_another_row_column_or_table_cannot_be_decrypted() -> None:
    sealer = Sealer({"k1": OLD}, Entropy())
    sealed = sealer.seal(b"secret", HERE)
    for elsewhere in (
        Place("factors", "secret_sealed", "row-2"),
        Place("factors", "hash", "row-1"),
        Place("users", "secret_sealed", "row-1"),
    ):
        with pytest.raises(SealBroken):
            sealer.open(sealed, elsewhere)


def test_the_first_key_writes_and_all_keys_read() -> None:
    before = Sealer({"k1": OLD}, Entropy()).seal(b"secret", HERE)
    rotated = Sealer({"k2": NEW, "k1": OLD}, Entropy())
    assert rotated.open(before, HERE) == b"secret"
    assert rotated.seal(b"secret", HERE).startswith("k2:")
    with pytest.raises(SealBroken):
        Sealer({"k2": NEW}, Entropy()).open(before, HERE)


@pytest.mark.parametrize("damage", ["", "k1", "k1:", "k1:%%%", "k1:AAAA", "kx:AAAA"])
def test_what_was_never_sealed_does_not_open(damage: str) -> None:
    with pytest.raises(SealBroken):
        Sealer({"k1": OLD}, Entropy()).open(damage, HERE)


def test_two_seals_of_one_secret_differ() -> None:
    sealer = Sealer({"k1": OLD}, Entropy())
    assert sealer.seal(b"secret", HERE) != sealer.seal(b"secret", HERE)


def test_a_lookup_digest_depends_on_kind_and_key() -> None:
    digest = LookupKey(OLD).digest("license_key", "X")
    assert len({digest, LookupKey(OLD).digest("activation_code", "X"), LookupKey(NEW).digest("license_key", "X")}) == 3


def test_keys_never_show_in_a_repr() -> None:
    assert repr(OLD)[2:-1] not in repr(Sealer({"k1": OLD}, Entropy())) + repr(LookupKey(OLD))
