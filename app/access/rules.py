"""Decide access from facts and the current time. Returns every reason and warning and the time of the next change. Pure, no I/O."""

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
SECOND_FACTOR_REQUIRED = declare_advisory("second_factor_required", "The product requires a login with a second factor.")
PASSKEY_REQUIRED = declare_advisory("passkey_required", "The product requires a login with a passkey.")
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
"""Paths of the actions that start with a request. Other actions have no path: the application adds a field to its access request (a key, a
device), contacts the seller (a renewal, an upgrade), or waits."""


@dataclass(frozen=True)
class SessionFacts:
    """The session and account of the end user.

    `alive`: the session is neither revoked nor superseded; it ends at `expires_at`. `active`: the account is neither suspended nor erased.
    The end user counts as logged in only if both hold. `passkey_at`: when a user-verifying passkey was last used in the session; it also
    counts as a second factor and expires like one.
    """

    alive: bool
    active: bool
    email_verified: bool
    has_second_factor: bool
    second_factor_at: datetime | None
    expires_at: datetime
    has_passkey: bool = False
    passkey_at: datetime | None = None

    def is_live(self, now: datetime) -> bool:
        return self.alive and now < self.expires_at

    def is_logged_in(self, now: datetime) -> bool:
        return self.is_live(now) and self.active


@dataclass(frozen=True)
class AccessFacts:
    """All facts of one decision, read in one snapshot. `license` is one of the candidates, or None.

    `names_license`: the request has a license key or an activation token.
    """

    requires: Sequence[str]
    session: SessionFacts | None
    second_factor_lifetime: timedelta
    license: LicenseFacts | None
    names_license: bool
    use: UseRequest
    agreements: Compliance


@dataclass(frozen=True)
class AccessDecision:
    """The reasons against access, if any. `check_again_at`: the earliest time at which the decision can change without a write."""

    reasons: tuple[Reason, ...]
    warnings: tuple[Notice, ...]
    requires: tuple[str, ...]
    check_again_at: datetime | None

    @property
    def allow(self) -> bool:
        return not self.reasons


def decide(facts: AccessFacts, now: datetime) -> AccessDecision:
    """Check every requirement. If there are reasons about the login, only these are returned: the other checks depend on the user."""
    requires = tuple(add_implied([*facts.requires, *(facts.license.requires if facts.license else ())]))
    required = frozenset(requires)
    login_reasons = tuple(reason for check in _LOGIN_CHECKS for reason in check(facts, required, now))
    other_reasons = () if login_reasons else tuple(reason for check in _OTHER_CHECKS for reason in check(facts, required, now))
    reasons = login_reasons or tuple(reason for reason in other_reasons if reason.code in _SEAT_USER_REASONS) or other_reasons
    return AccessDecision(_add_hrefs(reasons), tuple(_find_warnings(facts, required, now)), requires, _find_next_change(facts, now))


def choose_best(facts: AccessFacts, candidates: Sequence[LicenseFacts], now: datetime) -> tuple[AccessFacts, AccessDecision]:
    """Decide for each candidate and return the best: fewest reasons, then best status, then latest expiry.

    If the product requires no license and the request names none, "no license" is also a candidate.
    `check_again_at` is the earliest of all candidates, because any of them can become the best.
    """
    optional = not facts.names_license and not facts.use.features and Requirement.LICENSE not in add_implied(facts.requires)
    options: list[LicenseFacts | None] = [*candidates]
    if optional or not options:
        options.append(None)
    decisions = [(option, decide(option, now)) for option in (replace(facts, license=license) for license in options)]
    best_facts, best = min(decisions, key=lambda pair: _rank(pair[0], pair[1], now))
    changes = [decision.check_again_at for _, decision in decisions if decision.check_again_at is not None]
    return best_facts, replace(best, check_again_at=min(changes, default=None))


_STATUS_ORDER = ("active", "in_grace", "not_started", "expired", "suspended", "revoked")


def _rank(facts: AccessFacts, decision: AccessDecision, now: datetime) -> tuple[int, int, float]:
    """Return a sort key; the smallest is the best."""
    license = facts.license
    if license is None:
        return len(decision.reasons), len(_STATUS_ORDER), 0
    expiry = license.expires_at.timestamp() if license.expires_at else float("inf")
    return len(decision.reasons), _STATUS_ORDER.index(license.status(now)), -expiry


def _add_hrefs(reasons: Sequence[Reason]) -> tuple[Reason, ...]:
    return tuple(
        Reason(reason.code, reason.requirement, reason.action, reason.detail, {**reason.facts, "href": HREFS[reason.action]})
        if reason.action in HREFS
        else reason
        for reason in reasons
    )


def _check_account(facts: AccessFacts, required: frozenset[str], now: datetime) -> list[Reason]:
    if facts.session is None or facts.session.active:
        return []
    return [Reason("user_disabled", "login", "contact_seller", "The account is suspended or erased; contact the seller.")]


