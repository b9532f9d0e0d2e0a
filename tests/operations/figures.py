"""Reads /metrics as Prometheus does."""

from collections.abc import Mapping
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

Samples = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


async def read_metrics(client: httpx.AsyncClient) -> Samples:
    """Return every sample by its name and labels."""
    response = await client.get("/metrics")
    assert response.status_code == 200
    families = text_string_to_metric_families(response.text)
    return {(sample.name, frozenset(sample.labels.items())): sample.value for family in families for sample in family.samples}


def get_sample(samples: Samples, name: str, **labels: str) -> float:
    """Return one sample; 0 if there is none."""
    return samples.get((name, frozenset(labels.items())), 0.0)


class Counted:
    """The increases of counters since this object was created."""

    def __init__(self, client: httpx.AsyncClient, before: Samples) -> None:
        self.client = client
        self.before = before

    async def list_increases(self, name: str, label: str, **fixed: Any) -> dict[str, float]:
        """Return the increases of a counter by the values of a label."""
        now = await read_metrics(self.client)
        increases = {
            key: value - self.before.get(key, 0.0) for key, value in now.items() if key[0] == name and fixed.items() <= dict(key[1]).items()
        }
        return {dict(labels)[label]: value for (_, labels), value in increases.items() if value}


async def count_from_now(client: httpx.AsyncClient) -> Counted:
    return Counted(client, await read_metrics(client))
