"""Commands, targets, settings, calls, files and functions that the documents name exist, and the runbook explains every alert."""

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import typer.main
import yaml

from app.cli.commands import app
from tests.docs.pages import Page, page, pages
from tests.house.source import ROOT

RUNBOOK = "docs/operations/troubleshooting.md"
NO_SETTINGS = {"CA", "EU", "LISTS"}
"""Upper-case names in the documents that are regions and constants."""

_SPAN = re.compile(r"`([^`\n]+)`")
_COMMAND = re.compile(r"(?:-m app|licentia:\d[\d.]*) +([a-z][^`\n;|&#]*)")
_MAKE = re.compile(r"^make ([a-z][a-z-]*)", re.MULTILINE)
_TARGETS = re.compile(r"^([a-z][a-z -]*):(?!=)", re.MULTILINE)
_SETTING = re.compile(r"(?:LICENTIA_)?([A-Z][A-Z0-9_]*[A-Z0-9])(?:=.*)?")
_VARIABLE = re.compile(r"\bLICENTIA_([A-Z0-9_]*[A-Z0-9])")
_DURATION = re.compile(r"P(?:\d+[YMWD])*(?:T(?:\d+[HMS])+)?")
_CALL = re.compile(r"\b(GET|POST|PUT|PATCH|DELETE) (/v1/[\w./{}-]+)")
_NAME = re.compile(r"`(\w+)` (?:in|of) `(app/[\w/]+\.py)`")
_FILE = re.compile(r"(?<![\w./-])((?:app|deploy|docs|examples|migrations|ops|requirements|tests)/[\w./-]+)")


def code_of(source: Page) -> str:
    """The code of a page, spans and blocks, each on lines of its own."""
    return "\n".join([*_SPAN.findall(source.without_code), *source.code_blocks()])


def unknown_commands(source: Page) -> Iterator[str]:
    """The `python -m app …` of a page, and those of the image, that the command line would refuse."""
    for text in _COMMAND.findall(source.text):
        words = text.split()
        if words[0] != "health" and (word := _refused_word(typer.main.get_command(app), words)) is not None:
            yield f"{source.path}: {text.strip()}: {word}"


def _refused_word(command: Any, words: list[str]) -> str | None:
    """The first word that is neither a command nor, after one, an option of it; values are not looked at."""
    words = [*words]
    while hasattr(command, "commands"):
        word = words.pop(0) if words else "(a command is missing)"
        if word not in command.commands:
            return word
        command = command.commands[word]
    options = {"--help", *(option for parameter in command.params for option in parameter.opts)}
    return next((word for word in words if word.startswith("--") and word not in options), None)


@cache
def make_targets() -> frozenset[str]:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    return frozenset(name for line in _TARGETS.findall(makefile) for name in line.split())


def unknown_targets(source: Page) -> Iterator[str]:
    """The `make TARGET` of a page that the Makefile does not have."""
    yield from (f"{source.path}: make {name}" for name in _MAKE.findall(code_of(source)) if name not in make_targets())


@cache
def setting_names() -> frozenset[str]:
    reference = page("docs/reference/settings.md")
    return frozenset(re.findall(r"^\| `([A-Z0-9_]+)` \|", reference.text if reference else "", re.MULTILINE))


def unknown_settings(source: Page) -> Iterator[str]:
    """The settings of a page, with or without prefix, that the reference does not list."""
    if source.path.startswith("docs/reference/"):
        return
    spans = (match[1] for span in _SPAN.findall(source.without_code) if (match := _SETTING.fullmatch(span)))
    plain = (name for name in spans if name not in NO_SETTINGS and not _DURATION.fullmatch(name) and not name.startswith("OTEL_"))
    for name in [*plain, *_VARIABLE.findall(source.text)]:
        if not {name, name.removesuffix("_FILE")} & setting_names():
            yield f"{source.path}: {name}"


@cache
def calls() -> frozenset[str]:
    """Every `METHOD /path` of the contract, with `{}` for each parameter."""
    document = json.loads((ROOT / "tests/contract/openapi.json").read_text(encoding="utf-8"))
    return frozenset(f"{method.upper()} {_anonymous(path)}" for path, methods in document["paths"].items() for method in methods)


def _anonymous(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "{}", path).rstrip(".")


def unknown_calls(source: Page) -> Iterator[str]:
    """The calls that a page names and the contract does not have."""
    for method, path in _CALL.findall(source.text):
        if f"{method} {_anonymous(path)}" not in calls():
            yield f"{source.path}: {method} {path}"


def missing_files(source: Page) -> Iterator[str]:
    """The files and folders of the repository that a page names and that do not exist."""
    yield from (f"{source.path}: {path}" for path in _FILE.findall(code_of(source)) if not (ROOT / path).exists())


