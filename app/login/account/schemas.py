"""Wire shapes of registering, proving an address and setting a forgotten password."""

from typing import Annotated, Literal

from pydantic import Field

from app.login.account.password_reset import SecondFactorProof
from app.login.fields import Code, Password
from app.web.fields import Email, Locale, Name, Secret, WireModel

MailedToken = Annotated[Secret, Field(max_length=256)]
Identifier = Annotated[Secret, Field(max_length=320)]


class RegisterIn(WireModel):
    """`locale` is the language of the letters, and of the account."""

    email: Email
    password: Password
    display_name: Name | None = None
    locale: Locale | None = None


class IdentifierIn(WireModel):
    identifier: Identifier


class EmailVerifyIn(WireModel):
    """`password`, for the token of a registration: the account's, whatever was asked for before. Ask for it on the page of the proof,
    and nobody gets in by a password that a stranger chose."""

    token: MailedToken
    password: Password | None = None


class ResetIn(WireModel):
    """`totp` or `recovery_code` is wanted if the account has a second factor; of both, the first is looked at."""

    token: MailedToken
    new_password: Password
    totp: Code | None = None
    recovery_code: Code | None = None

    def proof(self) -> SecondFactorProof:
        return SecondFactorProof(self.totp, self.recovery_code)


class EmailIn(WireModel):
    email: Email


class Accepted(WireModel):
    """Said to everybody, whether a letter follows or not."""

    status: Literal["accepted"] = "accepted"


class EmailVerified(WireModel):
    """The address that is proven now. `password_dropped`: it was registered or asked for more than once, so no password
    counts; set one by `/v1/password/forgot`."""

    status: Literal["verified"] = "verified"
    email: str
    password_dropped: bool
