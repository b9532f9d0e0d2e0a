"""Mail holds addresses and one-time tokens: they are in the e-mail, and in no log line, event or other row."""

from dataclasses import replace

import pytest

from app.mail import outbox
from app.mail.transports import create_transport
from tests.given import PASSWORD, Given
from tests.login.account.mailbox import NEW, send
from tests.postbox import open_postbox
from tests.secrets.output import both_formats, read_output
from tests.secrets.stored import read_all_tables
from tests.secrets.walk import BEARERS

NOBODY = "ola.nordmann@example.com"


@both_formats
async def test_mail_is_logged_without_tokens_and_addresses(
    given: Given, app: object, debug_logs: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """Registration and password reset. Letters are sent, refused for now, and refused permanently by a server that quotes them."""
    async with open_postbox() as postbox:
        world = replace(given.world, settings=postbox.settings(given.world.settings, registration="open"))
        given.client._transport.app.state.world = given.world = world  # type: ignore[attr-defined]
        transport = create_transport(world.settings)
        assert transport is not None
        read_output(capsys)
        await send(given, "/v1/users/register", {"email": NOBODY, "password": PASSWORD, "display_name": "Ola Nordmann"})
        registered = await postbox.letter(world)
        await send(given, "/v1/email/verify", {"token": registered.token})
        await send(given, "/v1/password/forgot", {"identifier": NOBODY})
        forgotten = await postbox.letter(world)
        await send(given, "/v1/password/reset", {"token": forgotten.token, "new_password": NEW})
        for response in (f"451 <{NOBODY}> later, {forgotten.token}", f"550 <{NOBODY}> never, {forgotten.token}"):
            given.clock.forward(hours=1)
            postbox.refuse_letter = response
            await send(given, "/v1/password/forgot", {"identifier": NOBODY})
            await outbox.deliver_due(world, transport)
        output = read_output(capsys)
        stored = await read_all_tables(given)
    secrets, private = (registered.token, forgotten.token, PASSWORD, NEW), (NOBODY, "Ola Nordmann")
    assert [secret for secret in secrets if secret in output] == BEARERS.findall(output) == []
    ours = [line for line in output.splitlines() if "mail_sent" in line or "mail_not_sent" in line]
    assert all(word in "".join(ours) for word in ("mail_sent", "mail_not_sent", "SMTPDataError 451", "SMTPDataError 550"))
    # Lines of the drivers at `debug` have addresses; lines of the application never do.
    assert [name for name in private if any(name in line for line in ours)] == []
    for name in (*secrets, *private):
        assert [table for table, rows in stored.items() if name in rows and table != "users"] == []
