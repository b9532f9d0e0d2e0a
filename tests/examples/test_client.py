"""The example application against a real server: it does what it is asked to, works on without the server, says why it stops."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx
import pyotp
import pytest

from tests.authenticator import ORIGIN, RP_ID, Authenticator
from tests.servers import ROOT, Running

TIMEOUT = 30.0
GRANT = 8
"""Seconds that a grant lasts here."""


class RunningClient:
    """The application in front of a person: `answer` waits for a question and types."""

    def __init__(self, memory: Path, server: Running, seconds: float, *more: str, product: str = "studio") -> None:
        script = str(ROOT / "examples" / "client.py")
        command = [sys.executable, "-u", script, product, "--server", server.base, "--memory", str(memory), "--seconds", str(seconds)]
        command += more
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.said = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.process.kill()
        self.process.communicate()

    def hear(self, words: str) -> str:
        """All that was said since the last time, up to these words."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + TIMEOUT
        while words not in self.said:
            heard = os.read(self.process.stdout.fileno(), 4096).decode()
            assert heard, f"it ended with: {self.said}"
            assert time.monotonic() < deadline, self.said
            self.said += heard
        before, _, self.said = self.said.partition(words)
        return before

    def answer(self, question: str, text: str) -> str:
        """Type when the question comes; what was said before it."""
        before = self.hear(f"{question}: ")
        assert self.process.stdin is not None
        self.process.stdin.write(f"{text}\n".encode())
        self.process.stdin.flush()
        return before

    def end(self) -> tuple[int, str]:
        """(exit code, last words)."""
        rest, _ = self.process.communicate(timeout=TIMEOUT)
        return self.process.returncode, self.said + rest.decode()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    with Running(tmp_path, "--migrate", "--demo", LICENTIA_GRANT_LIFETIME=f"PT{GRANT}S") as running:
        yield running


def read_demo(server: Running) -> dict[str, str]:
    """The password, key and activation code of the demo, as its paper says them."""
    paper = (server.home / "var" / "demo.txt").read_text()
    return {name: re.findall(rf'"{name}": "([^"]+)"', paper)[0] for name in ("password", "license_key", "activation_code", "identifier")}


def start(tx: RunningClient, known: dict[str, str], sold: str) -> None:
    """From nothing to running: a login that sets the authenticator up, what was bought, and the agreement."""
    tx.answer("E-mail address", known["identifier"])
    tx.answer("Password", known["password"])
    secret = re.findall(r"secret=([A-Z2-7]+)", tx.hear("\n"))[0]
    tx.answer("Code of the authenticator", "000000")  # a slip; it asks again
    tx.answer("Code of the authenticator", pyotp.TOTP(secret).now())
    tx.answer("License key or activation code", sold)
    shown = tx.answer("Godta (yes/no)", "yes")  # in the person's language
    assert "Studio" in shown
    tx.hear("studio runs, online.")


