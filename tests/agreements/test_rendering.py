"""Markdown as HTML and as plain text: no active content comes out, and no word is lost."""

import re
from html.parser import HTMLParser
from string import printable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.agreements import rendering, rules

TAGS = {"article", "h1", "h2", "h3", "h4", "h5", "h6", "p", "br", "hr", "blockquote", "pre", "code", "em", "strong", "a"}
TAGS |= {"ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td"}
ATTRIBUTES = {"article": {"lang", "dir"}, "a": {"href", "title", "rel"}, "ol": {"start"}}


class Elements(HTMLParser):
    """Every element with its attributes, as a browser would see them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def assert_inert(html: str) -> None:
    for tag, attributes in Elements(html).found:
        assert tag in TAGS
        assert set(attributes) <= ATTRIBUTES.get(tag, set())
        scheme = re.match(r"\s*([a-zA-Z][a-zA-Z0-9+.-]*):", attributes.get("href") or "")
        assert scheme is None or scheme[1].lower() in {"http", "https", "mailto"}


HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "![picture](https://tracker.example/pixel.png)",
    "![picture](data:image/png;base64,AAAA)",
    "[click](javascript:alert(1))",
    "[click](JaVaScRiPt:alert(1))",
    "[click](java&#x0A;script:alert(1))",
    "[click](&#106;avascript:alert(1))",
    "[click](\u0001javascript:alert(1))",
    "[click](data:text/html;base64,PHNjcmlwdD4=)",
    "[click](data:image/png;base64,AAAA)",
    "[click](vbscript:msgbox)",
    "[click](file:///etc/passwd)",
    '[click](https://a.example "x\\" onmouseover=\\"alert(1)")',
    '[click](<https://a.example/\\" onclick=alert(1)>)',
    "<javascript:alert(1)>",
    "[ref]\n\n[ref]: javascript:alert(1)",
    "<a href='https://a.example' onclick='alert(1)'>x</a>",
    "<style>body { display: none }</style>",
    "<iframe src='https://a.example'></iframe>",
    "<form action='https://a.example'><input name=password></form>",
    "<svg/onload=alert(1)>",
    "<math><mi//xlink:href='data:x,<script>alert(1)</script>'>",
    "<!--><script>alert(1)</script>-->",
    "<![CDATA[<script>alert(1)</script>]]>",
    "`<script>alert(1)</script>`",
    '```html" onload=alert(1)\n<script>alert(1)</script>\n```',
    "| a |\n|:-:|\n| <script>alert(1)</script> |",
    "</article><script>alert(1)</script>",
]


@pytest.mark.parametrize("body", HOSTILE)
def test_r2_nothing_that_runs_or_loads(body: str) -> None:
    """Agreements R2: scripts, handlers, images, styles, frames, forms and other schemes become text or disappear."""
    html = rendering.render_html(f"Before.\n\n{body}\n\nAfter.\n", "en")
    assert_inert(html)
    assert "<p>Before.</p>" in html
    assert "After." in html


@given(st.text(st.sampled_from(printable + "<>[]()!`*_|\\&:\"'é漢"), max_size=120))
def test_r2_whatever_is_written(body: str) -> None:
    """Agreements R2: any text gives inert HTML inside one article, and the same result each time."""
    html = rendering.render_html(rules.normalise(body), "en")
    assert_inert(html)
    assert html.startswith('<article lang="en" dir="ltr">\n')
    assert html.endswith("</article>\n")
    assert html.count("<article") == html.count("</article>") == 1
    assert rendering.render_plain(rules.normalise(body)).endswith("\n")


def test_links_that_are_links() -> None:
    """Web and mail links are kept, with `noopener noreferrer`."""
    html = rendering.render_html("[site](https://a.example/?a=1&b=2 'Title') <mailto:legal@a.example>", "en")
    links = [attributes for tag, attributes in Elements(html).found if tag == "a"]
    assert [link["href"] for link in links] == ["https://a.example/?a=1&b=2", "mailto:legal@a.example"]
    assert {link["rel"] for link in links} == {"noopener noreferrer"}
    assert links[0]["title"] == "Title"


MARKUP = """# Terms & *Conditions*

1. First,
   on two lines
2. Second
   - inner [site](https://a.example)

> quoted **words**

| Plan | Seats |
|------|-------|
| One  | 1     |

    code <b>

<https://a.example>
"""
PLAIN = """Terms & Conditions

1. First,
   on two lines

2. Second

   - inner site (https://a.example)

> quoted words

Plan | Seats

One | 1

code <b>

https://a.example
"""


def test_plain_text() -> None:
    """List marks, quotations, cells, and addresses after their links."""
    assert rendering.render_plain(MARKUP) == PLAIN


def test_the_same_words_in_every_form() -> None:
    """Every word of the source is in every format."""
    html = rendering.render_html(MARKUP, "en")
    for word in re.findall(r"[A-Za-z]+", PLAIN):
        assert word in html


@pytest.mark.parametrize(
    ("locale", "direction"),
    [
        ("en", "ltr"),
        ("ar", "rtl"),
        ("ar-EG", "rtl"),
        ("he-IL", "rtl"),
        ("fa", "rtl"),
        ("ur-PK", "rtl"),
        ("zh-Hant", "ltr"),
        ("ru", "ltr"),
        ("az", "ltr"),
        ("az-Arab", "rtl"),
        ("ar-Latn", "ltr"),
        ("pa-Arab-PK", "rtl"),
        ("uz-Cyrl", "ltr"),
        ("yi", "rtl"),
    ],
)
def test_direction(locale: str, direction: str) -> None:
    """By the script in the tag, or else the language's usual one; the article has both attributes."""
    assert rendering.find_direction(locale) == direction
    assert f'<article lang="{locale}" dir="{direction}">' in rendering.render_html("x", locale)


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        ("\n".join("   " * depth + f"1. level {depth}" for depth in range(25)), []),
        ("\n".join("   " * depth + "1. item" for depth in range(40)) + " kidney", [40]),
        ("> " * 70 + "kidney", [1]),
        ("| a | b |\n|---|---|\n| 1 | 2 | kidney |", [3]),
        ('[here][a]\n\n[a]: https://example.com/Terms "kidney"', [3]),
        ('[here](https://example.com "kidney")', [1]),
        ("```kidney\nfoo\n```", [1]),
        ("[here][a] *so* `code` &amp; &nbsp; ~~x~~ <b>y</b>\n\n[a]: https://example.com/Terms\n\nTitle\n=====\n\n1) one\n2) two", []),
        ("# Avtale\n\nBruk det på enhetene dine. 使用条款 شروط e\u0301", []),
    ],
)
def test_r2_words_that_a_form_would_leave_out_are_found(body: str, lines: list[int]) -> None:
    """Agreements R2, R14: an end user who sees HTML or plain text accepts the whole source, so no word may be hidden."""
    assert rendering.find_lost_lines(body) == lines
    if not lines:
        assert "level 24" in rendering.render_html(body, "en") or "level" not in body
