"""From a template and its facts to a letter: subject, text and HTML of the same words, as a message with proper headers."""

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
from string import Template as Words
from typing import Any

from email_validator import EmailNotValidError, validate_email

from app.mail.models import Template
from app.mail.rules import plain, unencoded

FOLDER = Path(__file__).parent / "templates"
PROOF = "$proof"
"""A paragraph that becomes a link into the vendor's pages or, where there is none, the token to be typed or pasted."""
PAGES: Mapping[Template, str] = {
    Template.VERIFY_EMAIL: "verify-email",
    Template.EMAIL_CHANGE_VERIFY: "verify-email",
    Template.RESET_PASSWORD: "reset-password",
    Template.ACCOUNT_LOCKED: "reset-password",
}
_POLICY = SMTP.clone(cte_type="7bit")  # whatever relays there are on the way


class Unfit(ValueError):
    """What would not be one letter to one reader: no try will ever send it."""


@dataclass(frozen=True)
class Letter:
    """What is read. `language` is the tag of the words."""

    language: str
    subject: str
    text: str = field(repr=False)
    html: str = field(repr=False)


@cache
def source(language: str, template: Template) -> tuple[str, tuple[str, ...]]:
    """(subject, paragraphs) as they stand in the file."""
    first, *paragraphs = (FOLDER / language / f"{template}.txt").read_text(encoding="utf-8").strip().split("\n\n")
    return first.removeprefix("Subject: "), tuple(paragraphs)


@cache
def vocabulary(language: str) -> dict[str, Any]:
    """The words that are not of one letter: months, kinds of factors, what leads to a link, the foot."""
    told: dict[str, Any] = json.loads((FOLDER / language / "words.json").read_text(encoding="utf-8"))
    return told


@cache
def _frame() -> Words:
    return Words((FOLDER / "frame.html").read_text(encoding="utf-8"))


def written(template: Template, language: str, facts: Mapping[str, Any], *, service: str, pages: str | None) -> Letter:
    """The letter in the language. Every fact is one line of plain text; in HTML it is escaped."""
    words, (subject, paragraphs) = vocabulary(language), source(language, template)
    told = {name: _told(words, name, value) for name, value in facts.items()} | {"service": plain(service)}
    text, html = [], []
    for paragraph in (*paragraphs, words["foot"]):
        if paragraph == PROOF:
            lead, proof, linked = _proof(words, template, str(facts["token"]), pages)
            text += [lead, proof]
            html += [f"<p>{escape(lead)}</p>", f'<p><a href="{escape(proof)}">{escape(proof)}</a></p>' if linked else _code(proof)]
        else:
            text.append(Words(paragraph).substitute(told))
            html.append(f"<p>{_filled(paragraph, told)}</p>")
    title = Words(subject).substitute(told)
    frame = _frame().substitute(language=language, subject=escape(title), body="\n".join(html))
    return Letter(language, title, "\n\n".join(text) + "\n", frame)


def _told(words: dict[str, Any], name: str, value: Any) -> str:
    if value is None:
        return str(words["unknown"])
    if name in {"when", "expires"}:
        return moment(words, datetime.fromisoformat(value))
    return str(words["kinds"].get(value, value)) if name == "kind" else plain(str(value))


def moment(words: Mapping[str, Any], at: datetime) -> str:
    """The instant in the language's own way, to the minute, in UTC."""
    month = words["months"][at.month - 1]
    return Words(words["moment"]).substitute(day=at.day, month=month, year=at.year, time=f"{at:%H:%M}")


def _proof(words: dict[str, Any], template: Template, token: str, pages: str | None) -> tuple[str, str, bool]:
    """(what to do, link or token, whether it is a link). The token is behind the `#`: browsers keep that to themselves (authentication R70)."""
    if pages is None or template not in PAGES:
        return words["enter_token"], token, False
    return words["open_link"], f"{pages}/{PAGES[template]}#token={token}", True


def _code(proof: str) -> str:
    return f"<p><code>{escape(proof)}</code></p>"


def _filled(paragraph: str, told: Mapping[str, str]) -> str:
    safe = {name: escape(value) for name, value in told.items()}
    return Words(escape(paragraph)).substitute(safe).replace("\n", "<br>\n")


def composed(letter: Letter, *, sender: Address, to: str, name: str | None, message_id: str, now: datetime) -> EmailMessage:
    """The message: text and HTML as alternatives (RFC 2046 section 5.1.4), said to be from a machine (RFC 3834 section 5).

    Raises Unfit for an address that is none, and for whatever else would come out as another letter than this one.
    """
    message = EmailMessage(_POLICY)
    message["From"] = sender
    address = envelope(to)
    local, _, domain = address.rpartition("@")
    message["To"] = Address(unencoded(plain(name or "")), local, domain)
    message["Subject"] = unencoded(plain(letter.subject))
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<{message_id}@{sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message["X-Auto-Response-Suppress"] = "All"
    message.set_content(letter.text)
    message.add_alternative(letter.html, subtype="html")
    message["Content-Language"] = letter.language
    _must_be_itself(message, address)
    return message


def _must_be_itself(message: EmailMessage, to: str) -> None:
    """Every header that was set, once, and no other; one reader. Header values are parsed once more on their way to the wire, and
    what they decode to there is not what was looked at before. Raises Unfit."""
    if [each.addr_spec for each in message["To"].addresses] != [to]:
        raise Unfit("not one reader")
    for policy in (SMTP, SMTPUTF8):
        head, _, _ = message.as_bytes(policy=policy).partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        names = [line.partition(b":")[0].decode("ascii", "replace") for line in lines if line[:1] not in {b" ", b"\t"}]
        if names != message.keys() or any(sign in line for line in lines for sign in (b"\r", b"\n")):
            raise Unfit("not these headers")


def envelope(address: str) -> str:
    """The address as servers know it: the domain in its ASCII form, the local part as it is. Raises Unfit."""
    try:
        found = validate_email(address, check_deliverability=False)
    except EmailNotValidError:
        raise Unfit("not an address") from None
    told = found.ascii_email or found.normalized
    if told != unencoded(told):
        raise Unfit("not an address")
    return told
