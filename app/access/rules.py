"""The decision as a pure, ordered table: facts and `now` in; every reason, every warning and the next boundary out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from app.agreements.obligations import Compliance
from app.base.problems import Fact, declare_advisory
from app.base.verdicts import Notice, Reason
from app.catalog.models import Requirement
from app.catalog.rules import add_implied
from app.licenses import rules as licensing
from app.licenses.rules import LicenseFacts, UseRequest

EMAIL_UNVERIFIED = declare_advisory("email_unverified", "The end user's e-mail address is not verified.")
SECOND_FACTOR_REQUIRED = declare_advisory("second_factor_required", "The product wants a login with a second factor.")
PASSKEY_REQUIRED = declare_advisory("passkey_required", "The product wants a login with a passkey.")
AGREEMENT_REQUIRED = declare_advisory("agreement_required", "The end user has not accepted the agreement in force.")
AGREEMENT_DECLINED = declare_advisory("agreement_declined", "The end user declined the agreement in force.")

HREFS: Mapping[str, str] = {
    "log_in": "/v1/login",
    "verify_email": "/v1/email/verify/resend",
    "step_up": "/v1/step-up",
    "enroll_totp": "/v1/me/totp",
    "enroll_passkey": "/v1/me/passkeys/options",
    "activate": "/v1/activations",
    "accept_agreement": "/v1/me/agreements",
}
"""Where an action is begun, for those that begin with a call. The others are for the next question to bring (a key, a device), for
people (a renewal, an upgrade, a word with the seller), or for time."""


@dataclass(frozen=True)
class SessionFacts:
    """The end user who asks, as the rows say. `alive`: the session was neither revoked nor superseded; when it ends is `expires_at`.

    Unless it lives and the account is open, the end user counts as nobody: it proves nothing but the reason why. `passkey_at`: when
    a user-verifying passkey was last shown in the session; it is a second factor as well, and as old as one.
    """

    alive: bool
    active: bool
    email_verified: bool
    has_second_factor: bool
    second_factor_at: datetime | None
    expires_at: datetime
    has_passkey: bool = False
    passkey_at: datetime | None = None

    def lives(self, now: datetime) -> bool:
        return self.alive and now < self.expires_at

    def present(self, now: datetime) -> bool:
        return self.lives(now) and self.active


@dataclass(frozen=True)
class AccessFacts:
    """All that the decision looks at, read in one transaction."""

    requires: Sequence[str]
    session: SessionFacts | None
    second_factor_lifetime: timedelta
    license: LicenseFacts | None
    license_named: bool
    asked: UseRequest
    agreements: Compliance


@dataclass(frozen=True)
class Decision:
    """`check_again_at`: the earliest instant at which the answer could change by itself."""

    reasons: tuple[Reason, ...]
    warnings: tuple[Notice, ...]
    requires: tuple[str, ...]
    check_again_at: datetime | None

    @property
    def allow(self) -> bool:
        return not self.reasons


def decide(facts: AccessFacts, now: datetime) -> Decision:
    """Every requirement judged; identity reasons come alone until identity passes, for the rest hangs on who asks."""
    requires = tuple(add_implied([*facts.requires, *(facts.license.requires if facts.license else ())]))
    wanted = frozenset(requires)
    identity = tuple(reason for check in _IDENTITY for reason in check(facts, wanted, now))
    rest = () if identity else tuple(reason for check in _REST for reason in check(facts, wanted, now))
    reasons = identity or tuple(reason for reason in rest if reason.code in _OF_A_SEATS_USER) or rest
    return Decision(_with_hrefs(reasons), tuple(_warnings(facts, wanted, now)), requires, _boundary(facts, wanted, now))


def best(facts: AccessFacts, candidates: Sequence[LicenseFacts], now: datetime) -> tuple[AccessFacts, Decision]:
    """The decision over the license that answers best: fewest reasons, best standing, lasting longest.

    Where the product wants no license and none was named, having one that will not do is no worse than having none.
    What could change the answer of any of them could change which answers best.
    """
    optional = not facts.license_named and not facts.asked.features and Requirement.LICENSE not in add_implied(facts.requires)
    options: list[LicenseFacts | None] = [*candidates]
    if optional or not options:
        options.append(None)
    judged = [(it, decide(it, now)) for it in (replace(facts, license=license_) for license_ in options)]
    chosen, decision = min(judged, key=lambda pair: _badness(pair[0], pair[1], now))
    moments = [each.check_again_at for _, each in judged if each.check_again_at is not None]
    return chosen, replace(decision, check_again_at=min(moments, default=None))


_RANK = ("active", "in_grace", "not_started", "expired", "suspended", "revoked")


def _badness(facts: AccessFacts, decision: Decision, now: datetime) -> tuple[int, int, float]:
    it = facts.license
    if it is None:
        return len(decision.reasons), len(_RANK), 0
    return len(decision.reasons), _RANK.index(it.status(now)), -(it.expires_at.timestamp() if it.expires_at else float("inf"))


def _with_hrefs(reasons: Sequence[Reason]) -> tuple[Reason, ...]:
    return tuple(
        Reason(it.code, it.requirement, it.action, it.detail, {**it.facts, "href": HREFS[it.action]}) if it.action in HREFS else it
        for it in reasons
    )


def _disabled(facts: AccessFacts, wanted: frozenset[str], now: datetime) -> list[Reason]:
    if facts.session is None or facts.session.active:
        return []
    return [Reason("user_disabled", "login", "contact_seller", "The account is closed; ask the seller.")]


def _logged_in(facts: AccessFacts, wanted: frozenset[str], now: datetime) -> list[Reason]:
    if Requirement.LOGIN not in wanted or (facts.session is not None and (facts.session.lives(now) or not facts.session.active)):
        return []
    return [Reason("login_required", "login", "log_in", "Log in and ask again with the access token.")]


def _email(facts: AccessFacts, wanted: frozenset[str], now: datetime) -> list[Reason]:
    if Requirement.LOGIN not in wanted or not _present(facts, now) or (facts.session and facts.session.email_verified):
        return []
    return [Reason(EMAIL_UNVERIFIED, "login", "verify_email", "Verify the e-mail address.")]


def _second_factor(facts: AccessFacts, wanted: frozenset[str], now: datetime) -> list[Reason]:
    it = facts.session
    if Requirement.SECOND_FACTOR not in wanted or it is None or not _present(facts, now) or _strong(facts, now):
        return []
    if it.has_second_factor:
        return [Reason(SECOND_FACTOR_REQUIRED, "second_factor", "step_up", "Show the second factor.", {"acr": "aal2"})]
    return [Reason(SECOND_FACTOR_REQUIRED, "second_factor", "enroll_totp", "Set a second factor up.", {"acr": "aal2"})]


def _passkey(facts: AccessFacts, wanted: frozenset[str], now: datetime) -> list[Reason]:
    it = facts.session
    if Requirement.PASSKEY not in wanted or it is None or not _present(facts, now) or _fresh(facts, it.passkey_at, now):
        return []
    if it.has_passkey:
        return [Reason(PASSKEY_REQUIRED, "passkey", "step_up", "Show the passkey.", {"acr": "aal2p"})]
    return [Reason(PASSKEY_REQUIRED, "passkey", "enroll_passkey", "Set a passkey up.", {"acr": "aal2p"})]


def _present(facts: AccessFacts, now: datetime) -> bool:
    return facts.session is not None and facts.session.present(now)


def _strong(facts: AccessFacts, now: datetime) -> bool:
    return _fresh(facts, facts.session.second_factor_at if facts.session else None, now)


def _fresh(facts: AccessFacts, at: datetime | None, now: datetime) -> bool:
    return at is not None and now < at + facts.second_factor_lifetime


def _license(facts: AccessFacts, wanted: frozenset[str], now: datetime) -> list[Reason]:
    if facts.license is None:
        needed = Requirement.LICENSE in wanted or facts.license_named or facts.asked.features
        return [licensing.not_found()] if needed else []
    asked = replace(facts.asked, seat="always" if Requirement.ACTIVATION in wanted else "never")
    return list(licensing.reasons(facts.license, asked, now))


def _eula(facts: AccessFacts, wanted: frozenset[str], now: datetime) -> list[Reason]:
    if Requirement.EULA not in wanted or facts.agreements.compliant:
        return []
    listed: list[Fact] = [
        {"document": str(document), "ordinal": ordinal, "href": f"{HREFS['accept_agreement']}/{document}/presentations"}
        for document, ordinal in facts.agreements.outstanding
    ]
    if facts.agreements.declined:
        return [Reason(AGREEMENT_DECLINED, "eula", "accept_agreement", "The agreement was declined.", {"documents": listed})]
    return [Reason(AGREEMENT_REQUIRED, "eula", "accept_agreement", "Read and accept the agreement.", {"documents": listed})]


_OF_A_SEATS_USER = frozenset({"user_disabled", "login_required"})
"""Reasons of identity that only the license can give: it seats users, and nobody whom it could seat is there."""
Check = Callable[[AccessFacts, frozenset[str], datetime], list[Reason]]
_IDENTITY: tuple[Check, ...] = (_disabled, _logged_in, _email, _second_factor, _passkey)
_REST: tuple[Check, ...] = (_license, _eula)


def _warnings(facts: AccessFacts, wanted: frozenset[str], now: datetime) -> list[Notice]:
    told = list(licensing.warnings(facts.license, facts.asked, now)) if facts.license else []
    if Requirement.EULA in wanted and _present(facts, now):
        told += [Notice(code, "About an agreement of this product.", known) for code, known in facts.agreements.warnings]
    return told


def _boundary(facts: AccessFacts, wanted: frozenset[str], now: datetime) -> datetime | None:
    """Of all that the answer tells: its reasons and warnings, how sure the login is, and where the license and the agreements stand.

    But for the advice that a lease is half gone: asking is what renews it.
    """
    moments = [licensing.check_again_at(facts.license, now)] if facts.license else []
    it = facts.session
    if it is not None and it.present(now):
        moments += [it.expires_at, facts.agreements.valid_until]
        moments += [at + facts.second_factor_lifetime for at in (it.second_factor_at, it.passkey_at) if at is not None]
    return min((moment for moment in moments if moment is not None and moment > now), default=None)
