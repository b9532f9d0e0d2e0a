from app.base.problems import Kind, Problem


class UserNotFound(Problem):
    kind = Kind.NOT_FOUND
    code = "user_not_found"
    title = "The end user does not exist."


class EmailTaken(Problem):
    kind = Kind.CONFLICT
    code = "email_taken"
    title = "Another end user has this e-mail address."


class UserExternalIdTaken(Problem):
    kind = Kind.CONFLICT
    code = "user_external_id_taken"
    title = "Another end user has this external id."


class UserErased(Problem):
    kind = Kind.CONFLICT
    code = "user_erased"
    title = "The end user was erased; the account can no longer be used."


class AgeBandFixed(Problem):
    kind = Kind.FORBIDDEN
    code = "age_band_fixed"
    title = "Users can only raise their age band: unknown, minor, adult. The operator can make any change."
