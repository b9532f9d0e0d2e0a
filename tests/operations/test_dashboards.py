"""The dashboard and the alerts query metrics that exist, by labels that they have; every metric of the application has a panel."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY

from app import main as _counters  # noqa: F401  importing the program declares its metrics
from app.server import server as _more_counters  # noqa: F401  the same
from tests.house.source import ROOT

DASHBOARD: dict[str, Any] = json.loads((ROOT / "deploy" / "grafana" / "licentia.json").read_text(encoding="utf-8"))
ALERTS: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yaml").read_text(encoding="utf-8"))
NAME = re.compile(r"\b((?:licentia|process|python)_[a-z_]+)\b(?:\{([^}]*)\})?")
LABEL = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"((?:[^"\\]|\\.)*)"')
GROUPING = re.compile(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)")
GIVEN_BY_PROMETHEUS = {"job", "instance"}


def list_samples() -> Mapping[str, set[str]]:
    """Return the labels of each sample that /metrics can have, by its name."""
    samples: dict[str, set[str]] = {}
    for collector in set(REGISTRY._collector_to_names):
        labels = set(getattr(collector, "_labelnames", ()))
        family = getattr(collector, "_name", None) if getattr(collector, "_type", None) in {"counter", "histogram"} else None
        for name in set(REGISTRY._collector_to_names[collector]) - {family}:  # its samples have suffixes
            samples[name] = labels | ({"le"} if name.endswith("_bucket") else set())
    return samples


def list_queries() -> Iterator[tuple[str, str]]:
    """Yield pairs of a place and its expression."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            yield f"panel {panel['title']}", target["expr"]
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            yield f"variable {variable['name']}", variable["query"]["query"]
    for group in ALERTS["groups"]:
        for rule in group["rules"]:
            yield f"alert {rule['alert']}", rule["expr"]


def find_faults(expression: str) -> list[str]:
    """List what the expression uses and /metrics does not have."""
    samples, known = list_samples(), set[str]()
    wrong = [] if NAME.search(expression) else ["uses no metric of the application"]
    for name, selector in NAME.findall(expression):
        if name not in samples:
            wrong.append(f"there is no {name}")
            continue
        known |= samples[name] | GIVEN_BY_PROMETHEUS
        wrong += [
            f"{name} has no label {label}" for label, _, _ in LABEL.findall(selector) if label not in samples[name] | GIVEN_BY_PROMETHEUS
        ]
    grouped = {label.strip() for inner in GROUPING.findall(expression) for label in inner.split(",") if label.strip()}
    return wrong + [f"nothing has the label {label}" for label in grouped - known]


@pytest.mark.parametrize(("place", "expression"), list(list_queries()))
def test_a_query_uses_metrics_that_exist(place: str, expression: str) -> None:
    assert find_faults(expression) == [], place


@pytest.mark.parametrize(
    "expression",
    ["sum(licentia_logins)", 'licentia_logins_total{outcome="opened"}', "sum by (reason) (rate(licentia_seats_total[5m]))", "up == 0"],
)
def test_a_query_of_a_missing_metric_is_found(expression: str) -> None:
    assert find_faults(expression)


def test_every_metric_of_the_application_has_a_panel() -> None:
    displayed = {name for _, expression in list_queries() for name, _ in NAME.findall(expression)}
    ours = {name for name in list_samples() if name.startswith("licentia_")}
    stems = {re.sub(r"_(?:bucket|sum|count|created|total)$", "", name) for name in ours}
    assert {
        stem for stem in stems if not any(name == stem or name.removesuffix("_total").removesuffix("_bucket") == stem for name in displayed)
    } == set()


def test_a_legend_uses_labels_that_the_query_keeps() -> None:
    """A legend with a label that the query aggregates away would be empty."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", ()):
            wanted = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            grouped = {label.strip() for inner in GROUPING.findall(target["expr"]) for label in inner.split(",")}
            assert wanted <= (grouped or GIVEN_BY_PROMETHEUS), panel["title"]


def test_panels_do_not_overlap_and_alerts_have_a_summary_and_a_severity() -> None:
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in DASHBOARD["panels"]]
    assert len(set(places)) == len(places)
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(places)
    rules = [rule for group in ALERTS["groups"] for rule in group["rules"]]
    assert all(rule["annotations"]["summary"] and rule["labels"]["severity"] in {"page", "ticket"} for rule in rules)
    assert len({rule["alert"] for rule in rules}) == len(rules)


def test_every_alert_links_to_its_section_of_the_runbook() -> None:
    text = (ROOT / "docs" / "operations" / "troubleshooting.md").read_text(encoding="utf-8")
    headings = {heading.lower() for heading in re.findall(r"^#+ (\w+)$", text, re.MULTILINE)}
    for rule in (rule for group in ALERTS["groups"] for rule in group["rules"]):
        page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert (page, anchor) == ("docs/operations/troubleshooting.md", rule["alert"].lower())
        assert anchor in headings
