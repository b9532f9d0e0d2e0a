"""A command-line application protected by Licentia: `python examples/client.py studio --server http://127.0.0.1:8000`.

It needs only httpx and decides nothing itself: it performs the `action`s of each response at their `href`s. It stores the last grant, so
that it can run offline until the grant expires. A real application would also verify the grant's signature with the public keys of
`/.well-known/jwks.json`, shipped with it or fetched while online.
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
"""Login actions that a command line can perform. A passkey needs the browser of another device."""
Body = dict[str, Any]


class Stop(Exception):
    """The application cannot continue. The message is for its user."""


class Unreachable(Exception):
    """No response, or one without a decision (5xx, 429): access is neither allowed nor denied."""


class Refused(Exception):
    """A call was refused with a problem (RFC 9457)."""

    def __init__(self, problem: Body) -> None:
        super().__init__(problem.get("detail", "refused"))
        self.code = problem.get("code")


def prompt(question: str, *, secret: bool = False) -> str:
    """Ask the user. Raises Stop without an input."""
    try:
        return getpass.getpass(f"{question}: ") if secret and sys.stdin.isatty() else input(f"{question}: ").strip()
    except EOFError:
        raise Stop(f"no input for: {question}") from None


class Application:
    """One product on one device. Its state is in one file that only its user can read."""

    def __init__(self, product: str, server: str, state_file: Path, *, by_code: bool = False) -> None:
        self.product, self.state_file, self.by_code = product, state_file, by_code
        self.http = httpx.Client(base_url=server, timeout=10)
        self.decision: Body = {}
        self.state: Body = json.loads(state_file.read_text()) if state_file.exists() else {"device": secrets.token_hex(16)}

    def save(self, **values: Any) -> None:
        """Change the state and write it to its file."""
        self.state.update(values)
        self.state_file.touch(mode=0o600)
        self.state_file.write_text(json.dumps(self.state))

    def call(self, href: str, body: Body | None = None, auth: str | None = None, method: str = "POST") -> Body:
        """Call the API and return the response's body. Raises Unreachable, Refused."""
        try:
            response = self.http.request(method, href, json=body, headers={"Authorization": auth} if auth else {})
        except httpx.TransportError as error:
            raise Unreachable(str(error)) from error
        if response.status_code >= 500 or response.status_code == 429:
            raise Unreachable(f"the server responds with {response.status_code}")
        try:
            result: Body = response.json() if response.content else {}
        except ValueError:
            raise Unreachable("the response is not from Licentia") from None
        if response.is_error:
            raise Refused(result)
        return result

    @property
    def bearer(self) -> str | None:
        """The Authorization header: the user's access token, or else the token of the device's seat."""
        token = self.state.get("access_token") or self.state.get("seat")
        return f"Bearer {token}" if token else None

    def request_decision(self) -> Body:
        """Request the access decision. An expired token is renewed once; if that fails, the decision requires a login."""
        nonce = secrets.token_hex(8)
        body = {"product": self.product, "device": {"fingerprint": self.state["device"]}, "nonce": nonce}
        if key := self.state.get("license", {}).get("license_key"):
            body["license_key"] = key
        try:
            decision = self.call("/v1/access", body, self.bearer)
        except Refused as refused:
            if refused.code != "token_invalid":
                raise Stop(str(refused)) from None
            self.renew()
            decision = self.call("/v1/access", body, self.bearer)
        if decision["nonce"] != nonce:
            raise Stop("the response belongs to another request")
        return decision

    def renew(self) -> None:
        """Renew the access token, or forget it if it cannot be renewed."""
        try:
            self.finish(self.call("/v1/token/refresh", {"refresh_token": self.state.get("refresh_token") or "none"}))
        except Refused:
            self.save(access_token=None, refresh_token=None)

    def start(self) -> Body:
        """Request the decision and perform its actions until access is allowed. Raises Stop, Unreachable."""
        for _ in range(MAX_STEPS):
            self.decision = decision = self.request_decision()
            self.save(grant=decision["grant"])  # a denial has no grant, so it deletes the last one
            if decision["allow"]:
                return decision
            reason = decision["reasons"][0]
            perform = getattr(self, f"do_{reason['action']}", None)
            if perform is None:  # the application cannot resolve this reason
                raise Stop(" ".join(each["detail"] for each in decision["reasons"]))
            try:
                perform(reason)
            except Refused as refused:
                print(refused)
        raise Stop("too many attempts")

    def do_log_in(self, reason: Body) -> None:
        if self.by_code:
            return self.log_in_by_device_grant()
        credentials = {"identifier": prompt("E-mail address"), "password": prompt("Password", secret=True)}
        return self.finish(self.call(reason["href"], {**credentials, "product": self.product}))

    def do_step_up(self, reason: Body) -> None:
        if self.by_code or reason["acr"] == "aal2p":
            return self.log_in_by_device_grant()
        return self.finish(self.call(reason["href"], {"acr": reason["acr"]}, self.bearer))

    def do_enroll_passkey(self, reason: Body) -> None:
        self.log_in_by_device_grant()

    def log_in_by_device_grant(self) -> None:
        """Log in with a short code that the user approves in a browser, for example with a passkey (RFC 8628)."""
        grant = self.call("/v1/device/code", {"product": self.product, "device": {"fingerprint": self.state["device"]}})
        print(f"Open {grant['verification_uri']} where you are logged in and enter {grant['user_code']}", flush=True)
        wait, deadline = grant["interval"], time.time() + grant["expires_in"]
        while time.time() < deadline:
            time.sleep(wait)
            try:
                return self.finish(self.call("/v1/device/token", {"device_code": grant["device_code"]}))
            except Unreachable:  # also 429 `slow_down`: wait five seconds longer from now on
                wait += 5
            except Refused as refused:
                if refused.code != "authorization_pending":
                    raise Stop(str(refused)) from None
        raise Stop("the code was not approved in time")

    def finish(self, login: Body) -> None:
        """Complete a login: perform each `next` step by the first way that a command line supports."""
        auth = f"Login {login['login']['token']}" if login["status"] == "incomplete" else None
        while login["status"] == "incomplete":
            way = next((way for way in login["next"][0]["any_of"] if way["action"] in SUPPORTED_ACTIONS), None)
            if way is None:
                return self.log_in_by_device_grant()
            if way["action"] == "enroll_totp":
                login = self.enroll(way["href"], "/v1/login/totp/confirm", auth)
            elif way["action"] == "change_password":
                login = self.call(way["href"], {"new": prompt("New password", secret=True)}, auth)
            else:
                login = self.send_code(way["href"], auth)
        return self.save(access_token=login["access_token"], refresh_token=login["refresh_token"])

    def enroll(self, href: str, confirm: str, auth: str | None) -> Body:
        """Enrol an authenticator app and confirm it with one of its codes."""
        enrolment = self.call(href, {}, auth)
        print(f"Add this to your authenticator: {enrolment['otpauth_uri']}")
        result = self.send_code(confirm.format(**enrolment), auth)
        if result.get("recovery_codes"):
            print("Keep these recovery codes somewhere safe:", *result["recovery_codes"])
        return result

    def send_code(self, href: str, auth: str | None) -> Body:
        """Ask for a code of the authenticator until it is correct."""
        while True:
            try:
                return self.call(href, {"code": prompt("Code of the authenticator")}, auth)
            except Refused as refused:
                if refused.code != "code_refused":
                    raise
                print(refused)

    def do_enroll_totp(self, reason: Body) -> None:
        self.enroll(reason["href"], reason["href"] + "/{id}/confirm", self.bearer)

    def do_verify_email(self, reason: Body) -> None:
        self.call(reason["href"], {"identifier": prompt("E-mail address")})
        self.call("/v1/email/verify", {"token": prompt("Token from the mail")})

    def do_enter_key(self, reason: Body) -> None:
        typed = prompt("License key or activation code")
        self.save(license={"activation_code" if CODE.fullmatch(typed) else "license_key": typed})
        if "activation_code" in self.state["license"]:
            self.do_activate(reason)

    def do_activate(self, reason: Body) -> None:
        user = f"Bearer {self.state['access_token']}" if self.state.get("access_token") else None
        credential = self.state.get("license") or {"license_id": self.decision["license"]["id"]}
        self.save(seat=self.call("/v1/activations", {**credential, "device": {"fingerprint": self.state["device"]}}, user)["token"])

    def do_accept_agreement(self, reason: Body) -> None:
        for document in reason["documents"]:
            presentation = self.call(document["href"], {"format": "text"}, self.bearer)
            print(presentation["text"]["body"])
            print(presentation["statement"])
            accepts = prompt(f"{presentation['accept_label']} (yes/no)").lower() in {"y", "yes"}
            body = {"decision": "accept" if accepts else "decline", "text_sha256": presentation["text"]["sha256"]}
            self.call(f"/v1/me/presentations/{presentation['id']}/decision", body, self.bearer)
            if not accepts:
                raise Stop("the agreement was not accepted")

    def grant_end(self) -> float:
        """Return when the last grant expires; 0 without a grant, or if the clock was set back to before its issue."""
        if not self.state.get("grant"):
            return 0
        payload = self.state["grant"].split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return float(claims["exp"]) if claims["aud"] == self.product and time.time() >= claims["iat"] - 60 else 0

    def work(self, seconds: float) -> None:
        """Run while access is allowed, offline until the grant expires; renew the decision before that. Raises Stop."""
        end, cause = time.time() + seconds, "never requested"
        while time.time() < end:
            try:
                decision = self.start()
                print(f"{self.product} runs, online.", *(warning["detail"] for warning in decision["warnings"]), flush=True)
            except Unreachable as error:
                cause = str(error)
                if time.time() < self.grant_end():
                    print(f"{self.product} runs, offline.", flush=True)
            if (remaining := self.grant_end() - time.time()) <= 0:
                raise Stop(f"Licentia cannot be reached ({cause}), and there is no valid grant")
            time.sleep(max(0.0, min(remaining, max(remaining / 2, 1), end - time.time())))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("product")
    parser.add_argument("--server", default="http://127.0.0.1:8000")
    parser.add_argument("--memory", type=Path, default=Path("client.json"), help="the file with its device id, tokens and grant")
    parser.add_argument("--code", action="store_true", help="log in with a short code instead of a password")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="how long to run")
    options = parser.parse_args()
    try:
        Application(options.product, options.server, options.memory, by_code=options.code).work(options.seconds)
    except Stop as stop:
        sys.exit(f"{options.product} stops: {stop}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
