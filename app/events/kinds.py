"""Every kind of event there is, with what it tells of. Whoever records one that is not here is found by a house test."""

from collections.abc import Iterable, Mapping

TEST = "webhook.test"
EVERY = "*"

KINDS: Mapping[str, str] = {
    "activation.released": "A seat was given back, or taken away with `reason`.",
    "activation.taken": "A device, user or session took a seat.",
    "activation_code.created": "Activation codes were made for a license.",
    "activation_code.revoked": "An activation code was revoked.",
    "agreement.accepted": "An end user accepted a version of an agreement.",
    "agreement.annotated": "A correction was noted about an event of the ledger.",
    "agreement.cancelled": "A published version was cancelled before anybody decided on it.",
    "agreement.changed": "An agreement's own fields were changed.",
    "agreement.created": "An agreement was declared.",
    "agreement.declined": "An end user declined a version of an agreement.",
    "agreement.draft_changed": "A draft's fields were changed.",
    "agreement.draft_deleted": "A draft was deleted.",
    "agreement.drafted": "A draft of a version was begun.",
    "agreement.imported": "An acceptance that was given elsewhere was brought in.",
    "agreement.notice_shown": "A notice was shown to an end user.",
    "agreement.presented": "A text was shown to an end user for a decision.",
    "agreement.published": "A version was published.",
    "agreement.text_deleted": "A draft's text in one language was deleted.",
    "agreement.text_written": "A draft's text in one language was written.",
    "agreement.withdrawn": "An end user withdrew an acceptance.",
    "agreement_events.exported": "An operator exported agreement events.",
    "api_key.created": "An operator key was made.",
    "api_key.revoked": "An operator key was revoked.",
    "api_key.rotated": "An operator key got a successor; the old one is good for a while yet.",
    "customer.changed": "A customer's fields were changed.",
    "customer.created": "A customer was recorded.",
    "device.authorization_approved": "An end user let an application in by its short code.",
    "device.authorization_denied": "An end user turned an application with a short code away.",
    "device.authorization_requested": "An application asked to be let in by a short code.",
    "evidence.context_erased": "Addresses and agents of an end user's acceptances were erased.",
    "evidence.context_read": "An operator read the address and agent of an acceptance.",
    "evidence.held": "An end user's evidence was put under a legal hold.",
    "evidence.read": "An operator took an end user's evidence.",
    "evidence.released": "A legal hold was lifted.",
    "factor.added": "An end user got another way to log in.",
    "factor.enrolment_begun": "An end user began to set an authenticator up.",
    "factor.removed": "An end user removed a factor.",
    "factor.suspected": "A passkey was put out of use, for there may be a copy of it.",
    "factors.reset": "An operator removed an end user's second factors.",
    "ledger.rebuilt": "States of agreements were made anew from the ledger.",
    "license.changed": "A license's fields were changed.",
    "license.issued": "A license was issued.",
    "license.key_rotated": "A license got a new key.",
    "license.policy_changed": "A license was put under another policy.",
    "license.reinstated": "A suspension was taken back.",
    "license.renewed": "A license was renewed.",
    "license.revoked": "A license was revoked for good.",
    "license.started": "A license's dates began with its first seat.",
    "license.suspended": "A license was suspended.",
    "license.transferred": "A license went to another customer.",
    "license.user_added": "An end user was assigned to a license.",
    "license.user_removed": "An end user's assignment was taken away.",
    "login.failed": "Somebody did not get in.",
    "login_code.mailed": "An operator had a login code mailed.",
    "login_code.used": "A mailed login code began a login.",
    "mail.failed": "A letter was given up.",
    "offline_file.issued": "A signed file for use without a network was issued.",
    "password.changed": "A password was changed.",
    "password.reset": "A forgotten password was replaced.",
    "policy.changed": "A policy's fields were changed.",
    "policy.created": "A policy was declared.",
    "product.changed": "A product's fields were changed.",
    "product.created": "A product was declared.",
    "recovery_code.used": "A recovery code was used.",
    "recovery_codes.made": "Recovery codes were made.",
    "session.opened": "An end user logged in.",
    "session.revoked": "One session was ended.",
    "session.stepped_up": "A session was strengthened by another factor.",
    "session.token_reused": "A refresh token came twice; its session was ended.",
    "sessions.revoked": "All sessions of an end user were ended.",
    "signing_key.revoked": "A signing key was put out of use.",
    "signing_key.rotated": "Another signing key signs from now on.",
    "user.changed": "An end user's profile was changed.",
    "user.created": "An end user was created.",
    "user.email_change_asked": "An end user asked to move to another address.",
    "user.email_changed": "An end user moved to another address.",
    "user.email_verified": "An end user's address was proven.",
    "user.erased": "An end user was erased.",
    "user.exported": "All that is kept about an end user was told.",
    "user.restored": "A suspension of an end user was taken back.",
    "user.suspended": "An end user was suspended.",
    "user.unlocked": "An operator lifted the lock after wrong tries.",
    "webhook.changed": "A webhook's fields were changed.",
    "webhook.created": "A webhook was declared.",
    "webhook.deleted": "A webhook was deleted.",
    "webhook.disabled": "A webhook was disabled because its receiver is `gone` or was `failing` for days.",
    "webhook.replayed": "An operator had deliveries made again.",
    "webhook.secret_rotated": "A webhook got a new secret.",
    TEST: "An operator tests a webhook; it goes to that one alone.",
}

_NOUNS = frozenset(kind.partition(".")[0] for kind in KINDS)


def is_known(pattern: str) -> bool:
    """Whether it names a kind, all kinds of one noun (`license.*`), or all there are (`*`)."""
    noun, dot, rest = pattern.partition(".")
    return pattern == EVERY or pattern in KINDS or (bool(dot) and rest == EVERY and noun in _NOUNS)


def matches_kind(pattern: str, kind: str) -> bool:
    """Whether a kind is among those that the pattern names. The trigger of migration 0011 says the same in SQL."""
    return kind == pattern or (pattern.endswith(EVERY) and kind.startswith(pattern[:-1]))


def match_kinds(patterns: Iterable[str]) -> list[str]:
    """The kinds there are today that one of the patterns names."""
    return [kind for kind in KINDS if any(matches_kind(pattern, kind) for pattern in patterns)]
