"""No request reaches a private network: not by address, by name, by a name that changes (DNS rebinding), or by redirect."""

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fastapi import FastAPI

from app.base.clock import Clock
from app.webhooks import rules
from app.webhooks.delivery.egress import Egress, NoResponse
from app.webhooks.networks import is_reachable, parse_networks
from tests.assertions import DEADLINE, problem
from tests.given import Given
from tests.webhooks.conftest import LOOPBACK, Hooks, make_egress
from tests.webhooks.delivery.receiver import Receiver, open_receiver

INSIDE = (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/29", "192.0.2.0/24",
    "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
)  # fmt: skip
INSIDE_6 = (
    "::/128", "::1/128", "64:FF9B:1::/48", "100::/64", "2001::/32", "2001:DB8::/32", "3FFF::/20", "5F00::/16", "FC00::/7", "FE80::/10",
    "FEC0::/10", "FF00::/8",
)  # fmt: skip
TEN, OTHER, CLOUD = ip_network("10.0.0.0/8")[1], ip_network("10.1.0.0/16")[515], ip_network("169.254.0.0/16")[43518]


def forms(inner: Any) -> dict[str, str]:
    """Return an IPv4 address in itself and in every form that IPv6 has for it."""
    low = int(inner)
    hidden = {"mapped": (0xFFFF << 32) | low, "NAT64": (0x64FF9B << 96) | low, "6to4": (0x2002 << 112) | (low << 80) | 1}
    return {"itself": str(inner)} | {name: str(IPv6Address(number)) for name, number in hidden.items()}


@pytest.mark.parametrize("network", INSIDE)
def test_a_private_address_is_not_reachable_in_any_form(network: str) -> None:
    for inner in (ip_network(network)[0], ip_network(network)[-1]):
        assert [name for name, form in (forms(inner) | {"compatible": f"::{inner}"}).items() if is_reachable(form, ())] == []


@pytest.mark.parametrize("network", INSIDE_6)
def test_a_private_ipv6_address_is_not_reachable(network: str) -> None:
    assert not any(is_reachable(str(each), ()) for each in (ip_network(network)[0], ip_network(network)[-1]))


@pytest.mark.parametrize(
    "text", ["2606:4700::1%eth0", "localhost", "", "1", "0x7f.1", "127.1", "8.8.8.8 ", "8.8.8.8/32", "::ffff:0:127.0.0.1"]
)
def test_text_that_is_not_a_plain_address_is_not_reachable(text: str) -> None:
    assert not is_reachable(text, ())