def operator(server: Running, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    key = (server.home / "var" / "operator.key").read_text().strip()
    answer = httpx.request(
        "POST" if body is not None else "GET", f"{server.base}{path}", json=body, headers={"Authorization": f"Bearer {key}"}
    )
    assert answer.is_success, answer.text
    told: dict[str, Any] = answer.json()
    return told


def test_the_client_runs_online_then_offline_and_says_why_it_stops(server: Running, tmp_path: Path) -> None:
    memory, known = tmp_path / "client.json", read_demo(server)
    with RunningClient(memory, server, 0.5) as session:
        start(session, known, known["license_key"])
        assert session.end()[0] == 0
    assert memory.stat().st_mode & 0o777 == 0o600
    assert known["password"] not in memory.read_text()
    with RunningClient(memory, server, 60) as session:
        session.hear("studio runs, online.")  # nothing is asked twice
        server.kill()
        session.hear("studio runs, offline.")
        code, last = session.end()
    assert (code, "studio stops: Licentia cannot be reached" in last) == (1, True)
    with RunningClient(memory, server, 60) as session:
        code, last = session.end()
    assert (code, "there is no grant to go on with" in last, "runs" in last) == (1, True, False)


def test_a_refusal_ends_the_grant_and_an_activation_code_works_like_a_key(server: Running, tmp_path: Path) -> None:
    memory, known = tmp_path / "client.json", read_demo(server)
    with RunningClient(memory, server, 60) as session:
        start(session, known, known["activation_code"])
        [license_] = operator(server, "/v1/licenses?product=studio")["data"]
        operator(server, f"/v1/licenses/{license_['id']}/suspend", {})
        code, last = session.end()
    assert (code, "studio stops: The license is suspended; ask the seller." in last) == (1, True)
    server.kill()
    with RunningClient(memory, server, 60) as session:
        assert session.end()[0] == 1
    assert json.loads(memory.read_text())["grant"] is None


def test_declining_the_agreement_stops_the_client(server: Running, tmp_path: Path) -> None:
    known = read_demo(server)
    with RunningClient(tmp_path / "client.json", server, 60) as session:
        session.answer("E-mail address", known["identifier"])
        session.answer("Password", "not it")
        session.answer("E-mail address", known["identifier"])
        session.answer("Password", known["password"])
        secret = re.findall(r"secret=([A-Z2-7]+)", session.hear("\n"))[0]
        session.answer("Code of the authenticator", pyotp.TOTP(secret).now())
        session.answer("License key or activation code", "nonsense")
        session.answer("License key or activation code", known["license_key"])
        session.answer("Godta (yes/no)", "no")
        code, last = session.end()
    assert (code, last.strip()) == (1, "studio stops: the agreement was not accepted")


def call(server: Running, path: str, body: dict[str, Any] | None = None, auth: str = "") -> dict[str, Any]:
    method = "GET" if body is None else "POST"
    answer = httpx.request(method, f"{server.base}{path}", json=body, headers={"Authorization": auth} if auth else {})
    assert answer.is_success, answer.text
    told: dict[str, Any] = answer.json() if answer.content else {}
    return told


def test_without_a_keyboard_the_client_logs_in_by_device_grant(server: Running, tmp_path: Path) -> None:
    known = read_demo(server)
    who = {name: known[name] for name in ("identifier", "password")}
    login = f"Login {call(server, '/v1/login', {**who, 'product': 'studio'})['login']['token']}"
    secret = call(server, "/v1/login/totp/enroll", {}, login)["secret"]
    person = f"Bearer {call(server, '/v1/login/totp/confirm', {'code': pyotp.TOTP(secret).now()}, login)['access_token']}"
    with RunningClient(tmp_path / "client.json", server, 60, "--code") as session:
        session.hear("and enter ")
        code = session.hear("\n")
        assert call(server, f"/v1/device?user_code={code}", auth=person)["product"]["code"] == "studio"
        call(server, "/v1/device/approve", {"user_code": code}, person)
        session.hear("License key or activation code: ")  # which only who is logged in is asked for
    assert json.loads((tmp_path / "client.json").read_text())["access_token"]


def test_a_required_passkey_is_used_in_a_browser_on_another_device(tmp_path: Path) -> None:
    """The application has none: whoever showed their passkey where they could lets it in."""
    key = Authenticator()
    party = {"LICENTIA_WEBAUTHN_RP_ID": RP_ID, "LICENTIA_WEBAUTHN_ORIGINS": ORIGIN}
    with Running(tmp_path, "--migrate", "--demo", LICENTIA_GRANT_LIFETIME=f"PT{GRANT}S", **party) as server:
        known = read_demo(server)
        operator(server, "/v1/products", {"code": "vault", "name": "Vault", "requires": ["passkey"]})
        who = {name: known[name] for name in ("identifier", "password")}
        login = f"Login {call(server, '/v1/login', {**who, 'product': 'vault'})['login']['token']}"
        made = {"credential": key.create(call(server, "/v1/login/passkey/enroll", {}, login)["public_key"])}
        person = f"Bearer {call(server, '/v1/login/passkey/confirm', made, login)['access_token']}"
        with RunningClient(tmp_path / "client.json", server, 0.5, product="vault") as session:
            session.answer("E-mail address", known["identifier"])
            session.answer("Password", known["password"])
            session.hear("and enter ")
            code = session.hear("\n")
            call(server, f"/v1/device?user_code={code}", auth=person)
            call(server, "/v1/device/approve", {"user_code": code}, person)
            session.hear("vault runs, online.")
