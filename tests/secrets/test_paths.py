"""The path and the id of a request as they are logged: what the program names stays readable, what was drawn by chance does not."""

import httpx
import pytest
from fastapi import FastAPI

from app.base.problems import ADVISORIES, DECLARED
from app.observability.logs import MASK
from app.web.pipeline.middleware import mask_path
from tests.secrets.test_masked import CODE, KEY, TOKEN

HEX = "0123456789abcdef" * 4
ID = "01a20460-ef73-719c-b7be-883c0c34ba9f"


@pytest.mark.parametrize(
    "part",
    [
        "abcdefghijklmnopqrstuvwxyz",
        HEX,
        HEX[:32],
        HEX[:16],
        "12345678901",
        "z6wfwvlimpacylxk",
        KEY,
        KEY.lower(),
        KEY.lower().replace("-", ""),
        CODE.lower(),
        CODE.lower().replace("-", ""),
        TOKEN,
        TOKEN.lower(),
        f"op_{TOKEN}".lower(),
        f"{ID}{ID}",
        "-".join(["word"] * 12),
        "Word",
        "a--b",
        "naïve",
        f"{ID}\n",
    ],
)
def test_what_may_be_a_secret_is_masked_in_a_path(part: str) -> None:
    assert mask_path(f"/v1/licenses/{part}") == f"/v1/licenses/{MASK}"
    assert mask_path(f"/v1/licenses/{part}/seats") == f"/v1/licenses/{MASK}/seats"


@pytest.mark.parametrize(
    "part", [ID, ID.upper(), "4711", "studio", "product-1", "terms_of_use", "acme-studio-professional-2026", "v2", "eula.2", "zh-hans", ""]
)
def test_what_support_needs_stays_in_a_path(part: str) -> None:
    assert mask_path(f"/v1/products/{part}/policies") == f"/v1/products/{part}/policies"


def test_every_word_of_our_own_stays(app: FastAPI) -> None:
    """Of the routes, and of the codes that have a page."""
    routes = {part for route in app.routes for part in str(getattr(route, "path", "")).split("/") if "{" not in part}
    assert {"v1", ".well-known", "jwks.json"} <= routes
    assert [part for part in routes | set(DECLARED) | set(ADVISORIES) if mask_path(part) != part] == []


@pytest.mark.parametrize("sent", [f"op_{TOKEN}", KEY, KEY.lower(), CODE, "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"])
async def test_a_request_id_that_looks_like_a_secret_is_replaced(
    client: httpx.AsyncClient, talkative: None, capsys: pytest.CaptureFixture[str], sent: str
) -> None:
    """It would be on every line of the request, and in its answer."""
    answer = await client.get("/v1/products", headers={"X-Request-Id": sent})
    assert sent not in str(answer.headers) + answer.text + capsys.readouterr().out


@pytest.mark.parametrize("sent", [ID, ID.replace("-", ""), "ticket-4711", "a.b:c_d-1"])
async def test_any_other_request_id_is_kept(client: httpx.AsyncClient, sent: str) -> None:
    assert (await client.get("/healthz", headers={"X-Request-Id": sent})).headers["x-request-id"] == sent
