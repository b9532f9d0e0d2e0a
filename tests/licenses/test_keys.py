"""The format of keys and codes (licensing R49, R53)."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.base.base32 import ALPHABET
from app.base.entropy import Entropy
from app.licenses import keys
from app.security.sealing import LookupKey

LOOKUP = LookupKey(bytes(range(32)))
CHARACTERS = st.text(ALPHABET, min_size=24, max_size=24)


def test_a_key_has_the_documented_format() -> None:
    key = keys.generate_key(Entropy(), LOOKUP, keys.derive_key_prefix("studio-2"))
    assert re.fullmatch(r"STUDIO2(-[0-9A-HJKMNP-TV-Z]{5}){5}", key.text)
    assert key.last4 == key.text[-4:]
    assert keys.digest_key(LOOKUP, key.text) == key.digest


def test_a_code_has_the_documented_format() -> None:
    code = keys.generate_code(Entropy(), LOOKUP)
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{4}(-[0-9A-HJKMNP-TV-Z]{4}){2}", code.text)
    assert keys.digest_code(LOOKUP, code.text) == code.digest


@given(CHARACTERS, st.sampled_from(["{}", " {} ", "studio-{}", "STUDIO {}", "ab\u2013{}"]))
def test_reading_ignores_case_spaces_dashes_and_look_alikes(characters: str, template: str) -> None:
    complete = characters + keys.compute_check_character(characters)
    typed = "-".join(complete[i : i + 5] for i in range(0, 25, 5)).lower().replace("0", "o").replace("1", "l")
    assert keys.parse_secret(template.format(typed), keys.KEY_LENGTH) == complete


@given(CHARACTERS, st.integers(0, 24), st.sampled_from(ALPHABET))
def test_one_wrong_character_is_always_detected(characters: str, place: int, wrong: str) -> None:
    complete = characters + keys.compute_check_character(characters)
    typo = complete[:place] + wrong + complete[place + 1 :]
    assert (keys.parse_secret(typo, keys.KEY_LENGTH) is None) == (typo != complete)


@given(CHARACTERS, st.integers(0, 23))
def test_a_swap_of_neighbours_is_detected_except_for_0_and_z(characters: str, place: int) -> None:
    complete = characters + keys.compute_check_character(characters)
    pair = complete[place : place + 2]
    swapped = complete[:place] + pair[::-1] + complete[place + 2 :]
    if pair[0] != pair[1] and set(pair) != {"0", "Z"}:
        assert keys.parse_secret(swapped, keys.KEY_LENGTH) is None


@pytest.mark.parametrize("text", ["", "-", "STUDIO", "U" * 25, "ｓ" * 25, "0" * 26, "ключ", "0" * 24, "\ud800" * 25, "X" * 5000])
def test_a_malformed_key_has_a_digest_that_matches_nothing(text: str) -> None:
    assert keys.parse_secret(text, keys.KEY_LENGTH) is None or text == "0" * 26
    assert len(keys.digest_key(LOOKUP, text)) == 32


def test_keys_and_codes_are_not_confused() -> None:
    key = keys.generate_key(Entropy(), LOOKUP, "KEY").text
    code = keys.generate_code(Entropy(), LOOKUP).text
    assert keys.parse_secret(code, keys.KEY_LENGTH) is None
    assert keys.parse_secret(key, keys.CODE_LENGTH) is None
