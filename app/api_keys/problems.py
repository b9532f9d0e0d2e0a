from app.base.problems import Kind, Problem


class ApiKeyNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "api_key_not_found"
    title = "The operator key does not exist."


class ApiKeyOver(Problem):
    kind = Kind.CONFLICT
    code = "api_key_over"
    title = "The key cannot be rotated: it is already replaced, revoked or expired."


class ScopeBeyondOwn(Problem):
    kind = Kind.FORBIDDEN
    code = "scope_beyond_own"
    title = "A key cannot create a key with more scopes or a later expiry than its own."
