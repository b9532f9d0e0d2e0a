"""Single steps with factors over HTTP: list them, begin a step-up, get the options of a passkey login."""

from typing import Any

from tests.given import Given, Person


async def list_factors(given: Given, person: Person) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = given.expect(await given.client.get("/v1/me/factors", headers=person.auth))["data"]
    return result


async def login_options(given: Given, auth: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    result: dict[str, Any] = (await given.post("/v1/login/passkey/options", more, auth or {}))["public_key"]
    return result


async def begin_step_up(given: Given, person: Person, acr: str = "aal2") -> dict[str, str]:
    login = await given.post("/v1/step-up", {"acr": acr}, person.auth)
    return {"Authorization": f"Login {login['login']['token']}"}
