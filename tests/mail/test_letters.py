"""Text and headers of every letter in every language; no input can forge a header or a line."""

import json
from datetime import UTC, datetime
from email import message_from_bytes
from email.headerregistry import Address
from email.policy import default
from string import Template as Words
from typing import Any

import pytest

from app.config.smtp_url import parse_sender
from app.mail import letters
from app.mail.letters import FOLDER, Letter, Unfit, compose_message, load_template, load_vocabulary, render_letter
from app.mail.models import Template
from app.mail.rules import DEFAULT_LANGUAGE, FACTS, LANGUAGES, choose_letter_language, to_plain_line

AT = datetime(2026, 3, 9, 7, 5, tzinfo=UTC)
SENDER = Address("Licentia", addr_spec="no-reply@licentia.example")
SAMPLE: dict[str, Any] = {
    "token": "vfy_abc",
    "expires": "2026-03-09T07:05:00.000Z",
    "when": "2026-03-09T07:05:00.000Z",
    "kind": "totp",
    "left": 3,
    "ip": "203.0.113.9",
    "agent": "Studio/2.1",
    "address": "new@example.com",
}
each_language = pytest.mark.parametrize("tag", LANGUAGES)
each_letter = pytest.mark.parametrize("template", Template)


def letter(template: Template, tag: str = "en", pages: str | None = None, **facts: Any) -> Letter:
    values = {name: SAMPLE[name] for name in FACTS[template]} | facts
    return render_letter(template, tag, values, service="Studio", pages=pages)


def placeholders(text: str) -> set[str]:
    return set(Words(text).get_identifiers())


@each_language
@each_letter
def test_every_letter_is_there_in_every_language_with_the_same_facts(tag: str, template: Template) -> None:
    subject, paragraphs = load_template(tag, template)
    used = placeholders("\n".join(paragraphs))
    facts = (used - {"service", "proof"}) | ({"token"} if letters.PROOF in paragraphs else set())
    assert facts == FACTS[template]
    assert placeholders(subject) == placeholders(load_template(DEFAULT_LANGUAGE, template)[0]) == {"service"}
    assert len(paragraphs) == len(load_template(DEFAULT_LANGUAGE, template)[1])


@each_language
def test_a_language_has_all_its_words(tag: str) -> None:
    words, reference = load_vocabulary(tag), load_vocabulary(DEFAULT_LANGUAGE)
    assert set(words) == set(reference)
    assert set(words["kinds"]) == set(reference["kinds"])
    assert len(words["months"]) == 12
    assert placeholders(words["moment"]) == {"day", "month", "year", "time"}


def test_there_are_no_unused_template_files() -> None:
    """Every file belongs to a template."""
    wanted = {f"{tag}/{template}.txt" for tag in LANGUAGES for template in Template} | {f"{tag}/words.json" for tag in LANGUAGES}
    assert {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.*")} == wanted | {"frame.html"}


@each_language
@each_letter
def test_every_letter_can_be_rendered(tag: str, template: Template) -> None:
    rendered = letter(template, tag)
    assert "$" not in rendered.subject + rendered.text + rendered.html
    assert f'<html lang="{tag}">' in rendered.html
    assert "\n" not in rendered.subject


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        ("en", "9 March 2026, 07:05 UTC"),
        ("nb", "9. mars 2026 kl. 07:05 UTC"),
        ("ru", "9 марта 2026 г., 07:05 UTC"),
        ("zh-Hans", "2026年3月9日 07:05（UTC）"),
    ],
)
def test_a_time_is_formatted_as_in_the_language(tag: str, text: str) -> None:
    assert text in letter(Template.PASSWORD_CHANGED, tag).text


@pytest.mark.parametrize(
    ("locale", "tag"),
    [
        (None, "en"),
        ("", "en"),
        ("en-GB", "en"),
        ("nb", "nb"),
        ("no-NO", "nb"),
        ("nn-NO", "nb"),
        ("NB-no", "nb"),
        ("ru-RU", "ru"),
        ("ru-Latn", "en"),
        ("zh", "zh-Hans"),
        ("zh-CN", "zh-Hans"),
        ("zh-Hans-SG", "zh-Hans"),
        ("zh-Hant", "en"),
        ("zh-TW", "en"),
        ("zh-Hans-TW", "zh-Hans"),
        ("de-DE", "en"),
        ("sr-Cyrl", "en"),
    ],
)
def test_a_locale_falls_back_but_never_to_another_script(locale: str | None, tag: str) -> None:
    assert choose_letter_language(locale) == tag


