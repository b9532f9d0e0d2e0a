"""Tests of passkeys in headless Chromium, on a page whose origin differs from the API's: `make test-browser`."""

import functools
import http.server
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.browser.driver import Browser
from tests.servers import Running

PASSWORD = "correct horse battery staple"
HERE = Path(__file__).parent


@dataclass
class Scene:
    """A user's browser at the page, and a client with an operator key."""

    browser: Browser
    back_office: httpx.Client

    def log_in(self) -> Any:
        return self.browser.click("#log-in")


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the name in the base class
        """Log nothing."""


@pytest.fixture
def page() -> Iterator[str]:
    """The origin that the page is served from."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(QuietHandler, directory=str(HERE))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_address[1]}"
        server.shutdown()


@pytest.fixture
def scene(page: str, tmp_path: Path) -> Iterator[Scene]:
    party = {"LICENTIA_WEBAUTHN_RP_ID": "localhost", "LICENTIA_WEBAUTHN_ORIGINS": page, "LICENTIA_CORS_ORIGINS": page}
    with Running(tmp_path, "--migrate", **party) as server, Browser(tmp_path / "profile") as browser:
        key = (tmp_path / "var" / "operator.key").read_text().strip()
        with httpx.Client(base_url=server.base, headers={"Authorization": f"Bearer {key}"}, trust_env=False) as back_office:
            person = {"email": "kari@example.com", "password": PASSWORD, "email_verified": True}
            product = {"code": "studio", "name": "Studio", "requires": ["passkey"]}
            assert back_office.post("/v1/users", json=person).status_code == 201
            assert back_office.post("/v1/products", json=product).status_code == 201
            browser.visit(f"{page}/page.html#{server.base}")
            browser.write("#identifier", "kari@example.com")
            browser.write("#password", PASSWORD)
            yield Scene(browser, back_office)


def test_a_passkey_from_registration_to_the_decision(scene: Scene, tmp_path: Path) -> None:
    """Register after a password login, then log in with the passkey alone, then after a password: we accept what a real browser sends."""
    assert scene.log_in()["amr"] == ["pwd"]
    denied = scene.browser.click("#ask")
    assert [(reason["code"], reason["action"]) for reason in denied["reasons"]] == [("passkey_required", "enroll_passkey")]
    factor = scene.browser.click("#register")
    assert (factor["kind"], factor["state"], len(factor["recovery_codes"])) == ("passkey", "active", 10)
    assert scene.browser.click("#step-up")["amr"] == ["pwd", "hwk", "user", "mfa"]
    assert scene.browser.click("#ask")["allow"] is True
    assert scene.browser.click("#passkey")["amr"] == ["hwk", "user", "mfa"]
    assert scene.browser.click("#ask")["allow"] is True
    assert scene.log_in()["amr"] == ["pwd", "hwk", "user", "mfa"]
    assert scene.browser.credentials()[0]["signCount"] >= 4
    scene.browser.save_screenshot(tmp_path / "page.png")


def test_without_user_verification_the_browser_refuses(scene: Scene) -> None:
    """The browser does not use a locked passkey; the passkey works again later."""
    scene.log_in()
    scene.browser.click("#register")
    scene.browser.set_user_verified(verified=False)
    for button in ("#passkey", "#log-in"):
        assert scene.browser.click(button)["error"].startswith("NotAllowedError")
    scene.browser.set_user_verified(verified=True)
    assert scene.browser.click("#passkey")["amr"] == ["hwk", "user", "mfa"]


def test_the_same_authenticator_is_not_registered_twice(scene: Scene) -> None:
    scene.log_in()
    scene.browser.click("#register")
    scene.browser.click("#passkey")
    assert scene.browser.click("#register")["error"].startswith("InvalidStateError")
    assert len(scene.browser.credentials()) == 1
