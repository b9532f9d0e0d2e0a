"""Faults of webhooks that were found by attacking them, each once more."""

from datetime import UTC, datetime

import pytest

from app.webhooks import rules
from tests.given import Given
from tests.web.test_problems import problem


@pytest.mark.parametrize("url", ["https://hooks.example.com/\0", "https://exa\tmple.com/", "https://hooks.example.com/\ud800"])
async def test_an_address_is_printable(given: Given, url: str) -> None:
    body = f'{{"url": "{url.encode("unicode_escape").decode().replace(chr(92) + "x00", chr(92) + "u0000")}", "types": ["*"]}}'
    problem(await given.client.post("/v1/webhooks", content=body, headers=given.root), 422, "malformed")


@pytest.mark.parametrize("said", ["Mon, 01 Jan 2024 00:00:00 +99999999999999999999", "soon", "", "-5"])
def test_a_receiver_that_says_nonsense_is_tried_as_if_it_said_nothing(said: str) -> None:
    assert rules.pause(503, said, datetime(2026, 11, 28, tzinfo=UTC)) is None
