"""The choice of a language as a pure function."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.base.languages import LanguageChoice, choose_language, covers_language, order_preferences

TEXTS = ("en", "nb", "ru", "zh-Hans")


@pytest.mark.parametrize(
    ("preference", "served", "fallback"),
    [
        ("en", "en", "none"),
        ("EN", "en", "none"),
        ("en-GB", "en", "language"),
        ("nb", "nb", "none"),
        ("no", "nb", "none"),
        ("no-NO", "nb", "language"),
        ("nn", "en", "default"),
        ("ru-Cyrl-RU", "ru", "language"),
        ("zh", "zh-Hans", "none"),
        ("zh-CN", "zh-Hans", "language"),
        ("zh-SG", "zh-Hans", "language"),
        ("zh-Hans-CN", "zh-Hans", "language"),
        ("zh-Hant", "en", "default"),
        ("zh-TW", "en", "default"),
        ("zh-HK", "en", "default"),
        ("zh-Hant-CN", "en", "default"),
        ("zh-Latn", "en", "default"),
        ("fr", "en", "default"),
    ],
)
def test_one_preference(preference: str, served: str, fallback: str) -> None:
    """Exact tag, then without subtags from the right, never into another script; then the default."""
    assert choose_language(TEXTS, [preference], ["en"]) == LanguageChoice(preference, served, fallback)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("texts", "preference", "served", "fallback"),
    [
        (("en", "no"), "nb", "no", "none"),
        (("en", "no", "nb"), "no", "no", "none"),
        (("en", "nb", "no"), "no", "no", "none"),
        (("en", "zh-CN"), "zh", "zh-CN", "language"),
        (("en", "zh-CN"), "zh-SG", "zh-CN", "language"),
        (("en", "zh-TW"), "zh-HK", "zh-TW", "language"),
        (("en", "zh-TW"), "zh-CN", "en", "default"),
        (("en", "zh-TW", "zh-HK"), "zh-HK", "zh-HK", "none"),
        (("en", "zh"), "zh-Hans-CN", "zh", "language"),
        (("en", "de", "de-AT"), "de-AT", "de-AT", "none"),
        (("en", "de-AT"), "de", "en", "default"),
        (("en", "sr"), "sr-Latn", "en", "default"),
        (("en", "de"), "de-AT-1996", "de", "language"),
        (("en", "de"), "de-x-dialect", "de", "language"),
    ],
)
def test_other_texts(texts: tuple[str, ...], preference: str, served: str, fallback: str) -> None:
    """`no` and `nb` are the same; Chinese is distinguished by script, even if the tag only has a region."""
    assert choose_language(texts, [preference], ["en"]) == LanguageChoice(preference, served, fallback)  # type: ignore[arg-type]


def test_preferences_are_tried_in_order() -> None:
    """Parameter, profile, header by weight; a match of a later preference is the fallback `language`, not `default`."""
    assert order_preferences("fr", "ru", "de;q=0.5, en;q=0.9") == ("fr", "ru", "en", "de")
    assert choose_language(TEXTS, ("fr", "ru", "en"), ["en"]) == LanguageChoice("fr", "ru", "language")


def test_defaults_are_tried_in_order() -> None:
    """The product's default, then the document's; without preferences `requested` is None."""
    assert choose_language(TEXTS, (), ["ru", "en"]) == LanguageChoice(None, "ru", "default")
    assert choose_language(TEXTS, ["fr"], ["de", "en"]) == LanguageChoice("fr", "en", "default")
    with pytest.raises(LookupError):
        choose_language(TEXTS, ["fr"], ["de"])


@pytest.mark.parametrize(
    ("header", "preferences"),
    [
        ("", ()),
        ("*", ()),
        ("de", ("de",)),
        ("de;q=0.3,en;q=0.8,fr", ("fr", "en", "de")),
        ("de ; q=0.3 ,\ten", ("en", "de")),
        ("de;q=0, en;q=0.000, fr;q=0.001", ("fr",)),
        ("de;q=2, en;q=-1, f_r, ;q=1, ru;q=x, nb", ("nb",)),
        ("de;Q=1.000", ("de",)),
        (",".join(f"x{letter}" for letter in "abcdefghijklm"), tuple(f"x{letter}" for letter in "abcdefghij")),
        ("a" * 9 + ", " + "-".join(["abcdefgh"] * 5), ()),
    ],
)
def test_malformed_parts_of_the_header_are_skipped(header: str, preferences: tuple[str, ...]) -> None:
    """At most ten ranges, heaviest first and otherwise as written; what is malformed or refused is skipped."""
    assert order_preferences(None, None, header) == preferences


@pytest.mark.parametrize(
    ("wanted", "language", "expected"),
    [
        (["fr"], "fr", True), (["fr"], "fr-CA", True), (["fr-CA"], "fr", False), (["de", "fr"], "FR-ca", True), ([], "fr", False),
        (["nb"], "no", True), (["nn"], "no", False), (["zh"], "zh-CN", True), (["zh"], "zh-TW", False), (["zh-Hant"], "zh-HK", True),
        (["zh-Hant-HK"], "zh-TW", False), (["sr"], "sr-Latn", False), (["de-Latn"], "de-AT", True),
    ],
)  # fmt: skip
def test_a_demanded_language_is_met_by_its_narrower_forms(wanted: list[str], language: str, expected: bool) -> None:
    """A wider form is not enough, and no other script is."""
    assert covers_language(wanted, language) is expected


@given(st.text(max_size=300))
def test_any_header_is_accepted(header: str) -> None:
    assert len(order_preferences(None, None, header)) <= 10


@given(
    st.lists(st.sampled_from(["zh", "zh-CN", "zh-Hans", "zh-Hans-SG"]), unique=True, max_size=3),
    st.sampled_from(["zh-TW", "zh-HK", "zh-MO", "zh-Hant", "zh-Hant-TW"]),
)
def test_scripts_are_never_crossed(simplified: list[str], preference: str) -> None:
    """A reader of traditional Chinese never gets simplified Chinese, nor the reverse."""
    assert choose_language(["en", *simplified], [preference], ["en"]).served == "en"
    for other in simplified:
        assert choose_language(["en", "zh-Hant", "zh-TW"], [other], ["en"]).served == "en"