def missing_names(source: Page) -> Iterator[str]:
    """What a page says is in (or of) a file of the program, and is not defined there."""
    for name, path in _NAME.findall(source.without_code):
        file = ROOT / path
        if not (file.exists() and re.search(rf"^\s*(?:(?:async )?def |class )?{name}\b", file.read_text(encoding="utf-8"), re.MULTILINE)):
            yield f"{source.path}: {name} in {path}"


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((ROOT / "deploy/prometheus/alerts.yaml").read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def unexplained(rules: list[dict[str, Any]], runbook: Page) -> Iterator[str]:
    """The alerts without a section of the runbook, and those whose link leads elsewhere."""
    for rule in rules:
        name, (path, _, anchor) = rule["alert"], rule["annotations"]["runbook_url"].partition("#")
        if f"\n### {name}\n" not in runbook.text:
            yield f"{name}: no section"
        if path != runbook.path or anchor != name.lower() or anchor not in runbook.anchors:
            yield f"{name}: {path}#{anchor}"


CHECKS = (unknown_commands, unknown_targets, unknown_settings, unknown_calls, missing_files, missing_names)


@pytest.mark.parametrize("check", CHECKS)
def test_everything_that_a_page_names_exists(check: Any) -> None:
    assert [fault for each in pages() for fault in check(each)] == []


@pytest.mark.parametrize("check", CHECKS)
def test_the_pages_are_read(check: Any) -> None:
    """Renaming everything that the pages name would be seen: no check looks at nothing."""
    renamed = {"-m app ": "-m app un", "make ": "make un", "`MFA": "`UNMFA", "/v1/": "/v1/un", "app/": "app/un", "licentia:0": "licentia:"}
    texts = [(each.path, each.text) for each in pages()]
    for name, other in renamed.items():
        texts = [(path, text.replace(name, other)) for path, text in texts]
    assert len([fault for path, text in texts for fault in check(Page(path, text))]) > 2


@pytest.mark.parametrize(
    ("check", "text"),
    [
        (unknown_commands, "Run `python -m app nothing`."),
        (unknown_commands, "Run `python -m app keys nothing`."),
        (unknown_commands, "Run `python -m app keys`."),
        (unknown_commands, "```\npython -m app serve --nothing\n```"),
        (unknown_commands, "```\ndocker run licentia:0.1.0 nothing\n```"),
        (unknown_targets, "Run `make nothing`."),
        (unknown_targets, "```\nmake nothing  # now\n```"),
        (unknown_settings, "Set `NOTHING`."),
        (unknown_settings, "Set `NOTHING=1`."),
        (unknown_settings, "```\n-e LICENTIA_NOTHING_FILE=x\n```"),
        (unknown_calls, "Call `GET /v1/nothing`."),
        (unknown_calls, "Call `DELETE /v1/login/totp?x=1`."),
        (missing_files, "Read `app/nothing.py`."),
        (missing_names, "See `nothing` in `app/main.py`."),
        (missing_names, "See `build_app` of `app/models.py`."),
        (missing_files, "```\ndocker compose -f deploy/nothing.yaml up\n```"),
    ],
)
def test_what_does_not_exist_is_seen(check: Any, text: str) -> None:
    assert len(list(check(Page("docs/x.md", f"# X\n\n{text}\n")))) == 1


@pytest.mark.parametrize(
    "text",
    [
        "Run `python -m app health` and `python -m app keys rotate --now`.",
        "Set `MFA=required`, `LICENTIA_LOOKUP_KEY_FILE=/x` or `PT5M`; `OTEL_TRACES_SAMPLER` is not ours.",
        "Call `POST /v1/licenses/{id}/renew`, or `GET /v1/licenses?q=…`.",
        "We make things in `app/` and `docs/rules/`; see `build_app` in `app/main.py` and `LISTS` of `app/config/settings.py`.",
    ],
)
def test_what_exists_is_no_fault(text: str) -> None:
    assert [fault for check in CHECKS for fault in check(Page("docs/x.md", text))] == []


def test_every_alert_is_explained() -> None:
    runbook = page(RUNBOOK)
    assert runbook is not None
    assert len(alerts()) > 5
    assert list(unexplained(alerts(), runbook)) == []


def test_an_unexplained_alert_is_seen() -> None:
    rule = {"alert": "LicentiaNothing", "annotations": {"runbook_url": f"{RUNBOOK}#licentiaother"}}
    runbook = Page(RUNBOOK, "# X\n\n### LicentiaOther\n\nWords.\n")
    assert list(unexplained([rule], runbook)) == ["LicentiaNothing: no section", f"LicentiaNothing: {RUNBOOK}#licentiaother"]
