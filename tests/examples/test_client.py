"""Tests of the example client against a real server: it performs the actions, runs offline, and says why it stops."""

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

from tests.assertions import DEADLINE
from tests.authenticator import ORIGIN, RP_ID, Authenticator
from tests.servers import ROOT, Running

GRANT_LIFETIME = 20
"""Seconds that a grant is valid in these tests: long enough for a busy machine to start a client, and to be waited for."""


class RunningClient:
    """The client as a process with a user: `answer` waits for a prompt and types."""

    def __init__(self, state_file: Path, server: Running, seconds: float, *more: str, product: str = "studio") -> None:
        script = str(ROOT / "examples" / "client.py")
        command = [sys.executable, "-u", script, product, "--server", server.base, "--memory", str(state_file), "--seconds", str(seconds)]
        command += more
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.output = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.process.kill()
        self.process.communicate()

    def read_until(self, text: str) -> str:
        """Read the output up to this text, and return what came before it."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + DEADLINE
        while text not in self.output:
            chunk = os.read(self.process.stdout.fileno(), 4096).decode()
            assert chunk, f"it ended with: {self.output}"
            assert time.monotonic() < deadline, self.output
            self.output += chunk
        before, _, self.output = self.output.partition(text)
        return before

    def answer(self, question: str, text: str) -> str:
        """Wait for a prompt and type; return the output before it."""
        before = self.read_until(f"{question}: ")
        assert self.process.stdin is not None
        self.process.stdin.write(f"{text}\n".encode())
        self.process.stdin.flush()
        return before

    def end(self) -> tuple[int, str]:
        """Wait for the end; return the exit code and the remaining output."""
        rest, _ = self.process.communicate(timeout=DEADLINE)
        return self.process.returncode, self.output + rest.decode()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    with Running(tmp_path, "--migrate", "--demo", LICENTIA_GRANT_LIFETIME=f"PT{GRANT_LIFETIME}S") as running:
        yield running


def read_demo(server: Running) -> dict[str, str]:
    """Read the credentials of the demo from `demo.txt`."""
    text = (server.home / "var" / "demo.txt").read_text()
    return {name: re.findall(rf'"{name}": "([^"]+)"', text)[0] for name in ("password", "license_key", "activation_code", "identifier")}


def start(client: RunningClient, demo: dict[str, str], license_credential: str) -> None:
    """Log in with a new authenticator, enter the license credential and accept the agreement."""
    client.answer("E-mail address", demo["identifier"])
    client.answer("Password", demo["password"])
    secret = re.findall(r"secret=([A-Z2-7]+)", client.read_until("\n"))[0]
    client.answer("Code of the authenticator", "000000")  # a wrong code is prompted for again
    client.answer("Code of the authenticator", pyotp.TOTP(secret).now())
    client.answer("License key or activation code", license_credential)
    text = client.answer("Godta (yes/no)", "yes")  # in the user's language
    assert "Studio" in text
    client.read_until("studio runs, online.")


def operator(server: Running, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    key = (server.home / "var" / "operator.key").read_text().strip()
    answer = httpx.request(
        "POST" if body is not None else "GET", f"{server.base}{path}", json=body, headers={"Authorization": f"Bearer {key}"}
    )
    assert answer.is_success, answer.text
    result: dict[str, Any] = answer.json()
    return result


def test_the_client_runs_online_then_offline_and_says_why_it_stops(server: Running, tmp_path: Path) -> None:
    state_file, demo = tmp_path / "client.json", read_demo(server)
    with RunningClient(state_file, server, 0.5) as client:
        start(client, demo, demo["license_key"])
        assert client.end()[0] == 0
    assert state_file.stat().st_mode & 0o777 == 0o600
    assert demo["password"] not in state_file.read_text()
    with RunningClient(state_file, server, 60) as client:
        client.read_until("studio runs, online.")  # without any prompt
        server.kill()
        client.read_until("studio runs, offline.")
        code, last = client.end()
    assert (code, "studio stops: Licentia cannot be reached" in last) == (1, True)
    with RunningClient(state_file, server, 60) as client:
        code, last = client.end()
    assert (code, "there is no valid grant" in last, "runs" in last) == (1, True, False)


def test_a_refusal_ends_the_grant_and_an_activation_code_works_like_a_key(server: Running, tmp_path: Path) -> None:
    state_file, demo = tmp_path / "client.json", read_demo(server)
    with RunningClient(state_file, server, 60) as client:
        start(client, demo, demo["activation_code"])
        [license_] = operator(server, "/v1/licenses?product=studio")["data"]
        operator(server, f"/v1/licenses/{license_['id']}/suspend", {})
        code, last = client.end()
    assert (code, "studio stops: The license is suspended; contact the seller." in last) == (1, True)
    server.kill()
    with RunningClient(state_file, server, 60) as client:
        assert client.end()[0] == 1
    assert json.loads(state_file.read_text())["grant"] is None


def test_declining_the_agreement_stops_the_client(server: Running, tmp_path: Path) -> None:
    demo = read_demo(server)
    with RunningClient(tmp_path / "client.json", server, 60) as client:
        client.answer("E-mail address", demo["identifier"])
        client.answer("Password", "not it")
        client.answer("E-mail address", demo["identifier"])
        client.answer("Password", demo["password"])
        secret = re.findall(r"secret=([A-Z2-7]+)", client.read_until("\n"))[0]
        client.answer("Code of the authenticator", pyotp.TOTP(secret).now())
        client.answer("License key or activation code", "nonsense")
        client.answer("License key or activation code", demo["license_key"])
        client.answer("Godta (yes/no)", "no")
        code, last = client.end()
    assert (code, last.strip()) == (1, "studio stops: the agreement was not accepted")


def call(server: Running, path: str, body: dict[str, Any] | None = None, auth: str = "") -> dict[str, Any]:
    method = "GET" if body is None else "POST"
    answer = httpx.request(method, f"{server.base}{path}", json=body, headers={"Authorization": auth} if auth else {})
    assert answer.is_success, answer.text
    result: dict[str, Any] = answer.json() if answer.content else {}
    return result


def test_without_a_keyboard_the_client_logs_in_by_device_grant(server: Running, tmp_path: Path) -> None:
    demo = read_demo(server)
    credentials = {name: demo[name] for name in ("identifier", "password")}
    login = f"Login {call(server, '/v1/login', {**credentials, 'product': 'studio'})['login']['token']}"
    secret = call(server, "/v1/login/totp/enroll", {}, login)["secret"]
    person = f"Bearer {call(server, '/v1/login/totp/confirm', {'code': pyotp.TOTP(secret).now()}, login)['access_token']}"
    with RunningClient(tmp_path / "client.json", server, 60, "--code") as client:
        client.read_until("and enter ")
        code = client.read_until("\n")
        assert call(server, f"/v1/device?user_code={code}", auth=person)["product"]["code"] == "studio"
        call(server, "/v1/device/approve", {"user_code": code}, person)
        client.read_until("License key or activation code: ")  # prompted for only after the login
    assert json.loads((tmp_path / "client.json").read_text())["access_token"]


def test_a_required_passkey_is_used_in_a_browser_on_another_device(tmp_path: Path) -> None:
    """The client has no passkey: its login is approved in a session that has one."""
    key = Authenticator()
    party = {"LICENTIA_WEBAUTHN_RP_ID": RP_ID, "LICENTIA_WEBAUTHN_ORIGINS": ORIGIN}
    with Running(tmp_path, "--migrate", "--demo", LICENTIA_GRANT_LIFETIME=f"PT{GRANT_LIFETIME}S", **party) as server:
        demo = read_demo(server)
        operator(server, "/v1/products", {"code": "vault", "name": "Vault", "requires": ["passkey"]})
        credentials = {name: demo[name] for name in ("identifier", "password")}
        login = f"Login {call(server, '/v1/login', {**credentials, 'product': 'vault'})['login']['token']}"
        registration = {"credential": key.create(call(server, "/v1/login/passkey/enroll", {}, login)["public_key"])}
        person = f"Bearer {call(server, '/v1/login/passkey/confirm', registration, login)['access_token']}"
        with RunningClient(tmp_path / "client.json", server, 0.5, product="vault") as client:
            client.answer("E-mail address", demo["identifier"])
            client.answer("Password", demo["password"])
            client.read_until("and enter ")
            code = client.read_until("\n")
            call(server, f"/v1/device?user_code={code}", auth=person)
            call(server, "/v1/device/approve", {"user_code": code}, person)
            client.read_until("vault runs, online.")
