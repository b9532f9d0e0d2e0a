"""Problems of the login package."""

from app.base.problems import Kind, Problem


class InvalidCredentials(Problem):
    kind = Kind.UNAUTHENTICATED
    code = "invalid_credentials"
    title = "The identifier or the password is wrong."


class LoginOver(Problem):
    kind = Kind.UNAUTHENTICATED
    code = "login_over"
    title = "This login is finished, cancelled, expired or out of attempts; begin a new login."


class DeviceCodeNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "device_code_not_found"
    title = "No pending request has this user code, or another session has opened it."


class DeviceCodeDecided(Problem):
    kind = Kind.CONFLICT
    code = "device_code_decided"
    title = "The request was already approved or denied."


class AuthorizationPending(Problem):
    """The request is not decided yet. The code is from RFC 8628 section 3.5, like the next three; the HTTP statuses differ."""

    kind = Kind.CONFLICT
    code = "authorization_pending"
    title = "The request is not decided yet; poll again after Retry-After."


class SlowDown(Problem):
    kind = Kind.THROTTLED
    code = "slow_down"
    title = "The poll came too early; wait five seconds longer between polls from now on."


class AccessDenied(Problem):
    kind = Kind.FORBIDDEN
    code = "access_denied"
    title = "The request was denied, or the session that approved it has ended."


class ExpiredToken(Problem):
    kind = Kind.GONE
    code = "expired_token"
    title = "The device code is unknown, used or expired; request a new one."


class CodeRefused(Problem):
    kind = Kind.UNAUTHENTICATED
    code = "code_refused"
    title = "The code is wrong or was already used; enter the next code."


class StepUpRequired(Problem):
    kind = Kind.UNAUTHENTICATED
    code = "step_up_required"
    title = "This call requires a more recent or stronger login."


class EmailNotVerified(Problem):
    kind = Kind.FORBIDDEN
    code = "email_not_verified"
    title = "The e-mail address of the account is not verified; verify it first."


class SecondFactorMissing(Problem):
    kind = Kind.CONFLICT
    code = "second_factor_missing"
    title = "The account has no second factor to step up with; set one up first."


class EnrolmentUnderWay(Problem):
    kind = Kind.CONFLICT
    code = "enrolment_under_way"
    title = "Another enrolment began at the same time; begin the enrolment again."


class EnrolmentNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "enrolment_not_found"
    title = "This enrolment is not pending; it may have expired. Begin it again."


class OneTimeTokenSpent(Problem):
    kind = Kind.GONE
    code = "one_time_token_spent"
    title = "The mailed token or code is unknown, used, replaced or expired; request a new one."


class TotpRequired(Problem):
    kind = Kind.UNAUTHENTICATED
    code = "totp_required"
    title = "The account has a second factor; send its code in `totp`."


class RegistrationClosed(Problem):
    kind = Kind.FORBIDDEN
    code = "registration_closed"
    title = "Self-registration is disabled; the operator creates end users."


class MailNotConfigured(Problem):
    kind = Kind.FORBIDDEN
    code = "mail_not_configured"
    title = "This installation cannot send e-mail; the operator must configure it."


class SessionNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "session_not_found"
    title = "The session does not exist, or it belongs to another end user."


class StepNotDue(Problem):
    kind = Kind.CONFLICT
    code = "login_step_not_due"
    title = "The login does not require this step now; see its `next`."


class FactorNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "factor_not_found"
    title = "The factor does not exist, or it belongs to another end user."


class FactorIndispensable(Problem):
    kind = Kind.CONFLICT
    code = "factor_indispensable"
    title = "The password cannot be removed; change it instead."


class PasswordWrong(Problem):
    kind = Kind.FORBIDDEN
    code = "password_wrong"
    title = "The current password is wrong."


class LoginCodeImpossible(Problem):
    kind = Kind.CONFLICT
    code = "login_code_impossible"
    title = "No login code can be mailed to this end user; see `because`."


class PasskeysOff(Problem):
    kind = Kind.NOT_FOUND
    code = "passkeys_off"
    title = "Passkeys are disabled in this installation."


class PasskeyRefused(Problem):
    kind = Kind.UNAUTHENTICATED
    code = "passkey_refused"
    title = "The passkey was not accepted; request new options and try again."


class UserVerificationRequired(Problem):
    kind = Kind.UNAUTHENTICATED
    code = "user_verification_required"
    title = "This login requires user verification: use the passkey with PIN, fingerprint or face."


class ChallengeSpent(Problem):
    kind = Kind.GONE
    code = "challenge_spent"
    title = "The passkey challenge is unknown, used, expired or belongs to another caller; request new options."


class PasskeyTaken(Problem):
    kind = Kind.CONFLICT
    code = "passkey_taken"
    title = "This passkey is already registered."


class TooManyPasskeys(Problem):
    kind = Kind.CONFLICT
    code = "too_many_passkeys"
    title = "The account has the maximum number of passkeys; remove one first."


class PasskeyMissing(Problem):
    kind = Kind.CONFLICT
    code = "passkey_missing"
    title = "The account has no passkey to step up with; register one first."
