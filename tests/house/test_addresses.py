"""No shipped file names a machine: no private address, no intranet host, no home folder of a developer."""

import re
from ipaddress import ip_address, ip_network

import pytest

from tests.house.source import ROOT, tree

DOTTED = re.compile(r"(?<![\w.=-])(\d{1,3}(?:\.\d{1,3}){3})(/\d{1,2})?(?![\w.])")
NAMED = re.compile(
    r"//[\w.@:-]*\.(?:internal|intranet|local|lan|corp)\b"  # a host of a private network
    r"|(?<![\w$}./-])/(?:root|home/\w+|Users/\w+|work/\w+)(?=/|\b)"  # a folder of one machine
    r"|\bfe80::|\bf[cd][0-9a-f]{2}:[0-9a-f]{1,4}:",  # link-local and unique local IPv6
)
EXAMPLES = [ip_network(text) for text in ("127.0.0.0/8", "0.0.0.0/32", "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24")]
GENERATED = {"requirements", "tools"}
"""Folders of hashes and version numbers, which `test_lock` checks."""


def find_addresses(text: str) -> list[str]:
    """List what names a machine. A network with its prefix (`10.0.0.0/8`) does not."""
    addresses = [match.group() for match in NAMED.finditer(text)]
    for match in DOTTED.finditer(text):
        try:
            address = ip_address(match.group(1))
        except ValueError:
            continue
        if address.is_private and not match.group(2) and not any(address in network for network in EXAMPLES):
            addresses.append(match.group())
    return addresses


def test_no_shipped_file_names_a_machine() -> None:
    faults: dict[str, list[str]] = {}
    for path in tree():
        name = path.relative_to(ROOT).as_posix()
        if name.split("/")[0] not in GENERATED and name != "tests/house/test_addresses.py":
            addresses = find_addresses(path.read_text(encoding="utf-8", errors="ignore"))
            faults |= {name: addresses} if addresses else {}
    assert faults == {}


@pytest.mark.parametrize(
    "text", ["10.1.2.3", "http://192.168.0.7:8080", "//mirror.internal/simple", "/root/.cache", "/home/ada/x", "fd00:12:3::1", "172.16.4.4"]
)
def test_a_machine_is_found(text: str) -> None:
    assert find_addresses(f"see {text} for more")


@pytest.mark.parametrize("text", ["127.0.0.1:8000", "10.0.0.0/8", "203.0.113.9", "version 1.2.3", "threading.local", "$HOME/x"])
def test_an_example_passes(text: str) -> None:
    assert find_addresses(f"see {text} for more") == []