def _check_login(facts: AccessFacts, required: frozenset[str], now: datetime) -> list[Reason]:
    if Requirement.LOGIN not in required or (facts.session is not None and (facts.session.is_live(now) or not facts.session.active)):
        return []
    return [Reason("login_required", "login", "log_in", "Log in, then send the request with the access token.")]


def _check_email(facts: AccessFacts, required: frozenset[str], now: datetime) -> list[Reason]:
    if Requirement.LOGIN not in required or not _is_logged_in(facts, now) or (facts.session and facts.session.email_verified):
        return []
    return [Reason(EMAIL_UNVERIFIED, "login", "verify_email", "Verify the e-mail address of the account.")]


def _check_second_factor(facts: AccessFacts, required: frozenset[str], now: datetime) -> list[Reason]:
    session = facts.session
    if (
        Requirement.SECOND_FACTOR not in required
        or session is None
        or not _is_logged_in(facts, now)
        or _has_fresh_second_factor(facts, now)
    ):
        return []
    if session.has_second_factor:
        return [Reason(SECOND_FACTOR_REQUIRED, "second_factor", "step_up", "Step up with the second factor.", {"acr": "aal2"})]
    return [Reason(SECOND_FACTOR_REQUIRED, "second_factor", "enroll_totp", "Set up a second factor.", {"acr": "aal2"})]


def _check_passkey(facts: AccessFacts, required: frozenset[str], now: datetime) -> list[Reason]:
    session = facts.session
    if Requirement.PASSKEY not in required or session is None or not _is_logged_in(facts, now) or _is_fresh(facts, session.passkey_at, now):
        return []
    if session.has_passkey:
        return [Reason(PASSKEY_REQUIRED, "passkey", "step_up", "Step up with a passkey.", {"acr": "aal2p"})]
    return [Reason(PASSKEY_REQUIRED, "passkey", "enroll_passkey", "Set up a passkey.", {"acr": "aal2p"})]


def _is_logged_in(facts: AccessFacts, now: datetime) -> bool:
    return facts.session is not None and facts.session.is_logged_in(now)


def _has_fresh_second_factor(facts: AccessFacts, now: datetime) -> bool:
    return _is_fresh(facts, facts.session.second_factor_at if facts.session else None, now)


def _is_fresh(facts: AccessFacts, at: datetime | None, now: datetime) -> bool:
    return at is not None and now < at + facts.second_factor_lifetime


def _check_license(facts: AccessFacts, required: frozenset[str], now: datetime) -> list[Reason]:
    if facts.license is None:
        is_needed = Requirement.LICENSE in required or facts.names_license or facts.use.features
        return [licensing.LICENSE_NOT_FOUND] if is_needed else []
    use = replace(facts.use, seat="always" if Requirement.ACTIVATION in required else "never")
    return list(licensing.find_reasons(facts.license, use, now))


def _check_agreements(facts: AccessFacts, required: frozenset[str], now: datetime) -> list[Reason]:
    if Requirement.EULA not in required or facts.agreements.compliant:
        return []
    documents: list[Fact] = [
        {"document": str(document), "ordinal": ordinal, "href": f"{HREFS['accept_agreement']}/{document}/presentations"}
        for document, ordinal in facts.agreements.outstanding
    ]
    if facts.agreements.declined:
        return [
            Reason(
                AGREEMENT_DECLINED,
                "eula",
                "accept_agreement",
                "The agreement was declined; read it again and accept it.",
                {"documents": documents},
            )
        ]
    return [Reason(AGREEMENT_REQUIRED, "eula", "accept_agreement", "Read and accept the agreement.", {"documents": documents})]


_SEAT_USER_REASONS = frozenset({"user_disabled", "login_required"})
"""Reasons about the login that come from a license whose seats belong to users. They also exclude the other reasons."""

Check = Callable[[AccessFacts, frozenset[str], datetime], list[Reason]]
_LOGIN_CHECKS: tuple[Check, ...] = (_check_account, _check_login, _check_email, _check_second_factor, _check_passkey)
_OTHER_CHECKS: tuple[Check, ...] = (_check_license, _check_agreements)


def _find_warnings(facts: AccessFacts, required: frozenset[str], now: datetime) -> list[Notice]:
    warnings = list(licensing.find_warnings(facts.license, facts.use, now)) if facts.license else []
    if Requirement.EULA in required and _is_logged_in(facts, now):
        warnings += [
            Notice(code, "An agreement of the product needs attention; see `/v1/me/agreements`.", details)
            for code, details in facts.agreements.warnings
        ]
    return warnings


def _find_next_change(facts: AccessFacts, now: datetime) -> datetime | None:
    """Return the earliest time at which anything in the response can change: license, session, assurance level, agreements.

    The warning that half of a lease has passed is left out, because an access request renews the lease.
    """
    changes = [licensing.find_next_change(facts.license, now)] if facts.license else []
    session = facts.session
    if session is not None and session.is_logged_in(now):
        changes += [session.expires_at, facts.agreements.valid_until]
        changes += [at + facts.second_factor_lifetime for at in (session.second_factor_at, session.passkey_at) if at is not None]
    return min((change for change in changes if change is not None and change > now), default=None)
