"""The path and the id of a request in the logs: templates and ids, never other text of the caller."""

from types import SimpleNamespace

import httpx
import pytest

from app.web.pipeline.middleware import UNMATCHED, describe_path
from tests.secrets.credentials import CODE, KEY, TOKEN

ID = "01a20460-ef73-719c-b7be-883c0c34ba9f"


def describe(template: str, **parameters: str) -> str:
    return describe_path({"route": SimpleNamespace(path=template), "path_params": parameters})


@pytest.mark.parametrize(
    "part", [KEY, KEY.lower(), CODE, TOKEN, TOKEN.lower(), f"op_{TOKEN}", f"{ID}{ID}", f"{ID}\n", "Word", "naïve", "studio", ""]
)
def test_only_ids_are_filled_into_the_template(part: str) -> None:
    assert describe("/v1/licenses/{license_id}/seats", license_id=part) == "/v1/licenses/{license_id}/seats"


@pytest.mark.parametrize("part", [ID, ID.upper()])
def test_an_id_is_filled_in(part: str) -> None:
    assert describe("/v1/licenses/{license_id}/seats", license_id=part) == f"/v1/licenses/{part}/seats"


def test_a_path_without_a_route_is_not_logged() -> None:
    assert describe_path({"path": f"/v1/{TOKEN}"}) == UNMATCHED


async def test_an_access_line_has_the_template(client: httpx.AsyncClient, debug_logs: None, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (f"/problems/{KEY}", f"/{TOKEN}", f"/v1/webhooks/{ID}"):
        await client.get(path)
    lines = capsys.readouterr().out
    assert '"path": "/problems/{code}"' in lines
    assert '"path": "unmatched"' in lines
    assert f'"path": "/v1/webhooks/{ID}"' in lines
    assert KEY not in lines
    assert TOKEN not in lines


@pytest.mark.parametrize("sent", [f"op_{TOKEN}", KEY, KEY.lower(), CODE, "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"])
async def test_a_request_id_that_looks_like_a_secret_is_replaced(
    client: httpx.AsyncClient, debug_logs: None, capsys: pytest.CaptureFixture[str], sent: str
) -> None:
    """It would be in every log line of the request, and in its response."""
    response = await client.get("/v1/products", headers={"X-Request-Id": sent})
    assert sent not in str(response.headers) + response.text + capsys.readouterr().out


@pytest.mark.parametrize("sent", [ID, ID.replace("-", ""), "ticket-4711", "a.b:c_d-1"])
async def test_any_other_request_id_is_kept(client: httpx.AsyncClient, sent: str) -> None:
    assert (await client.get("/healthz", headers={"X-Request-Id": sent})).headers["x-request-id"] == sent
