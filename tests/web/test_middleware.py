"""The door tells an operator of a proxy that nobody named, once; and no caller can make it talk."""

import httpx
import pytest
from starlette.responses import Response

from app.config.settings import Settings
from app.web.pipeline.middleware import EdgeMiddleware

FORWARDED = [("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-For", "198.51.100.7")]


@pytest.mark.parametrize(
    ("proxies", "headers", "warnings"), [([], FORWARDED, 1), ([], [("X-Forwarded-Host", "x")], 0), (["127.0.0.1/32"], FORWARDED, 0)]
)
async def test_an_unknown_proxy_is_reported_once(
    settings: Settings, capsys: pytest.CaptureFixture[str], proxies: list[str], headers: list[tuple[str, str]], warnings: int
) -> None:
    door = EdgeMiddleware(Response(), settings.model_copy(update={"trusted_proxies": proxies}), lambda: "0" * 32)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(door), base_url="http://door") as client:
        for _ in range(3):
            assert (await client.get("/", headers=headers)).status_code == 200
    assert capsys.readouterr().out.count("forwarded_for_ignored") == warnings
