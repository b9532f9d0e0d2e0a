"""The refusals of turning keys over; only the command line meets them."""

from app.base.problems import Kind, Problem


class KeyTooYoung(Problem):
    kind = Kind.CONFLICT
    code = "signing_key_too_young"
    title = "The next signing key has not been published for long enough."