def test_a_link_keeps_its_token_behind_the_hash() -> None:
    """Authentication R70: what is behind the `#` is not sent to the server of the page, so it is in none of its logs."""
    rendered = letter(Template.RESET_PASSWORD, pages="https://studio.example/account")
    assert "https://studio.example/account/reset-password#token=vfy_abc" in rendered.text.splitlines()
    assert '<a href="https://studio.example/account/reset-password#token=vfy_abc">' in rendered.html


def test_without_pages_the_token_stands_on_a_line_of_its_own() -> None:
    rendered = letter(Template.VERIFY_EMAIL)
    assert "vfy_abc" in rendered.text.splitlines()
    assert "<code>vfy_abc</code>" in rendered.html
    assert "href" not in rendered.html


def test_facts_are_escaped_in_html_and_stay_on_their_line() -> None:
    agent = '<script>alert("1")</script>\r\nFrom: $token ${x}\u202eevil'
    rendered = letter(Template.NEW_LOGIN, agent=agent)
    assert "<script>" not in rendered.html
    assert "&lt;script&gt;" in rendered.html
    assert 'With: <script>alert("1")</script> From: $token ${x}evil' in rendered.text.splitlines()


def test_a_missing_fact_is_named_unknown() -> None:
    assert "From: unknown" in letter(Template.NEW_LOGIN, ip=None).text


@pytest.mark.parametrize("text", ["a\r\nb", "a\u2028b", "a\0b", "a\x1b[31mb", " a   b "])
def test_plain_text_is_one_line(text: str) -> None:
    assert to_plain_line(text).isprintable()
    assert "\n" not in to_plain_line(text)


def test_plain_text_has_a_maximum_length() -> None:
    assert len(to_plain_line("x" * 10_000)) == 200


def reread(**more: Any) -> Any:
    """Compose a message and parse it as a mail reader does."""
    facts: dict[str, Any] = {"sender": SENDER, "to": "ola@example.com", "name": None, "message_id": "m1", "now": AT}
    message = compose_message(letter(Template.VERIFY_EMAIL, "ru"), **(facts | more))
    return message_from_bytes(message.as_bytes(), policy=default)


def test_headers_say_who_when_and_that_it_is_a_machine() -> None:
    message = reread()
    assert message["From"] == "Licentia <no-reply@licentia.example>"
    assert message["Message-ID"] == "<m1@licentia.example>"
    assert message["Date"].datetime == AT
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Content-Language"] == "ru"
    assert message["Subject"] == "Подтвердите адрес электронной почты для Studio"
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert {part.get_content_charset() for part in message.iter_parts()} == {"utf-8"}


@pytest.mark.parametrize("name", ["Иван Петров", "李小龍", "Åse Ødegård", 'Ola "the" Nordmann, jr.'])
def test_a_name_survives_the_header(name: str) -> None:
    (to,) = reread(name=name)["To"].addresses
    assert (to.display_name, to.addr_spec) == (name, "ola@example.com")


@pytest.mark.parametrize("name", ["Ola\r\nBcc: thief@example.com", "Ola\nX-Evil: 1", "Ola\u2028Bcc: x@example.com"])
def test_a_name_cannot_add_a_header(name: str) -> None:
    message = reread(name=name)
    assert message["Bcc"] is None
    assert message["X-Evil"] is None
    assert len(message["To"].addresses) == 1


@pytest.mark.parametrize(
    "to", ["ola@example.com\r\nBcc: thief@example.com", "ola@example.com, thief@example.com", "ola", "<ola@example.com>", ""]
)
def test_an_address_cannot_add_a_header_or_a_recipient(to: str) -> None:
    with pytest.raises(ValueError, match="not an address"):
        reread(to=to)


