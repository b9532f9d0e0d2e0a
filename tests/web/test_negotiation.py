"""RFC 9110 section 12.5.1: which form is answered, by weight and by the narrowest range, and when there is none."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.web.negotiation import choose_form, matches_etag
from app.web.problems import NotAcceptable

MD, HTML, PLAIN = FORMS = ("text/markdown", "text/html", "text/plain")


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        (None, MD),
        ("", MD),
        (" , ,", MD),
        ("*/*", MD),
        ("text/*", MD),
        ("text/html", HTML),
        ("TEXT/Plain", PLAIN),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", HTML),
        ("text/html;q=0.5, text/plain;q=0.6", PLAIN),
        ("text/plain, text/html", HTML),
        ("text/markdown;q=0, */*", HTML),
        ("text/*;q=0.1, text/plain;q=0.2, application/json", PLAIN),
        ("*/*;q=0.9, text/html;q=0.2, text/markdown;q=0", PLAIN),
        ("text/html ; Q=1.000 ,text/plain;q=0.999", HTML),
        ("text/plain;charset=utf-8", PLAIN),
        ('text/plain;charset="UTF-8";q=0.3, text/html;q=0.2', PLAIN),
        ("text/html, text/html;level=1;q=0", HTML),
        ('application/x;a="b, text/html", text/plain', PLAIN),
        ("html", MD),
        ("*/html, text/plain", PLAIN),
        ("text/html;q=2, text/plain;q=0.1", PLAIN),
    ],
)
def test_the_form_with_the_most_weight(accept: str | None, form: str) -> None:
    """What is not readable is skipped; of equals the first that is offered."""
    assert choose_form(accept, FORMS) == form


@pytest.mark.parametrize(
    "accept",
    ["application/json", "text/*;q=0", "*/*;q=0.0", "text/markdown;variant=GFM", "text/plain;charset=iso-8859-1", "image/*, text/html;q=0"],
)
def test_a_header_that_accepts_no_form_is_refused(accept: str) -> None:
    """The problem lists what is available."""
    with pytest.raises(NotAcceptable) as refused:
        choose_form(accept, FORMS)
    assert refused.value.facts == {"available": list(FORMS)}


@given(st.text(st.sampled_from('text/html*plain;q=0.15," \t\\a'), max_size=80))
def test_any_header_gets_an_answer(accept: str) -> None:
    """One of the forms or the one refusal, whatever is sent."""
    with suppress(NotAcceptable):
        assert choose_form(accept, FORMS) in FORMS


def test_a_tag_that_is_had() -> None:
    """RFC 9110 section 13.1.2: weak comparison, lists, `*`."""
    assert matches_etag('"a"', '"a"')
    assert matches_etag('W/"a"', '"a"')
    assert matches_etag('"b", W/"a"', '"a"')
    assert matches_etag("*", '"a"')
    assert not matches_etag("a", '"a"')
    assert not matches_etag(None, '"a"')
