"""Passkeys in headless Chromium with a virtual authenticator, on a page of another origin than the API's: `make test-browser`."""

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
    """A person's browser at the page, and the back office of the API."""

    browser: Browser
    back_office: httpx.Client

    def log_in(self) -> Any:
        return self.browser.click("#log-in")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the name it has there
        """Nobody reads it."""


@pytest.fixture
def page() -> Iterator[str]:
    """The origin that the page is served from."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(HERE))) as server:
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
    """Registered after a password, then shown alone, then after a password: what the real browser sends is what we take."""
    assert scene.log_in()["amr"] == ["pwd"]
    refused = scene.browser.click("#ask")
    assert [(it["code"], it["action"]) for it in refused["reasons"]] == [("passkey_required", "enroll_passkey")]
    made = scene.browser.click("#register")
    assert (made["kind"], made["state"], len(made["recovery_codes"])) == ("passkey", "active", 10)
    assert scene.browser.click("#step-up")["amr"] == ["pwd", "hwk", "user", "mfa"]
    assert scene.browser.click("#ask")["allow"] is True
    assert scene.browser.click("#passkey")["amr"] == ["hwk", "user", "mfa"]
    assert scene.browser.click("#ask")["allow"] is True
    assert scene.log_in()["amr"] == ["pwd", "hwk", "user", "mfa"]
    assert scene.browser.credentials()[0]["signCount"] >= 4
    scene.browser.picture(tmp_path / "page.png")


def test_without_user_verification_the_browser_refuses(scene: Scene) -> None:
    """The browser itself shows nothing that was not unlocked; and nothing is lost by it."""
    scene.log_in()
    scene.browser.click("#register")
    scene.browser.user_verified(verified=False)
    for button in ("#passkey", "#log-in"):
        assert scene.browser.click(button)["error"].startswith("NotAllowedError")
    scene.browser.user_verified(verified=True)
    assert scene.browser.click("#passkey")["amr"] == ["hwk", "user", "mfa"]


def test_the_same_authenticator_is_not_registered_twice(scene: Scene) -> None:
    scene.log_in()
    scene.browser.click("#register")
    scene.browser.click("#passkey")
    assert scene.browser.click("#register")["error"].startswith("InvalidStateError")
    assert len(scene.browser.credentials()) == 1