@pytest.mark.parametrize("text", ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1"])
def test_a_global_address_is_reachable_in_every_form(text: str) -> None:
    assert [name for name, form in forms(IPv4Address(text)).items() if not is_reachable(form, ())] == []
    assert is_reachable("2606:4700:4700::1111", ())


def test_an_allowed_network_is_allowed_in_every_form() -> None:
    """And no other network: allowing all of IPv6 does not allow an embedded IPv4 address."""
    allowed = parse_networks(["10.1.0.0/16"])
    assert {name: is_reachable(form, allowed) for name, form in forms(OTHER).items()} == dict.fromkeys(forms(OTHER), True)
    assert not any(is_reachable(form, allowed) for form in forms(TEN).values())
    assert not is_reachable(forms(TEN)["mapped"], parse_networks(["::/0"]))
    assert (is_reachable("::1", parse_networks(["127.0.0.0/8"])), is_reachable("::1", parse_networks(["::1"]))) == (False, True)


REFUSED = [
    "http://example.com/hook", "ftp://example.com/", "example.com", "/hook", "https://", "https:///hook", "https://example.com:0/",
    "https://example.com:99999/", "https://user@example.com/", "https://user:secret@example.com/", "https://:@example.com/",
    "https://example.com/#part", "https://example.com/a b", "https://exämple.com/", "https://example.com\\@127.0.0.1/",
    "https://127.0.0.1/", "https://127.0.0.1:8443/", "https://127.1/", "https://2130706433/", "https://0x7f000001/", "https://0177.0.0.1/",
    "https://0/", "https://localhost/", "https://LOCALHOST./", "https://api.localhost/", f"https://{TEN}/", f"https://{CLOUD}/latest",
    "https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://[FE80::1%25eth0]/", "https://[64:ff9b::a00:1]/", "https://[::]/", "https://[x]/",
    "https://127.0.0.1./",
]  # fmt: skip


@pytest.mark.parametrize("url", REFUSED)
def test_an_invalid_url_is_refused(url: str) -> None:
    assert rules.find_url_fault(url, (), insecure=False) is not None


@pytest.mark.parametrize("url", ["https://example.com/hook?a=b", "https://8.8.8.8:8443/", "https://[2606:4700::1]/", "https://0x.example/"])
def test_a_valid_url_is_accepted(url: str) -> None:
    assert rules.find_url_fault(url, (), insecure=False) is None


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x", "https://user@example.com/", "https://[::1]/"])
async def test_a_refused_target_is_a_problem_and_changes_nothing(given: Given, url: str) -> None:
    """When a webhook is created, and when it is changed."""
    hook = await given.post("/v1/webhooks", {"url": "http://example.com/", "types": ["*"]})
    body = problem(
        await given.client.post("/v1/webhooks", json={"url": url, "types": ["*"]}, headers=given.root), 422, "webhook_target_refused"
    )
    assert [(error["pointer"], error["code"]) for error in body["errors"]] == [("/url", "webhook_target_refused")]
    answer = await given.client.patch(f"/v1/webhooks/{hook['id']}", json={"url": url}, headers=given.root)
    problem(answer, 422, "webhook_target_refused")
    assert url not in answer.text


async def test_production_requires_tls(given: Given, app: FastAPI) -> None:
    given.configured(app, env="production")
    answer = await given.client.post("/v1/webhooks", json={"url": "http://example.com/", "types": ["*"]}, headers=given.root)
    problem(answer, 422, "webhook_target_refused")
    await given.post("/v1/webhooks", {"url": "https://example.com/", "types": ["*"]})


@pytest.mark.parametrize("scheme", ["http", "ftp", "file"])
async def test_production_requires_tls_also_of_existing_webhooks(hooks: Hooks, receiver: Receiver, scheme: str) -> None:
    egress = replace(make_egress(hooks.world), insecure=False)
    with pytest.raises(NoResponse, match="address_refused"):
        await egress.post(f"{scheme}://127.0.0.1:{receiver.port}/", b"{}", {})
    assert receiver.received == []


class Resolver:
    """A resolver that returns the given answers one after the other, and then the last one again."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append((host, port))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


async def test_a_name_is_checked_at_each_delivery(hooks: Hooks, receiver: Receiver) -> None:
    """The name was public when the webhook was created; now it is private."""
    hook = await hooks.create("license.*", url=f"http://hooks.example:{receiver.port}/hook")
    await hooks.given.license()
    await hooks.deliver(Resolver([str(TEN)]))
    (delivery,) = await hooks.list_deliveries(hook)
    assert (delivery["last_error"], receiver.received) == ("address_refused", [])
    hooks.given.clock.forward(seconds=10)
    await hooks.deliver(Resolver(["127.0.0.1"]))
    assert receiver.received[0].headers["host"] == f"hooks.example:{receiver.port}"


async def test_a_name_is_resolved_once_for_each_request(hooks: Hooks, receiver: Receiver) -> None:
    """The connection goes to the checked address; a second answer is never used (DNS rebinding)."""
    resolver = Resolver(["127.0.0.1"], [str(TEN)])
    await make_egress(hooks.world, resolver).post(f"http://hooks.example:{receiver.port}/hook", b"{}", {})
    assert resolver.asked == [("hooks.example", receiver.port)]
    assert len(receiver.received) == 1
    with pytest.raises(NoResponse, match="address_refused"):
        await make_egress(hooks.world, resolver).post(f"http://hooks.example:{receiver.port}/hook", b"{}", {})
    assert len(receiver.received) == 1


@pytest.mark.parametrize("addresses", [["127.0.0.1", str(TEN)], ["8.8.8.8", "127.0.0.1", "::1"], ["2606:4700::1%1"], []])
async def test_one_private_address_refuses_the_whole_name(hooks: Hooks, receiver: Receiver, addresses: list[str]) -> None:
    with pytest.raises(NoResponse, match="address_refused"):
        await make_egress(hooks.world, Resolver(addresses)).post(receiver.url, b"{}", {})
    assert receiver.received == []


async def test_every_spelling_of_loopback_is_refused(given: Given, receiver: Receiver) -> None:
    """Even if the URL was accepted: what the system resolves to loopback is refused at delivery."""
    for host in ("127.1", "2130706433", "0x7f.1", "localhost", "[::1]", "[::ffff:127.0.0.1]"):
        with pytest.raises(NoResponse, match="address_refused"):
            await make_egress(given.world).post(f"http://{host}:{receiver.port}/", b"{}", {})
    assert receiver.received == []


async def test_an_unknown_name_a_slow_lookup_and_a_closed_port(hooks: Hooks) -> None:
    async def unknown(_host: str, _port: int) -> Sequence[str]:
        raise OSError

    async def never(_host: str, _port: int) -> Sequence[str]:
        await asyncio.sleep(DEADLINE)
        return []

    hasty = hooks.world.settings.model_copy(update={"webhook_timeout": timedelta(milliseconds=100)})
    usual = hooks.world.settings
    cases = ((unknown, usual, "name_unknown"), (never, hasty, "timeout"), (Resolver(["127.0.0.1"]), usual, "not_connected"))
    for resolve, settings, error in cases:
        with pytest.raises(NoResponse, match=error):
            await make_egress(replace(hooks.world, settings=settings), resolve).post("http://hooks.example:1/", b"{}", {})


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    """Create a self-signed certificate of a name; return the files of certificate and key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now, alternative = Clock().now(), x509.SubjectAlternativeName([x509.DNSName(name)])
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    signed = builder.add_extension(alternative, critical=False).sign(key, hashes.SHA256())
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "cert.pem").write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(private)
    return folder / "cert.pem", folder / "key.pem"


async def test_tls_verifies_the_name_and_not_the_address(tmp_path: Path) -> None:
    """The connection goes to the checked address; the certificate is verified for the name."""
    cert, key = certificate(tmp_path, "hooks.example")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(cert, key)
    knows = ssl.create_default_context(cafile=cert)
    async with open_receiver(server) as receiver:
        egress = Egress(parse_networks(LOOPBACK), 5.0, insecure=False, resolve=Resolver(["127.0.0.1"]), trust=knows)
        assert (await egress.post(f"https://hooks.example:{receiver.port}/", b"{}", {})).status == 204
        for wrong, name in ((egress, "other.example"), (replace(egress, trust=None), "hooks.example")):
            with pytest.raises(NoResponse, match="not_connected"):
                await wrong.post(f"https://{name}:{receiver.port}/", b"{}", {})
        assert len(receiver.received) == 1
