"""Wire models of registration, address verification and password reset."""

from typing import Annotated, Literal

from pydantic import Field

from app.login.account.password_reset import SecondFactorProof
from app.login.fields import Code, Password
from app.web.fields import Email, Locale, Name, Secret, WireModel

MailedTokenText = Annotated[Secret, Field(max_length=256)]
LoginIdentifier = Annotated[Secret, Field(max_length=320)]


class RegisterIn(WireModel):
    """`locale`: the language of the e-mails and of the account."""

    email: Email
    password: Password
    display_name: Name | None = None
    locale: Locale | None = None


class IdentifierIn(WireModel):
    identifier: LoginIdentifier


class EmailVerifyIn(WireModel):
    """`password`: only with the token of a registration; it replaces the password of the registration request.

    Require it on your verification page: then no password chosen by a stranger is ever used.
    """

    token: MailedTokenText
    password: Password | None = None


class ResetIn(WireModel):
    """If the account has a second factor, send `totp` or `recovery_code`. If both are sent, only `totp` is checked."""

    token: MailedTokenText
    new_password: Password
    totp: Code | None = None
    recovery_code: Code | None = None

    def to_proof(self) -> SecondFactorProof:
        return SecondFactorProof(self.totp, self.recovery_code)


class EmailChangeIn(WireModel):
    email: Email


class Accepted(WireModel):
    """The same response for every address, whether an e-mail is sent or not."""

    status: Literal["accepted"] = "accepted"


class EmailVerified(WireModel):
    """`password_dropped`: the account has no password, because more than one registration or e-mail was requested for the address.

    Set one with `/v1/password/forgot`.
    """

    status: Literal["verified"] = "verified"
    email: str
    password_dropped: bool
