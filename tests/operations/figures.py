"""Reading /metrics as Prometheus would."""

from collections.abc import Mapping
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

Figures = Mapping[tuple[str, frozenset[tuple[str, str]]], float]


async def figures(client: httpx.AsyncClient) -> Figures:
    """Every sample by its name and labels."""
    answer = await client.get("/metrics")
    assert answer.status_code == 200
    families = text_string_to_metric_families(answer.text)
    return {(sample.name, frozenset(sample.labels.items())): sample.value for family in families for sample in family.samples}


def figure(samples: Figures, name: str, **labels: str) -> float:
    """One sample; 0 when it was never counted."""
    return samples.get((name, frozenset(labels.items())), 0.0)


class Since:
    """What was counted from now on."""

    def __init__(self, client: httpx.AsyncClient, before: Figures) -> None:
        self.client = client
        self.before = before

    async def more(self, name: str, label: str, **fixed: Any) -> dict[str, float]:
        """How much more, by the values of a label."""
        now = await figures(self.client)
        grown = {
            key: value - self.before.get(key, 0.0) for key, value in now.items() if key[0] == name and fixed.items() <= dict(key[1]).items()
        }
        return {dict(labels)[label]: value for (_, labels), value in grown.items() if value}


async def since(client: httpx.AsyncClient) -> Since:
    return Since(client, await figures(client))
