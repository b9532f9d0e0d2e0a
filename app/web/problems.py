"""The refusals of HTTP itself: who is calling, which route, what kind of body, which retry."""

from app.base.problems import Kind, Problem


class Unauthenticated(Problem):
    kind = Kind.UNAUTHENTICATED
    code = "unauthenticated"
    title = "This call requires an Authorization header."


class TokenInvalid(Problem):
    kind = Kind.UNAUTHENTICATED
    code = "token_invalid"
    title = "The presented credential is unknown, expired or revoked."


class ScopeMissing(Problem):
    kind = Kind.FORBIDDEN
    code = "scope_missing"
    title = "The operator key does not have the scope that this call requires."


class OperatorKeyRequired(Problem):
    kind = Kind.FORBIDDEN
    code = "operator_key_required"
    title = "This call requires an operator key."


class SubjectTokenRequired(Problem):
    kind = Kind.FORBIDDEN
    code = "subject_token_required"
    title = "This call requires an end user's access token."


class ActivationTokenRequired(Problem):
    kind = Kind.FORBIDDEN
    code = "activation_token_required"
    title = "This call requires the activation token of a seat."


class LoginHandleRequired(Problem):
    kind = Kind.FORBIDDEN
    code = "login_handle_required"
    title = "This call requires the handle of a pending login: `Authorization: Login lgn_…`."


class RouteNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "route_not_found"
    title = "This path does not exist."


class MethodNotAllowed(Problem):
    kind = Kind.METHOD_NOT_ALLOWED
    code = "method_not_allowed"
    title = "This path does not support the method; see the Allow header."


class NotAcceptable(Problem):
    kind = Kind.NOT_ACCEPTABLE
    code = "not_acceptable"
    title = "None of the available formats matches the Accept header."


class NotHttp(Problem):
    kind = Kind.NOT_HTTP
    code = "not_http"
    title = "The request is not valid HTTP/1.1; the connection is closed."


class HeadTooLarge(Problem):
    kind = Kind.HEAD_TOO_LARGE
    code = "head_too_large"
    title = "The URL and the headers are larger than 64 KiB; the connection is closed."


class BodyTooLarge(Problem):
    kind = Kind.TOO_LARGE
    code = "body_too_large"
    title = "The request body is too large."


class BodyTooSlow(Problem):
    kind = Kind.TOO_SLOW
    code = "body_too_slow"
    title = "The request body did not arrive in time; nothing was changed."


class UnsupportedEncoding(Problem):
    kind = Kind.UNSUPPORTED_MEDIA
    code = "unsupported_encoding"
    title = "The request body must be JSON in UTF-8, without Content-Encoding."


class InternalError(Problem):
    kind = Kind.BROKEN
    code = "internal_error"
    title = "An unexpected error occurred; nothing was changed. Report it with the `request_id`."


class IdempotencyKeyReused(Problem):
    kind = Kind.INVALID
    code = "idempotency_key_reused"
    title = "This Idempotency-Key was already used for another request."


class IdempotencyInProgress(Problem):
    kind = Kind.CONFLICT
    code = "idempotency_in_progress"
    title = "The first request with this Idempotency-Key is still running."


class CodeNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "code_not_found"
    title = "No problem has this code."


class TooManyAttempts(Problem):
    kind = Kind.THROTTLED
    code = "too_many_attempts"
    title = "Too many attempts; try again after the time in Retry-After."
