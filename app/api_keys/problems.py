from app.base.problems import Kind, Problem


class ApiKeyNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "api_key_not_found"
    title = "There is no such operator key."


class ApiKeyOver(Problem):
    kind = Kind.CONFLICT
    code = "api_key_over"
    title = "The key was replaced or revoked, or has expired, so it cannot be rotated."


class ScopeBeyondOwn(Problem):
    kind = Kind.FORBIDDEN
    code = "scope_beyond_own"
    title = "A key cannot grant more than it has itself, neither scopes nor validity."
