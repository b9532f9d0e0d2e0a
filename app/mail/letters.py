"""Renders a template and its facts to a letter (subject, text and HTML), and composes the message with its headers."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime
from functools import cache
from html import escape
from pathlib import Path
from string import Template as Text
from typing import Any

from email_validator import EmailNotValidError, validate_email

from app.mail.models import Template
from app.mail.rules import break_encoded_words, to_plain_line

FOLDER = Path(__file__).parent / "templates"
PROOF = "$proof"
"""A paragraph that becomes a link to the vendor's pages or, without pages, the token to type or paste."""
PAGES: Mapping[Template, str] = {
    Template.VERIFY_EMAIL: "verify-email",
    Template.EMAIL_CHANGE_VERIFY: "verify-email",
    Template.RESET_PASSWORD: "reset-password",
    Template.ACCOUNT_LOCKED: "reset-password",
}
_POLICY = SMTP.clone(cte_type="7bit")  # not every relay accepts 8 bits


class Unfit(ValueError):
    """A letter that cannot be exactly one message to one recipient. No further try can succeed."""


@dataclass(frozen=True)
class Letter:
    """The rendered content. `language` is a BCP 47 tag."""

    language: str
    subject: str
    text: str = field(repr=False)
    html: str = field(repr=False)


@cache
def load_template(language: str, template: Template) -> tuple[str, tuple[str, ...]]:
    """Load (subject, paragraphs) of a template file, with their placeholders."""
    first, *paragraphs = (FOLDER / language / f"{template}.txt").read_text(encoding="utf-8").strip().split("\n\n")
    return first.removeprefix("Subject: "), tuple(paragraphs)


@cache
def load_vocabulary(language: str) -> dict[str, Any]:
    """Load the texts that all letters share: months, names of authenticators, the sentences before a link, the footer."""
    vocabulary: dict[str, Any] = json.loads((FOLDER / language / "words.json").read_text(encoding="utf-8"))
    return vocabulary


@cache
def _load_frame() -> Text:
    return Text((FOLDER / "frame.html").read_text(encoding="utf-8"))


def render_letter(template: Template, language: str, facts: Mapping[str, Any], *, service: str, pages: str | None) -> Letter:
    """Render the letter in a language. Each fact is one line of plain text; in HTML it is escaped."""
    vocabulary, (subject, paragraphs) = load_vocabulary(language), load_template(language, template)
    texts = {name: _format_fact(vocabulary, name, value) for name, value in facts.items()} | {"service": to_plain_line(service)}
    text, html = [], []
    for paragraph in (*paragraphs, vocabulary["foot"]):
        if paragraph == PROOF:
            instruction, proof, is_link = _choose_proof(vocabulary, template, str(facts["token"]), pages)
            text += [instruction, proof]
            html += [f"<p>{escape(instruction)}</p>", _render_link(proof) if is_link else f"<p><code>{escape(proof)}</code></p>"]
        else:
            text.append(Text(paragraph).substitute(texts))
            html.append(f"<p>{_render_paragraph(paragraph, texts)}</p>")
    title = Text(subject).substitute(texts)
    document = _load_frame().substitute(language=language, subject=escape(title), body="\n".join(html))
    return Letter(language, title, "\n\n".join(text) + "\n", document)


def _format_fact(vocabulary: dict[str, Any], name: str, value: Any) -> str:
    if value is None:
        return str(vocabulary["unknown"])
    if name in {"when", "expires"}:
        return format_time(vocabulary, datetime.fromisoformat(value))
    return str(vocabulary["kinds"].get(value, value)) if name == "kind" else to_plain_line(str(value))


def format_time(vocabulary: Mapping[str, Any], at: datetime) -> str:
    """Format a time as the language does, to the minute, in UTC."""
    month = vocabulary["months"][at.month - 1]
    return Text(vocabulary["moment"]).substitute(day=at.day, month=month, year=at.year, time=f"{at:%H:%M}")


def _choose_proof(vocabulary: dict[str, Any], template: Template, token: str, pages: str | None) -> tuple[str, str, bool]:
    """Return (instruction, link or token, whether it is a link).

    The token is in the URL fragment, which browsers do not send to the server (authentication R70).
    """
    if pages is None or template not in PAGES:
        return vocabulary["enter_token"], token, False
    return vocabulary["open_link"], f"{pages}/{PAGES[template]}#token={token}", True


def _render_link(url: str) -> str:
    return f'<p><a href="{escape(url)}">{escape(url)}</a></p>'


def _render_paragraph(paragraph: str, texts: Mapping[str, str]) -> str:
    safe = {name: escape(text) for name, text in texts.items()}
    return Text(escape(paragraph)).substitute(safe).replace("\n", "<br>\n")


def compose_message(letter: Letter, *, sender: Address, to: str, name: str | None, message_id: str, now: datetime) -> EmailMessage:
    """Compose the message: text and HTML as alternatives (RFC 2046 section 5.1.4), marked as automatic (RFC 3834 section 5).

    Raises Unfit for an invalid address, or if the serialised message would differ from this letter.
    """
    message = EmailMessage(_POLICY)
    message["From"] = sender
    address = to_ascii_address(to)
    local, _, domain = address.rpartition("@")
    message["To"] = Address(break_encoded_words(to_plain_line(name or "")), local, domain)
    message["Subject"] = break_encoded_words(to_plain_line(letter.subject))
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<{message_id}@{sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    message.set_content(letter.text)
    message.add_alternative(letter.html, subtype="html")
    message["Content-Language"] = letter.language
    _must_be_unchanged(message, address)
    return message


def _must_be_unchanged(message: EmailMessage, to: str) -> None:
    """Check the serialised message: one recipient, each header that was set, and no other. Raises Unfit.

    Header values are parsed again when they are serialised, so checks of the input alone do not suffice.
    """
    if [address.addr_spec for address in message["To"].addresses] != [to]:
        raise Unfit("not one recipient")
    for policy in (SMTP, SMTPUTF8):
        head, _, _ = message.as_bytes(policy=policy).partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        names = [line.partition(b":")[0].decode("ascii", "replace") for line in lines if line[:1] not in {b" ", b"\t"}]
        if names != message.keys() or any(end in line for line in lines for end in (b"\r", b"\n")):
            raise Unfit("other headers than those that were set")


def to_ascii_address(address: str) -> str:
    """Convert the domain to ASCII; the local part stays as it is. Raises Unfit."""
    try:
        parsed = validate_email(address, check_deliverability=False)
    except EmailNotValidError:
        raise Unfit("not an address") from None
    text = parsed.ascii_email or parsed.normalized
    if text != break_encoded_words(text):
        raise Unfit("not an address")
    return text
