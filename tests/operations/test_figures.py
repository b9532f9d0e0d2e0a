"""Metrics of the domain: counted after the commit, with label values of the program, and without revealing accounts."""

import math
import re
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from app.config.settings import Settings
from app.db.database import on_commit
from app.observability import counters
from app.world import World
from tests.assertions import problem
from tests.given import Given
from tests.mail.letters import enqueue_verification
from tests.operations.figures import count_from_now, get_sample, read_metrics
from tests.random_keys import SECRETS

WRONG = "a wholly wrong staple"
LOGINS, SEATS, DECISIONS, AGE = "licentia_logins_total", "licentia_seats_total", "licentia_decisions_total", "licentia_outbox_age_seconds"


async def guess(given: Given, email: str, times: int) -> list[int]:
    body = {"identifier": email, "password": WRONG}
    return [(await given.client.post("/v1/login", json=body)).status_code for _ in range(times)]


async def test_logins_are_counted_by_their_result(given: Given) -> None:
    person = await given.with_totp()
    counted = await count_from_now(given.client)
    handle = await given.begin(person)
    problem(await given.client.post("/v1/login/totp", json={"code": "000000"}, headers=handle), 401, "code_refused")
    await given.post("/v1/login/totp", {"code": given.totp(person)}, handle)
    await given.logged_in()
    assert await counted.list_increases(LOGINS, "result") == {"unfinished": 1, "refused": 1, "opened": 2}


async def test_unknown_and_known_users_are_counted_alike(given: Given) -> None:
    """The metrics do not reveal which accounts exist."""
    person = await given.person()
    samples = []
    for email in (person.email, "nobody@example.com"):
        counted = await count_from_now(given.client)
        assert await guess(given, email, 6) == [401] * 5 + [429]
        samples.append((await counted.list_increases(LOGINS, "result"), await counted.list_increases("licentia_lockouts_total", "factor")))
    assert samples == [({"refused": 5, "throttled": 1}, {"password": 1})] * 2


async def test_taken_released_and_refused_seats_are_counted(given: Given) -> None:
    license_ = await given.seats(1)
    counted = await count_from_now(given.client)
    activation = await given.activation(license_)
    await given.activation(license_)  # the same device: counts nothing
    body = {"license_key": license_["key"], "device": {"fingerprint": "phone"}}
    problem(await given.client.post("/v1/activations", json=body), 409, "seat_limit_reached")
    await given.client.delete(f"/v1/activations/{activation['activation']['id']}", headers=given.root)
    assert await counted.list_increases(SEATS, "change") == {"taken": 1, "released": 1, "refused": 1}


async def test_a_retry_by_idempotency_key_counts_once(given: Given) -> None:
    license_ = await given.seats(3)
    counted = await count_from_now(given.client)
    for _ in range(2):
        body = {"license_key": license_["key"], "device": {"fingerprint": "laptop"}}
        await given.post("/v1/activations", body, {"Idempotency-Key": "once"})
    assert await counted.list_increases(SEATS, "change") == {"taken": 1}


async def test_a_rolled_back_change_is_not_counted(world: World) -> None:
    done: list[str] = []
    with suppress(LookupError):
        async with world.db.write() as tx:
            on_commit(tx, lambda: done.append("rolled back"))
            raise LookupError
    async with world.db.write() as tx:
        on_commit(tx, lambda: done.append("committed"))
        assert done == []
    assert done == ["committed"]


async def test_decisions_are_counted_by_their_first_reason(given: Given) -> None:
    license_ = await given.seats(1)
    product = license_["product"]
    device = {"fingerprint": "laptop"}
    counted = await count_from_now(given.client)
    await given.access(product, license_key=license_["key"], device=device)
    await given.post("/v1/licenses/validate", {"license_key": "A-WRONG-KEY", "product": product}, {})
    await given.activation(license_)
    await given.post("/v1/licenses/validate", {"license_key": license_["key"], "product": product, "device": device}, {})
    accessed, validated = (
        await counted.list_increases(DECISIONS, "code", call="access"),
        await counted.list_increases(DECISIONS, "code", call="validate"),
    )
    assert sum(accessed.values()) == 1
    assert validated == {"license_not_found": 1, "allowed": 1}


async def test_the_age_of_the_outbox_is_the_age_of_its_oldest_message(given: Given) -> None:
    assert get_sample(await read_metrics(given.client), AGE, outbox="mail") == 0
    await enqueue_verification(given.world)
    given.clock.forward(seconds=90)
    await enqueue_verification(given.world)
    assert get_sample(await read_metrics(given.client), AGE, outbox="mail") == pytest.approx(90, abs=1)


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
async def test_an_unreachable_database_affects_no_other_metric(app: FastAPI, client: httpx.AsyncClient, tmp_path: Path) -> None:
    url = f"postgresql+asyncpg://nobody@/nothing?host={tmp_path}"
    app.state.world = away = World.of(Settings.load({**SECRETS, "LICENTIA_DATABASE_URL": url, "LICENTIA_VAR": str(tmp_path)}))
    samples = await read_metrics(client)
    await away.db.close()
    assert math.isnan(get_sample(samples, AGE, outbox="mail"))
    assert get_sample(samples, "licentia_hashes", state="most") > 0


async def test_pools_are_measured_at_the_request(given: Given) -> None:
    async with given.world.db.read():
        samples = await read_metrics(given.client)
    assert get_sample(samples, "licentia_database_connections", state="in_use") == 1
    assert get_sample(samples, "licentia_database_connections", state="most") >= 10
    assert (get_sample(samples, "licentia_hashes", state="running"), get_sample(samples, "licentia_hashes", state="waiting")) == (0, 0)


async def test_the_metrics_can_require_a_token(given: Given, app: FastAPI) -> None:
    given.configured(app, metrics_token=SecretStr("a token for the scraper"))
    for headers in ({}, {"Authorization": "Bearer something else"}, {"Authorization": "Basic a token for the scraper"}, given.root):
        problem(await given.client.get("/metrics", headers=headers), 401, "token_invalid")
    response = await given.client.get("/metrics", headers={"Authorization": "Bearer a token for the scraper"})
    assert response.status_code == 200


async def test_no_caller_chooses_the_value_of_a_label(given: Given) -> None:
    """Label values are constants of the program, so their number is bounded."""
    strange = "8f14e45fceea167a"
    await given.client.request(strange.upper(), f"/{strange}")
    await given.client.get(f"/problems/{strange}")
    await given.access((await given.product())["code"], license_key=strange, device={"fingerprint": strange})
    await guess(given, f"{strange}@example.com", 1)
    await given.post("/v1/licenses/validate", {"license_key": strange, "product": strange}, {})
    ours = [labels for (name, labels) in await read_metrics(given.client) if name.startswith("licentia_")]
    values = {value for labels in ours for name, value in labels if name not in {"version", "le"}}
    assert [value for value in values if strange in value.lower()] == []
    assert [value for value in values if not re.fullmatch(r"[a-z_]+|[A-Z]+|[0-9]{3}|/[a-z0-9_/{}.-]*", value)] == []


def test_the_help_of_a_counter_explains_its_label_values() -> None:
    """Every value that the program uses is in the help text of the counter."""
    samples = {meter: [labels for (labels,) in meter._metrics] for meter in (counters.LOGINS, counters.SEATS)}
    for meter, words in samples.items():
        assert words
        assert [word for word in words if word not in meter._documentation] == []
