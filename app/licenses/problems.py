"""The refusals of licensing. Those with a standing's code are raised by `refusal`, from the first reason of a judgement."""

from app.base.problems import Fact, Kind, Problem


class LicenseNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "license_not_found"
    title = "No license of this product has this key."


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
    title = "The license serves assigned users only, and this is not one of them."


class DeviceRequired(Problem):
    kind = Kind.FORBIDDEN
    code = "device_required"
    title = "The license is used by device; name the device."


class SeatLimitReached(Problem):
    kind = Kind.CONFLICT
    code = "seat_limit_reached"
    title = "Every seat of the license is taken."


class SeatsNotUsed(Problem):
    kind = Kind.CONFLICT
    code = "seats_not_used"
    title = "Licenses of this policy have no seats; there is nothing to activate."


class UserLimitReached(Problem):
    kind = Kind.CONFLICT
    code = "user_limit_reached"
    title = "The license has as many users as it may have."


class ActivationCodeInvalid(Problem):
    kind = Kind.NOT_FOUND
    code = "activation_code_invalid"
    title = "There is no such activation code."


class ActivationCodeSpent(Problem):
    kind = Kind.GONE
    code = "activation_code_spent"
    title = "The activation code is used up, expired or revoked."


class ActivationNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "activation_not_found"
    title = "There is no such activation."


class LicenseExternalIdTaken(Problem):
    kind = Kind.CONFLICT
    code = "license_external_id_taken"
    title = "Another license has this external id."


class LicenseDatesImpossible(Problem):
    kind = Kind.INVALID
    code = "license_dates_impossible"
    title = "The license would end before it starts, or beyond the calendar."


_BY_CODE: dict[str, type[Problem]] = {
    problem.code: problem
    for problem in (LicenseNotFound, LicenseRevoked, LicenseSuspended, LicenseNotStarted, LicenseExpired, UserNotAssigned, DeviceRequired)
}


def refusal(code: str, detail: str, facts: dict[str, Fact]) -> Problem:
    """The problem that a command answers with where a check would give this reason."""
    return _BY_CODE[code](detail, facts)
