"""Every relative link and anchor resolves, every page is linked, and every rule that the code refers to is written down."""

import re

import pytest

from tests.docs.pages import Page, page, pages, target_of
from tests.house.source import ROOT, tree

_REFERENCE = re.compile(r"\b(authentication|licensing|agreements) ((?:[RP]\d{1,2}(?:, | to | and )?)+)")


def broken(source: Page) -> list[str]:
    """The links of a page that lead nowhere."""
    faults = []
    for link in source.links():
        if re.match(r"https?:|mailto:", link):
            continue
        path, anchor = target_of(link, source)
        if not path.exists():
            faults.append(f"{source.path}: {link} does not exist")
        elif anchor and path.suffix == ".md":
            target = page(path.relative_to(ROOT).as_posix())
            if target is None or anchor not in target.anchors:
                faults.append(f"{source.path}: {link} has no such anchor")
    return faults


def test_every_link_resolves() -> None:
    assert [fault for each in pages() for fault in broken(each)] == []


@pytest.mark.parametrize("link", ["nowhere.md", "concepts.md#nothing", "#nothing"])
def test_a_broken_link_is_seen(link: str) -> None:
    assert broken(Page("docs/x.md", f"# X\n\nSee [this]({link}).\n"))


def test_every_page_can_be_reached() -> None:
    """From the README, over links."""
    reached, waiting = set(), ["README.md"]
    while waiting:
        path = waiting.pop()
        if path not in reached and (source := page(path)) is not None:
            reached.add(path)
            targets = (target_of(link, source)[0] for link in source.links() if ":" not in link)
            waiting += [target.relative_to(ROOT).as_posix() for target in targets if target.suffix == ".md" and target.is_relative_to(ROOT)]
    assert {each.path for each in pages()} - reached == set()


def test_every_rule_that_is_referred_to_is_written_down() -> None:
    """`authentication R59` in code, tests and documents is an anchor of docs/rules/authentication.md."""
    anchors = {book: (page(f"docs/rules/{book}.md") or Page("", "")).anchors for book in ("authentication", "licensing", "agreements")}
    unknown = set()
    for path in tree():
        if path.suffix in {".py", ".md", ".yaml"}:
            for book, numbers in _REFERENCE.findall(path.read_text(encoding="utf-8")):
                unknown |= {f"{path.name}: {book} {rule}" for rule in re.findall(r"[RP]\d+", numbers) if rule.lower() not in anchors[book]}
    assert unknown == set()