ENCODED = "=?utf-8?q?x=0D=0ABcc=3A_thief=40example.com=0D=0ASubject=3A_Pay_now=0D=0A=0D=0APay?="


@pytest.mark.parametrize(
    "name",
    [
        ENCODED,
        f"Ola {ENCODED}",
        f"Åse {ENCODED}",
        f"李小龍 {ENCODED} Иван",
        f'"{ENCODED}"',
        ENCODED.replace("=?utf", "==??utf"),
        "=?utf-8?b?eA0KQmNjOiB0aGllZkBleGFtcGxlLmNvbQ==?=",
        "=?utf-8?q?thief=40example=2Ecom=3E=2C?=",
        "Ola <thief@example.com>, Kari",
        "=?iso-8859-1?q?=0A=0AHi?= =?utf-8?q?=0D=0AX-Evil:_1?=",
        "ʻ=?utf-8?q?=0D=0ABcc:x?=ʼ" * 4,
    ],
)
def test_an_encoded_word_in_a_name_stays_a_name(name: str) -> None:
    """The standard library decodes it while the header is set, and writes the line ends that come out of it."""
    message = reread(name=name)
    assert message.keys() == reread().keys()
    assert [each.addr_spec for each in message["To"].addresses] == ["ola@example.com"]
    assert message["Subject"] == "Подтвердите адрес электронной почты для Studio"
    assert "Pay" not in str(message.get_body(("plain",)))


def test_an_encoded_word_in_the_name_of_the_service_stays_in_the_subject() -> None:
    rendered = render_letter(Template.ADDRESS_TAKEN, "en", {"when": SAMPLE["when"]}, service=ENCODED, pages=None)
    message = compose_message(rendered, sender=SENDER, to="ola@example.com", name=None, message_id="m", now=AT)
    assert message_from_bytes(message.as_bytes(), policy=default).keys() == reread().keys()


@pytest.mark.parametrize("to", [f"{ENCODED}@example.com", "=?utf-8?q?v=40x.no=2C?=@example.com", "=?utf-8?q?v=40x.no=3E=2C?=@example.com"])
def test_an_encoded_word_is_no_address(to: str) -> None:
    with pytest.raises(Unfit):
        reread(to=to)


def test_a_header_that_was_not_set_is_refused() -> None:
    """The final check is on the serialised message; here the forged header comes from the configured sender."""
    with pytest.raises(Unfit, match="headers"):
        reread(sender=Address("=?utf-8?q?x=0D=0ABcc=3A_thief=40example.com?=", addr_spec="no-reply@licentia.example"))


def test_a_domain_is_converted_to_ascii() -> None:
    assert reread(to="ola@blåbær.example.com")["To"].addresses[0].addr_spec == "ola@xn--blbr-roah.example.com"


@pytest.mark.parametrize("service", ["Studio\r\nBcc: thief@example.com", "Studio\nX-Evil: 1"])
def test_the_name_of_the_service_cannot_add_a_header(service: str) -> None:
    rendered = render_letter(Template.ADDRESS_TAKEN, "en", {"when": SAMPLE["when"]}, service=service, pages=None)
    message = compose_message(rendered, sender=SENDER, to="ola@example.com", name=None, message_id="m", now=AT)
    assert message_from_bytes(message.as_bytes(), policy=default)["Bcc"] is None


@pytest.mark.parametrize("text", ["nobody", "a@b\r\nBcc: c@d", "", "Licentia <>", "Lïcentia <ø@example.com>", "@example.com"])
def test_a_sender_is_an_address(text: str) -> None:
    with pytest.raises(ValueError, match="must be an address"):
        parse_sender(text)


def test_texts_are_in_the_script_of_their_language() -> None:
    """A file that was not translated would fail."""
    texts = {tag: "".join(load_template(tag, template)[1][1] for template in Template) for tag in LANGUAGES}
    assert any("а" <= sign <= "я" for sign in texts["ru"])
    assert any("\u4e00" <= sign <= "\u9fff" for sign in texts["zh-Hans"])
    assert len(set(texts.values())) == len(LANGUAGES)
    assert json.dumps(load_vocabulary("nb")) != json.dumps(load_vocabulary("en"))
