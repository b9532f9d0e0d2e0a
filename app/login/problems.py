"""The refusals of logging in."""

from app.base.problems import Kind, Problem


class InvalidCredentials(Problem):
    kind = Kind.UNAUTHENTICATED
    code = "invalid_credentials"
    title = "No end user has this identifier and password."


class LoginOver(Problem):
    kind = Kind.UNAUTHENTICATED
    code = "login_over"
    title = "This login is finished, cancelled, expired or out of tries; begin again."


class DeviceCodeNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "device_code_not_found"
    title = "No request waits under this user code, or another session has opened it."


class DeviceCodeDecided(Problem):
    kind = Kind.CONFLICT
    code = "device_code_decided"
    title = "The request was decided already."


class AuthorizationPending(Problem):
    """This and the next three are codes of RFC 8628 section 3.5; the statuses are this API's, which has no 400."""

    kind = Kind.CONFLICT
    code = "authorization_pending"
    title = "Nobody has decided yet; ask again after the time in Retry-After."


class SlowDown(Problem):
    kind = Kind.THROTTLED
    code = "slow_down"
    title = "That was too soon; from now on wait five seconds more between two polls."


class AccessDenied(Problem):
    kind = Kind.FORBIDDEN
    code = "access_denied"
    title = "The request was denied, or the session that approved it is over."


class ExpiredToken(Problem):
    kind = Kind.GONE
    code = "expired_token"
    title = "The device code is unknown, used or expired; ask for a new one."


class CodeRefused(Problem):
    kind = Kind.UNAUTHENTICATED
    code = "code_refused"
    title = "The code is wrong or was used already; wait for the next one."


class StepUpRequired(Problem):
    kind = Kind.UNAUTHENTICATED
    code = "step_up_required"
    title = "This call wants a fresher or stronger login."


class EmailNotVerified(Problem):
    kind = Kind.FORBIDDEN
    code = "email_not_verified"
    title = "This can be done only after the e-mail address was verified."


class SecondFactorMissing(Problem):
    kind = Kind.CONFLICT
    code = "second_factor_missing"
    title = "The account has no second factor to step up with; set one up first."


class EnrolmentUnderWay(Problem):
    kind = Kind.CONFLICT
    code = "enrolment_under_way"
    title = "Another enrolment began at the same moment; begin again."


class EnrolmentNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "enrolment_not_found"
    title = "There is no such pending enrolment; it may have expired."


class OneTimeTokenSpent(Problem):
    kind = Kind.GONE
    code = "one_time_token_spent"
    title = "What was mailed is unknown, used, replaced or expired; ask for a new one."


class TotpRequired(Problem):
    kind = Kind.UNAUTHENTICATED
    code = "totp_required"
    title = "The account has a second factor; send its code along in `totp`."


class RegistrationClosed(Problem):
    kind = Kind.FORBIDDEN
    code = "registration_closed"
    title = "End users are created by the operator here."


class MailNotConfigured(Problem):
    kind = Kind.FORBIDDEN
    code = "mail_not_configured"
    title = "This installation sends no mail, so nothing can be proven by it."


class SessionNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "session_not_found"
    title = "There is no such session of this end user."


class StepNotDue(Problem):
    kind = Kind.CONFLICT
    code = "login_step_not_due"
    title = "The login does not want this step now; see its `next`."


class FactorNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "factor_not_found"
    title = "There is no such factor of this end user."


class FactorIndispensable(Problem):
    kind = Kind.CONFLICT
    code = "factor_indispensable"
    title = "The password cannot be removed; change it."


class PasswordWrong(Problem):
    kind = Kind.FORBIDDEN
    code = "password_wrong"
    title = "The current password does not fit."


class LoginCodeImpossible(Problem):
    kind = Kind.CONFLICT
    code = "login_code_impossible"
    title = "No code can be mailed to this end user; see `because`."


class PasskeysOff(Problem):
    kind = Kind.NOT_FOUND
    code = "passkeys_off"
    title = "This installation takes no passkeys."


class PasskeyRefused(Problem):
    kind = Kind.UNAUTHENTICATED
    code = "passkey_refused"
    title = "The passkey does not fit; ask for new options and try again."


class UserVerificationRequired(Problem):
    kind = Kind.UNAUTHENTICATED
    code = "user_verification_required"
    title = "The passkey was shown without PIN, fingerprint or face, and here it wants one."


class ChallengeSpent(Problem):
    kind = Kind.GONE
    code = "challenge_spent"
    title = "The challenge is unknown, used or expired, or was given to another; ask for new options."


class PasskeyTaken(Problem):
    kind = Kind.CONFLICT
    code = "passkey_taken"
    title = "This passkey is registered already."


class TooManyPasskeys(Problem):
    kind = Kind.CONFLICT
    code = "too_many_passkeys"
    title = "The account has as many passkeys as it may have; remove one first."


class PasskeyMissing(Problem):
    kind = Kind.CONFLICT
    code = "passkey_missing"
    title = "The account has no passkey to step up with; register one first."
