"""A command-line application that asks Licentia before it works: `python examples/client.py studio --server http://127.0.0.1:8000`.

It knows the contract and httpx, and decides nothing itself: it does what each answer's `action`s say at their `href`s. The last grant
is kept, so that it works without a connection until the grant ends. A real application would also verify the grant's signature
with the public keys of `/.well-known/jwks.json`, shipped with it or fetched while it was online.
"""

import argparse
import base64
import getpass
import json
import re
import secrets
import sys
import time
from pathlib import Path
from typing import Any

import httpx

CODE = re.compile(r"[0-9A-Za-z]{4}-[0-9A-Za-z]{4}-[0-9A-Za-z]{4}")
MAX_STEPS = 20
SUPPORTED_ACTIONS = {"verify_totp", "enroll_totp", "change_password"}
"""What can be done at a login here; for a passkey there is the browser of another device."""
Body = dict[str, Any]


class Stop(Exception):
    """The application cannot go on; says why, to the person in front of it."""


class Unreachable(Exception):
    """No answer, or one that is none (5xx): neither a yes nor a no."""


class Refused(Exception):
    """A refusal of a call (RFC 9457)."""

    def __init__(self, problem: Body) -> None:
        super().__init__(problem.get("detail", "refused"))
        self.code = problem.get("code")


def prompt(question: str, *, secret: bool = False) -> str:
    try:
        return getpass.getpass(f"{question}: ") if secret and sys.stdin.isatty() else input(f"{question}: ").strip()
    except EOFError:
        raise Stop(f"nobody is there to answer: {question}") from None


