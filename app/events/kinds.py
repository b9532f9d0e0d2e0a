"""Every event type, with its description. A test in tests/house checks that no other type is recorded."""

from collections.abc import Iterable, Mapping

TEST = "webhook.test"
EVERY = "*"

KINDS: Mapping[str, str] = {
    "activation.released": "A seat was released; `reason` says why if its user did not release it.",
    "activation.taken": "A device, user or session took a seat.",
    "activation_code.created": "Activation codes were created for a license.",
    "activation_code.revoked": "An activation code was revoked.",
    "agreement.accepted": "An end user accepted a version of an agreement.",
    "agreement.annotated": "A correction was added to an event of the ledger.",
    "agreement.cancelled": "A published version was cancelled before any end user decided on it.",
    "agreement.changed": "An agreement's fields were changed.",
    "agreement.created": "An agreement was created.",
    "agreement.declined": "An end user declined a version of an agreement.",
    "agreement.draft_changed": "A draft's fields were changed.",
    "agreement.draft_deleted": "A draft was deleted.",
    "agreement.drafted": "A draft of a version was created.",
    "agreement.imported": "An acceptance that was given elsewhere was imported.",
    "agreement.notice_shown": "A notice was shown to an end user.",
    "agreement.presented": "A text was presented to an end user for a decision.",
    "agreement.published": "A version was published.",
    "agreement.text_deleted": "A draft's text in one language was deleted.",
    "agreement.text_written": "A draft's text in one language was written.",
    "agreement.withdrawn": "An end user withdrew an acceptance.",
    "agreement_events.exported": "An operator exported agreement events.",
    "api_key.created": "An operator key was created.",
    "api_key.revoked": "An operator key was revoked.",
    "api_key.rotated": "An operator key was rotated; the old key stays valid for the overlap.",
    "customer.changed": "A customer's fields were changed.",
    "customer.created": "A customer was created.",
    "device.authorization_approved": "An end user approved the login of an application (device grant).",
    "device.authorization_denied": "An end user denied the login of an application (device grant).",
    "device.authorization_requested": "An application requested a login by device grant.",
    "evidence.context_erased": "IP addresses and user agents of an end user's acceptances were erased.",
    "evidence.context_read": "An operator read the IP address and user agent of an acceptance.",
    "evidence.held": "An end user's evidence was put under a legal hold.",
    "evidence.read": "An operator read an end user's evidence.",
    "evidence.released": "A legal hold was released.",
    "factor.added": "An end user added another factor.",
    "factor.enrolment_begun": "An end user began to set up an authenticator.",
    "factor.removed": "An end user removed a factor.",
    "factor.suspected": "A passkey was disabled because there may be a copy of it.",
    "factors.reset": "An operator removed an end user's second factors.",
    "ledger.rebuilt": "Agreement states were rebuilt from the ledger.",
    "license.changed": "A license's fields were changed.",
    "license.issued": "A license was issued.",
    "license.key_rotated": "A license got a new key.",
    "license.policy_changed": "A license was moved to another policy.",
    "license.reinstated": "The suspension of a license ended.",
    "license.renewed": "A license was renewed.",
    "license.revoked": "A license was revoked permanently.",
    "license.started": "The term of a license began with its first seat.",
    "license.suspended": "A license was suspended.",
    "license.transferred": "A license was transferred to another customer.",
    "license.user_added": "An end user was assigned to a license.",
    "license.user_removed": "An end user's assignment was removed.",
    "login.failed": "A login failed.",
    "login_code.mailed": "An operator sent a login code by e-mail.",
    "login_code.used": "A mailed login code was used to begin a login.",
    "mail.failed": "An e-mail could not be delivered; no further attempts are made.",
    "offline_file.issued": "A signed file for offline use was issued.",
    "password.changed": "A password was changed.",
    "password.reset": "A forgotten password was reset.",
    "policy.changed": "A policy's fields were changed.",
    "policy.created": "A policy was created.",
    "product.changed": "A product's fields were changed.",
    "product.created": "A product was created.",
    "recovery_code.used": "A recovery code was used.",
    "recovery_codes.made": "Recovery codes were created.",
    "session.opened": "An end user logged in.",
    "session.revoked": "One session was revoked.",
    "session.stepped_up": "A session was stepped up with another factor.",
    "session.token_reused": "A refresh token was used twice; its session was revoked.",
    "sessions.revoked": "All sessions of an end user were revoked.",
    "signing_key.revoked": "A signing key was revoked.",
    "signing_key.rotated": "The next signing key replaced the previous one.",
    "user.changed": "An end user's profile was changed.",
    "user.created": "An end user was created.",
    "user.email_change_asked": "An end user requested a change of their e-mail address.",
    "user.email_changed": "An end user's e-mail address was changed.",
    "user.email_verified": "An end user's e-mail address was verified.",
    "user.erased": "An end user was erased.",
    "user.exported": "The data of an end user was exported.",
    "user.restored": "The suspension of an end user ended.",
    "user.suspended": "An end user was suspended.",
    "user.unlocked": "An operator reset an end user's counters of failed attempts.",
    "webhook.changed": "A webhook's fields were changed.",
    "webhook.created": "A webhook was created.",
    "webhook.deleted": "A webhook was deleted.",
    "webhook.disabled": "A webhook was disabled because its receiver is `gone` or was `failing` for days.",
    "webhook.replayed": "An operator requested deliveries again.",
    "webhook.secret_rotated": "A webhook got a new secret.",
    TEST: "An operator tested a webhook; only that webhook receives this event.",
}

_NOUNS = frozenset(kind.partition(".")[0] for kind in KINDS)


def is_known(pattern: str) -> bool:
    """Return whether a pattern names a type, all types of one noun (`license.*`), or all types (`*`)."""
    noun, dot, rest = pattern.partition(".")
    return pattern == EVERY or pattern in KINDS or (bool(dot) and rest == EVERY and noun in _NOUNS)


def matches_kind(pattern: str, kind: str) -> bool:
    """Return whether a type matches the pattern. The trigger of migration 0011 does the same in SQL."""
    return kind == pattern or (pattern.endswith(EVERY) and kind.startswith(pattern[:-1]))


def match_kinds(patterns: Iterable[str]) -> list[str]:
    """Return all types that match one of the patterns."""
    return [kind for kind in KINDS if any(matches_kind(pattern, kind) for pattern in patterns)]
