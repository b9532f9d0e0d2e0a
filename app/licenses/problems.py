"""Problems of licensing. `build_refusal` returns the problem with the same code as a verdict's reason."""

from app.base.problems import Kind, Problem, field_error
from app.base.verdicts import Reason


class LicenseNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "license_not_found"
    title = "No license of this product has this key or id."


class LicenseRevoked(Problem):
    kind = Kind.FORBIDDEN
    code = "license_revoked"
    title = "The license was revoked."


class LicenseSuspended(Problem):
    kind = Kind.FORBIDDEN
    code = "license_suspended"
    title = "The license is suspended."


class LicenseNotStarted(Problem):
    kind = Kind.FORBIDDEN
    code = "license_not_started"
    title = "The license is not valid yet."


class LicenseExpired(Problem):
    kind = Kind.FORBIDDEN
    code = "license_expired"
    title = "The license has expired."


class UserNotAssigned(Problem):
    kind = Kind.FORBIDDEN
    code = "user_not_assigned"
    title = "The license is for assigned users only, and this user is not assigned."


class UserDisabled(Problem):
    kind = Kind.FORBIDDEN
    code = "user_disabled"
    title = "The end user's account is suspended or erased."


class DeviceRequired(Problem):
    kind = Kind.FORBIDDEN
    code = "device_required"
    title = "The license has a seat per device; send `device` with its fingerprint."


class NotActivated(Problem):
    kind = Kind.FORBIDDEN
    code = "not_activated"
    title = "The device or user has no seat of the license; activate first."


class LeaseExpired(Problem):
    kind = Kind.FORBIDDEN
    code = "lease_expired"
    title = "The lease of the seat has expired; activate again to take a free seat."


class LoginRequired(Problem):
    kind = Kind.UNAUTHENTICATED
    code = "login_required"
    title = "This call requires a logged-in end user."


class TrialUsed(Problem):
    kind = Kind.CONFLICT
    code = "trial_used"
    title = "This device has already used its trial of the product."


class SeatLimitReached(Problem):
    kind = Kind.CONFLICT
    code = "seat_limit_reached"
    title = "All seats of the license are taken."


class SeatsNotUsed(Problem):
    kind = Kind.CONFLICT
    code = "seats_not_used"
    title = "Licenses of this policy have no seats, so there is nothing to activate."


class UserLimitReached(Problem):
    kind = Kind.CONFLICT
    code = "user_limit_reached"
    title = "The license already has its maximum number of users."


class ActivationCodeInvalid(Problem):
    kind = Kind.NOT_FOUND
    code = "activation_code_invalid"
    title = "The activation code does not exist."


class ActivationCodeSpent(Problem):
    kind = Kind.GONE
    code = "activation_code_spent"
    title = "The activation code is used up, expired or revoked."


class ActivationCodeBound(Problem):
    kind = Kind.FORBIDDEN
    code = "activation_code_bound"
    title = "The activation code is for the end user with another e-mail address; that user must log in and verify it."


class ActivationNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "activation_not_found"
    title = "The activation (seat) does not exist."


class LicenseExternalIdTaken(Problem):
    kind = Kind.CONFLICT
    code = "license_external_id_taken"
    title = "Another license has this external id."


class LicenseKeyTaken(Problem):
    kind = Kind.CONFLICT
    code = "license_key_taken"
    title = "Another license has this key."


class LicenseNotRenewable(Problem):
    kind = Kind.CONFLICT
    code = "license_not_renewable"
    title = "The license cannot be renewed: it or its policy is perpetual. Set `expires_at` instead."


class LicenseClockNotStarted(Problem):
    kind = Kind.CONFLICT
    code = "license_clock_not_started"
    title = "The license starts with its first activation and has no dates to change before that."


class PolicyOfAnotherProduct(Problem):
    kind = Kind.CONFLICT
    code = "policy_of_another_product"
    title = "A license cannot move to another product; issue a new one."


class MeterNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "meter_not_found"
    title = "The license has no such meter."


class UsageLimitReached(Problem):
    kind = Kind.CONFLICT
    code = "usage_limit_reached"
    title = "The amount exceeds the meter's limit in this period; nothing was counted."


class LicenseDatesImpossible(Problem):
    kind = Kind.INVALID
    code = "license_dates_impossible"
    title = "The license would end before it starts, or after the year 9999."

    def __init__(self) -> None:
        super().__init__(None, field_error("/expires_at", self.code, "is not after the start, or is after the year 9999"))


_BY_CODE: dict[str, type[Problem]] = {
    problem.code: problem
    for problem in (
        LicenseNotFound, LicenseRevoked, LicenseSuspended, LicenseNotStarted, LicenseExpired, UserDisabled, UserNotAssigned, LoginRequired,
        DeviceRequired, NotActivated, LeaseExpired,
    )
}  # fmt: skip


def build_refusal(reason: Reason) -> Problem:
    """Build the problem that refuses a command, from the reason that a check reports."""
    return _BY_CODE[reason.code](reason.detail, reason.facts)


LICENSE_REFUSALS = (LicenseRevoked, LicenseSuspended, LicenseNotStarted, LicenseExpired, UserDisabled, UserNotAssigned)
