"""The form of keys and codes (rules/licensing "Key format", licensing R49, R53)."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.base.base32 import ALPHABET
from app.base.entropy import Entropy
from app.licenses import keys
from app.security.sealing import LookupKey

LOOKUP = LookupKey(bytes(range(32)))
SIGNS = st.text(ALPHABET, min_size=24, max_size=24)


def test_a_key_looks_as_promised() -> None:
    minted = keys.generate_key(Entropy(), LOOKUP, keys.derive_key_prefix("studio-2"))
    assert re.fullmatch(r"STUDIO2(-[0-9A-HJKMNP-TV-Z]{5}){5}", minted.text)
    assert minted.last4 == minted.text[-4:]
    assert keys.digest_key(LOOKUP, minted.text) == minted.digest


def test_a_code_looks_as_promised() -> None:
    minted = keys.generate_code(Entropy(), LOOKUP)
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{4}(-[0-9A-HJKMNP-TV-Z]{4}){2}", minted.text)
    assert keys.digest_code(LOOKUP, minted.text) == minted.digest


@given(SIGNS, st.sampled_from(["{}", " {} ", "studio-{}", "STUDIO {}", "ab\u2013{}"]))
def test_reading_forgives_case_spaces_dashes_and_look_alikes(signs: str, shape: str) -> None:
    whole = signs + keys.compute_check_character(signs)
    typed = "-".join(whole[i : i + 5] for i in range(0, 25, 5)).lower().replace("0", "o").replace("1", "l")
    assert keys.parse_secret(shape.format(typed), keys.KEY_LENGTH) == whole


@given(SIGNS, st.integers(0, 24), st.sampled_from(ALPHABET))
def test_one_wrong_sign_is_always_seen(signs: str, place: int, wrong: str) -> None:
    whole = signs + keys.compute_check_character(signs)
    typo = whole[:place] + wrong + whole[place + 1 :]
    assert (keys.parse_secret(typo, keys.KEY_LENGTH) is None) == (typo != whole)


@given(SIGNS, st.integers(0, 23))
def test_a_swap_of_neighbours_is_seen_but_for_the_one_that_luhn_lets_pass(signs: str, place: int) -> None:
    whole = signs + keys.compute_check_character(signs)
    pair = whole[place : place + 2]
    swapped = whole[:place] + pair[::-1] + whole[place + 2 :]
    if pair[0] != pair[1] and set(pair) != {"0", "Z"}:
        assert keys.parse_secret(swapped, keys.KEY_LENGTH) is None


@pytest.mark.parametrize("text", ["", "-", "STUDIO", "U" * 25, "ｓ" * 25, "0" * 26, "ключ", "0" * 24, "\ud800" * 25, "X" * 5000])
def test_what_cannot_be_a_key_has_a_digest_that_finds_nothing(text: str) -> None:
    assert keys.parse_secret(text, keys.KEY_LENGTH) is None or text == "0" * 26
    assert len(keys.digest_key(LOOKUP, text)) == 32


def test_a_code_is_not_read_as_a_key_nor_a_key_as_a_code() -> None:
    key = keys.generate_key(Entropy(), LOOKUP, "KEY").text
    code = keys.generate_code(Entropy(), LOOKUP).text
    assert keys.parse_secret(code, keys.KEY_LENGTH) is None
    assert keys.parse_secret(key, keys.CODE_LENGTH) is None
