"""Headless Chromium, driven by the W3C WebDriver protocol, with a virtual authenticator (WebAuthn Level 3 section 11)."""

import base64
import json
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx

from tests.servers import START_TIMEOUT, free_port

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # W3C WebDriver section 12.1
QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--window-size=800,900",
)  # fmt: skip
INSTALL = "apt-get install chromium chromium-driver"


def find_program(*names: str) -> str:
    """Return the path of the first program that is installed."""
    program = next((path for path in map(shutil.which, names) if path), None)
    assert program, f"{' or '.join(names)} is not installed; on Debian: {INSTALL}"
    return program


class Browser:
    """A browser with an empty profile."""

    def __init__(self, profile: Path) -> None:
        port = free_port()
        self.driver = [find_program("chromedriver"), f"--port={port}"]
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False)
        self.options = {
            "binary": find_program("chromium", "chromium-browser", "google-chrome"),
            "args": [*QUIET, f"--user-data-dir={profile}"],
        }
        self.session = self.authenticator = ""

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(self.driver, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + START_TIMEOUT
        while not self._ready():
            assert time.monotonic() < deadline, "the driver did not start"
            time.sleep(0.1)
        capabilities = {"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": self.options}}}
        self.session = "/session/" + self.call("POST", "/session", capabilities)["sessionId"]
        properties = {
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
        }
        self.authenticator = (
            f"{self.session}/webauthn/authenticator/{self.call('POST', f'{self.session}/webauthn/authenticator', properties)}"
        )
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.session:
            self.call("DELETE", self.session)
        self.http.close()
        self.process.terminate()
        self.process.wait(START_TIMEOUT)

    def _ready(self) -> bool:
        try:
            return bool(self.call("GET", "/status")["ready"])
        except httpx.TransportError:
            return False

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = self.http.request(method, path, json=body if body is not None or method != "POST" else {})
        assert answer.is_success, answer.text
        return answer.json()["value"]

    def visit(self, url: str) -> None:
        self.call("POST", f"{self.session}/url", {"url": url})

    def _element(self, selector: str) -> str:
        element = self.call("POST", f"{self.session}/element", {"using": "css selector", "value": selector})
        return f"{self.session}/element/{element[ELEMENT]}"

    def write(self, selector: str, text: str) -> None:
        self.call("POST", f"{self._element(selector)}/value", {"text": text})

    def click(self, selector: str) -> Any:
        """Click a button and return the result that the page displays."""
        self.call("POST", f"{self._element(selector)}/click")
        deadline = time.monotonic() + START_TIMEOUT
        while not (text := self.call("GET", f"{self._element('#result')}/text")):
            assert time.monotonic() < deadline, f"no result after clicking {selector}"
            time.sleep(0.05)
        return json.loads(text)

    def set_user_verified(self, *, verified: bool) -> None:
        """Set whether the authenticator verifies the user from now on."""
        self.call("POST", f"{self.authenticator}/uv", {"isUserVerified": verified})

    def credentials(self) -> list[dict[str, Any]]:
        """Return the credentials that the authenticator stores."""
        credentials: list[dict[str, Any]] = self.call("GET", f"{self.authenticator}/credentials")
        return credentials

    def save_screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("GET", f"{self.session}/screenshot")))
