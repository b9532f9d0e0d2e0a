from app.base.problems import Kind, Problem


class ApiKeyNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "api_key_not_found"
    title = "There is no such operator key."


class ApiKeyOver(Problem):
    kind = Kind.CONFLICT
    code = "api_key_over"
    title = "The key was replaced or revoked, or its time is over: there is nothing to rotate."


class ScopeBeyondOwn(Problem):
    kind = Kind.FORBIDDEN
    code = "scope_beyond_own"
    title = "A key cannot hand out more than it holds: neither scopes nor time."
