"""The problems of key rotation; only the command line shows them."""

from app.base.problems import Kind, Problem


class KeyNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "signing_key_not_found"
    title = "The signing key does not exist."


class KeyInUse(Problem):
    kind = Kind.CONFLICT
    code = "signing_key_in_use"
    title = "The signing key is active; rotate first (`keys rotate`), then revoke it."


class KeyTooYoung(Problem):
    kind = Kind.CONFLICT
    code = "signing_key_too_young"
    title = "The next signing key has not been published for a day yet."
