"""Request and use a mailed login code."""

from typing import Any

import httpx

from tests.given import Given, Person
from tests.login.account.mailbox import send
from tests.postbox import Postbox

CHANGE = [{"need": "new_password", "any_of": [{"action": "change_password", "href": "/v1/login/password"}]}]


async def request_code(given: Given, postbox: Postbox, person: Person) -> str:
    """Let an operator mail a login code; return the code from the mail."""
    answer = await given.client.post(f"/v1/users/{person.id}/login-code", headers=given.root)
    assert answer.status_code == 202, answer.text
    letter = await postbox.letter(given.world)
    assert letter.to == [person.email]
    code = next(line for line in letter.part("plain").splitlines() if len(line) == 9 and line[4] == "-")
    assert code not in answer.text
    return code


async def use_code(given: Given, identifier: str, code: str, **more: Any) -> httpx.Response:
    return await send(given, "/v1/login/code", {"identifier": identifier, "code": code, **more})


def login_handle(answer: httpx.Response) -> dict[str, str]:
    assert answer.status_code == 202, answer.text
    return {"Authorization": f"Login {answer.json()['login']['token']}"}
