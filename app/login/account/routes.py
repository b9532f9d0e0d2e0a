"""`/v1/users/register`, `/v1/email/verify`, `/v1/password/forgot|reset`, `/v1/me/email`"""

from app.login.account import mailbox, password_reset, registration
from app.login.account.registration import RegistrationRequest
from app.login.account.schemas import Accepted, EmailChangeIn, EmailVerified, EmailVerifyIn, IdentifierIn, RegisterIn, ResetIn
from app.login.problems import (
    CodeRefused,
    MailNotConfigured,
    OneTimeTokenSpent,
    RegistrationClosed,
    StepUpRequired,
    TotpRequired,
)
from app.users.problems import EmailTaken
from app.web.callers import TheOrigin, TheSubject, TheWorld
from app.web.problems import SubjectTokenRequired, TooManyAttempts
from app.web.routing import refuses
from app.web.routing import router as new_router

router = new_router("account")


@router.post("/v1/users/register", summary="Request Registration", status_code=202, responses=refuses(RegistrationClosed, TooManyAttempts))
async def register(world: TheWorld, origin: TheOrigin, body: RegisterIn) -> Accepted:
    """Request an account. It is created when the mailed token is sent to `POST /v1/email/verify`."""
    await registration.register(world, origin, RegistrationRequest(**body.model_dump()))
    return Accepted()


@router.post("/v1/email/verify", summary="Verify E-Mail Address", responses=refuses(OneTimeTokenSpent, EmailTaken))
async def verify(world: TheWorld, body: EmailVerifyIn) -> EmailVerified:
    """Verify an e-mail address with the mailed token of a registration, an existing account or an address change."""
    return EmailVerified(**vars(await mailbox.verify(world, body.token, body.password)))


@router.post(
    "/v1/email/verify/resend", summary="Resend Verification E-Mail", status_code=202, responses=refuses(TooManyAttempts, MailNotConfigured)
)
async def resend(world: TheWorld, origin: TheOrigin, body: IdentifierIn) -> Accepted:
    """Send the verification e-mail again, if the address is not verified. The response is the same for every address."""
    await registration.resend(world, origin, body.identifier)
    return Accepted()


@router.post(
    "/v1/password/forgot", summary="Request Password Reset", status_code=202, responses=refuses(TooManyAttempts, MailNotConfigured)
)
async def forgot(world: TheWorld, origin: TheOrigin, body: IdentifierIn) -> Accepted:
    """Send an e-mail with a token to set a new password, if the account exists. The response is the same for every address."""
    await password_reset.request_reset(world, origin, body.identifier)
    return Accepted()


@router.post(
    "/v1/password/reset",
    summary="Reset Password",
    status_code=204,
    responses=refuses(OneTimeTokenSpent, TotpRequired, CodeRefused, TooManyAttempts),
)
async def reset(world: TheWorld, origin: TheOrigin, body: ResetIn) -> None:
    """Set a new password with the mailed token. All sessions end; the second factors stay. Log in with the new password afterwards."""
    await password_reset.reset(world, origin, body.token, body.new_password, body.to_proof())


@router.post(
    "/v1/me/email",
    summary="Request E-Mail Change",
    status_code=202,
    responses=refuses(SubjectTokenRequired, StepUpRequired, TooManyAttempts, MailNotConfigured),
)
async def change_email(world: TheWorld, origin: TheOrigin, subject: TheSubject, body: EmailChangeIn) -> Accepted:
    """Request a change of the e-mail address. It takes effect when the new address is verified; the old one is notified of both steps."""
    await mailbox.change(world, origin, subject, body.email)
    return Accepted()
