"""The refusals of HTTP itself: who is calling, which route, what kind of body, which retry."""

from app.base.problems import Kind, Problem


class Unauthenticated(Problem):
    kind = Kind.UNAUTHENTICATED
    code = "unauthenticated"
    title = "This call wants an Authorization header."


class TokenInvalid(Problem):
    kind = Kind.UNAUTHENTICATED
    code = "token_invalid"
    title = "The presented credential is unknown, expired or revoked."


class ScopeMissing(Problem):
    kind = Kind.FORBIDDEN
    code = "scope_missing"
    title = "This operator key lacks the scope that the call wants."


class OperatorKeyRequired(Problem):
    kind = Kind.FORBIDDEN
    code = "operator_key_required"
    title = "Only an operator key may make this call."


class SubjectTokenRequired(Problem):
    kind = Kind.FORBIDDEN
    code = "subject_token_required"
    title = "Only the end user's own access token may make this call."


class ActivationTokenRequired(Problem):
    kind = Kind.FORBIDDEN
    code = "activation_token_required"
    title = "Only the seat's own activation token may make this call."


class LoginHandleRequired(Problem):
    kind = Kind.FORBIDDEN
    code = "login_handle_required"
    title = "This call wants an unfinished login: `Authorization: Login lgn_…`."


class RouteNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "route_not_found"
    title = "There is no such path."


class MethodNotAllowed(Problem):
    kind = Kind.METHOD_NOT_ALLOWED
    code = "method_not_allowed"
    title = "This path does not know that method; see the Allow header."


class NotAcceptable(Problem):
    kind = Kind.NOT_ACCEPTABLE
    code = "not_acceptable"
    title = "None of the forms that there are is one that the Accept header allows."


class NotHttp(Problem):
    kind = Kind.NOT_HTTP
    code = "not_http"
    title = "This is no HTTP/1.1 request; the connection is closed."


class HeadTooLarge(Problem):
    kind = Kind.HEAD_TOO_LARGE
    code = "head_too_large"
    title = "The address and the headers have more than 64 KiB; the connection is closed."


class BodyTooLarge(Problem):
    kind = Kind.TOO_LARGE
    code = "body_too_large"
    title = "The request body is larger than the service takes."


class BodyTooSlow(Problem):
    kind = Kind.TOO_SLOW
    code = "body_too_slow"
    title = "The request body did not arrive in time; nothing was changed."


class UnsupportedEncoding(Problem):
    kind = Kind.UNSUPPORTED_MEDIA
    code = "unsupported_encoding"
    title = "Bodies are plain UTF-8 JSON: no Content-Encoding and no other charset."


class InternalError(Problem):
    kind = Kind.BROKEN
    code = "internal_error"
    title = "The service failed; nothing was changed. Quote the request id."


class IdempotencyKeyReused(Problem):
    kind = Kind.INVALID
    code = "idempotency_key_reused"
    title = "This Idempotency-Key was used for another request."


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
    title = "Too many failures; wait, then try again."