class Application:
    """One product on one device. All that it remembers is in one file that only its user can read."""

    def __init__(self, product: str, server: str, memory: Path, *, by_code: bool = False) -> None:
        self.product, self.memory, self.by_code = product, memory, by_code
        self.http = httpx.Client(base_url=server, timeout=10)
        self.told: Body = {}
        self.known: Body = json.loads(memory.read_text()) if memory.exists() else {"device": secrets.token_hex(16)}

    def remember(self, **facts: Any) -> None:
        self.known.update(facts)
        self.memory.touch(mode=0o600)
        self.memory.write_text(json.dumps(self.known))

    def call(self, href: str, body: Body | None = None, auth: str | None = None, method: str = "POST") -> Body:
        try:
            answer = self.http.request(method, href, json=body, headers={"Authorization": auth} if auth else {})
        except httpx.TransportError as gone:
            raise Unreachable(str(gone)) from gone
        if answer.status_code >= 500 or answer.status_code == 429:
            raise Unreachable(f"the server answers {answer.status_code}")
        try:
            told: Body = answer.json() if answer.content else {}
        except ValueError:
            raise Unreachable("somebody else answers") from None
        if answer.is_error:
            raise Refused(told)
        return told

    @property
    def bearer(self) -> str | None:
        token = self.known.get("access_token") or self.known.get("seat")
        return f"Bearer {token}" if token else None

    def ask(self) -> Body:
        """The decision. A token that has run out is renewed once; if that fails, the person is asked to log in by the answer."""
        nonce = secrets.token_hex(8)
        body = {"product": self.product, "device": {"fingerprint": self.known["device"]}, "nonce": nonce}
        if key := self.known.get("license", {}).get("license_key"):
            body["license_key"] = key
        try:
            told = self.call("/v1/access", body, self.bearer)
        except Refused as refused:
            if refused.code != "token_invalid":
                raise Stop(str(refused)) from None
            self.renew()
            told = self.call("/v1/access", body, self.bearer)
        if told["nonce"] != nonce:
            raise Stop("the answer is not to our question")
        return told

    def renew(self) -> None:
        try:
            self.finish(self.call("/v1/token/refresh", {"refresh_token": self.known.get("refresh_token") or "none"}))
        except Refused:
            self.remember(access_token=None, refresh_token=None)

    def start(self) -> Body:
        """Ask and do what is asked, until the answer is yes. Raises Stop, Unreachable."""
        for _ in range(MAX_STEPS):
            self.told = told = self.ask()
            self.remember(grant=told["grant"])  # a no ends the last yes
            if told["allow"]:
                return told
            reason = told["reasons"][0]
            act = getattr(self, f"do_{reason['action']}", None)
            if act is None:  # for people, or for time
                raise Stop(" ".join(each["detail"] for each in told["reasons"]))
            try:
                act(reason)
            except Refused as refused:
                print(refused)
        raise Stop("too many tries")

    def do_log_in(self, reason: Body) -> None:
        if self.by_code:
            return self.be_let_in()
        who = {"identifier": prompt("E-mail address"), "password": prompt("Password", secret=True)}
        return self.finish(self.call(reason["href"], {**who, "product": self.product}))

    def do_step_up(self, reason: Body) -> None:
        if self.by_code or reason["acr"] == "aal2p":
            return self.be_let_in()
        return self.finish(self.call(reason["href"], {"acr": reason["acr"]}, self.bearer))

    def do_enroll_passkey(self, reason: Body) -> None:
        self.be_let_in()

    def be_let_in(self) -> None:
        """Without a keyboard, or without a browser that has passkeys: whoever is logged in elsewhere approves a short code (RFC 8628)."""
        asked = self.call("/v1/device/code", {"product": self.product, "device": {"fingerprint": self.known["device"]}})
        print(f"Open {asked['verification_uri']} where you are logged in and enter {asked['user_code']}", flush=True)
        wait, end = asked["interval"], time.time() + asked["expires_in"]
        while time.time() < end:
            time.sleep(wait)
            try:
                return self.finish(self.call("/v1/device/token", {"device_code": asked["device_code"]}))
            except Unreachable:  # `slow_down` too: five seconds more from now on, as the server counts them
                wait += 5
            except Refused as refused:
                if refused.code != "authorization_pending":
                    raise Stop(str(refused)) from None
        raise Stop("nobody has approved it in time")

    def finish(self, told: Body) -> None:
        """The rest of a login: whatever comes `next`, by the first way that is offered and can be gone here."""
        auth = f"Login {told['login']['token']}" if told["status"] == "incomplete" else None
        while told["status"] == "incomplete":
            way = next((way for way in told["next"][0]["any_of"] if way["action"] in SUPPORTED_ACTIONS), None)
            if way is None:
                return self.be_let_in()
            if way["action"] == "enroll_totp":
                told = self.enrolled(way["href"], "/v1/login/totp/confirm", auth)
            elif way["action"] == "change_password":
                told = self.call(way["href"], {"new": prompt("New password", secret=True)}, auth)
            else:
                told = self.show_code(way["href"], auth)
        return self.remember(access_token=told["access_token"], refresh_token=told["refresh_token"])

    def enrolled(self, href: str, confirm: str, auth: str | None) -> Body:
        made = self.call(href, {}, auth)
        print(f"Add this to your authenticator: {made['otpauth_uri']}")
        told = self.show_code(confirm.format(**made), auth)
        if told.get("recovery_codes"):
            print("Keep these recovery codes somewhere safe:", *told["recovery_codes"])
        return told

    def show_code(self, href: str, auth: str | None) -> Body:
        while True:
            try:
                return self.call(href, {"code": prompt("Code of the authenticator")}, auth)
            except Refused as refused:
                if refused.code != "code_refused":
                    raise
                print(refused)

    def do_enroll_totp(self, reason: Body) -> None:
        self.enrolled(reason["href"], reason["href"] + "/{id}/confirm", self.bearer)

    def do_verify_email(self, reason: Body) -> None:
        self.call(reason["href"], {"identifier": prompt("E-mail address")})
        self.call("/v1/email/verify", {"token": prompt("Token from the mail")})

    def do_enter_key(self, reason: Body) -> None:
        typed = prompt("License key or activation code")
        self.remember(license={"activation_code" if CODE.fullmatch(typed) else "license_key": typed})
        if "activation_code" in self.known["license"]:
            self.do_activate(reason)

    def do_activate(self, reason: Body) -> None:
        user = f"Bearer {self.known['access_token']}" if self.known.get("access_token") else None
        named = self.known.get("license") or {"license_id": self.told["license"]["id"]}
        self.remember(seat=self.call("/v1/activations", {**named, "device": {"fingerprint": self.known["device"]}}, user)["token"])

    def do_accept_agreement(self, reason: Body) -> None:
        for wanted in reason["documents"]:
            shown = self.call(wanted["href"], {"format": "text"}, self.bearer)
            print(shown["text"]["body"])
            print(shown["statement"])
            yes = prompt(f"{shown['accept_label']} (yes/no)").lower() in {"y", "yes"}
            word = {"decision": "accept" if yes else "decline", "text_sha256": shown["text"]["sha256"]}
            self.call(f"/v1/me/presentations/{shown['id']}/decision", word, self.bearer)
            if not yes:
                raise Stop("the agreement was not accepted")

    def until(self) -> float:
        """When the last grant ends; 0 without one, or if the clock was set back behind its making."""
        if not self.known.get("grant"):
            return 0
        payload = self.known["grant"].split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["exp"]) if claims["aud"] == self.product and time.time() >= claims["iat"] - 60 else 0

    def work(self, seconds: float) -> None:
        """Ask, work while the grant lasts, ask again before it ends. Raises Stop."""
        end, why = time.time() + seconds, "never asked"
        while time.time() < end:
            try:
                told = self.start()
                print(f"{self.product} runs, online.", *(warned["detail"] for warned in told["warnings"]), flush=True)
            except Unreachable as gone:
                why = str(gone)
                if time.time() < self.until():
                    print(f"{self.product} runs, offline.", flush=True)
            if (left := self.until() - time.time()) <= 0:
                raise Stop(f"Licentia cannot be reached ({why}), and there is no grant to go on with")
            time.sleep(max(0.0, min(left, max(left / 2, 1), end - time.time())))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("product")
    parser.add_argument("--server", default="http://127.0.0.1:8000")
    parser.add_argument("--memory", type=Path, default=Path("client.json"), help="where it remembers its device, tokens and grant")
    parser.add_argument("--code", action="store_true", help="log in by a short code instead of a password")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="how long to work")
    options = parser.parse_args()
    try:
        Application(options.product, options.server, options.memory, by_code=options.code).work(options.seconds)
    except Stop as stop:
        sys.exit(f"{options.product} stops: {stop}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
