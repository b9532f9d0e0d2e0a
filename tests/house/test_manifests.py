"""The Kubernetes manifests and the Compose file, read without a cluster: they fit their schemas, the program, and each other."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.background.tasks import GRACE
from app.config.settings import Settings
from app.main import ROUTERS
from app.observability.tracing import FLUSH_TIMEOUT
from tests.house.source import ROOT
from tests.random_keys import production_environment

FOLDER = ROOT / "deploy" / "kubernetes"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8"))
MANIFESTS = [document for path in sorted(FOLDER.glob("*.yaml")) for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))]
CONFIG: dict[str, str] = next(it["data"] for it in MANIFESTS if it["kind"] == "ConfigMap")
(DEPLOYMENT,) = [it for it in MANIFESTS if it["kind"] == "Deployment"]
PODS = {it["metadata"]["name"]: it["spec"]["template"]["spec"] for it in MANIFESTS if it["kind"] in {"Deployment", "Job"}}
BIN = Path(sys.prefix) / "bin"
SCHEMAS: dict[str, tuple[list[str], list[Path]]] = {
    "compose": ([str(BIN / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec"], [ROOT / "deploy" / "compose.yaml"]),
    "kubernetes": ([str(BIN / "kubernetes-validate"), "--strict"], sorted(FOLDER.glob("*.yaml"))),
}


def fits(name: str, *files: Path) -> bool:
    command, _ = SCHEMAS[name]
    return subprocess.run([*command, *files], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_files_fit_their_schema_and_a_slip_would_not(name: str, tmp_path: Path) -> None:
    """No cluster, no network: the schemas come with the tools."""
    files = SCHEMAS[name][1]
    assert fits(name, *files)
    slip = tmp_path / "slip.yaml"
    slip.write_text(max(file.read_text(encoding="utf-8") for file in files).replace("restart", "restrat").replace("spec:", "spek:"))
    assert not fits(name, slip)


@pytest.mark.parametrize("name", PODS)
def test_a_pod_is_confined(name: str) -> None:
    pod = PODS[name]
    assert pod["automountServiceAccountToken"] is False
    assert (
        pod["securityContext"] | {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}}
        == pod["securityContext"]
    )
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize("name", PODS)
def test_a_service_puts_no_variables_into_a_pod(name: str) -> None:
    """Kubernetes tells each pod of each Service, by its name: `LICENTIA_PORT=tcp://…` of ours would stop every later pod with 78."""
    assert PODS[name]["enableServiceLinks"] is False


def variables() -> Iterator[str]:
    yield from CONFIG
    for service in COMPOSE["services"].values():
        yield from (name for name in service.get("environment", {}) if name.startswith("LICENTIA_"))


def test_every_variable_is_one_of_the_programs() -> None:
    """A misspelt one would stop every pod with exit code 78."""
    names = {name.removeprefix("LICENTIA_").removesuffix("_FILE").lower() for name in variables()}
    assert names
    assert names - set(Settings.model_fields) == set()


def test_callers_behind_the_ingress_keep_their_addresses() -> None:
    """Else they would share its limits; that each is a network, and not everybody, is judged as in a start."""
    proxies = CONFIG["LICENTIA_TRUSTED_PROXIES"]
    assert Settings.load(production_environment() | {"LICENTIA_TRUSTED_PROXIES": proxies}).trusted_proxies == proxies.split(",")


def test_the_server_that_sets_the_database_up_is_not_taken_for_the_database() -> None:
    """The image's first start has a server for itself, on the socket alone, and stops it again."""
    assert "--host=127.0.0.1" in COMPOSE["services"]["postgres"]["healthcheck"]["test"]


def test_secrets_are_files_of_a_secret() -> None:
    """Nothing secret stands in a manifest, and every secret that is named is mounted."""
    assert {it["kind"] for it in MANIFESTS} & {"Secret"} == set()
    for pod in PODS.values():
        (place,) = [it["mountPath"] for it in pod["containers"][0]["volumeMounts"] if it["name"] == "secrets"]
        assert {value.rpartition("/")[0] for name, value in CONFIG.items() if name.endswith("_FILE")} == {place}


def test_probes_ask_what_the_program_answers() -> None:
    paths = {getattr(route, "path", "") for router in ROUTERS for route in router.routes}
    container = DEPLOYMENT["spec"]["template"]["spec"]["containers"][0]
    asked = {probe: container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert set(asked.values()) <= paths
    assert asked["readinessProbe"] == "/readyz"
    assert asked["livenessProbe"] == "/healthz"  # a database that is away is no reason to start anew
    assert DEPLOYMENT["spec"]["template"]["metadata"]["annotations"]["prometheus.io/path"] in paths


def test_a_pod_has_the_time_to_finish() -> None:
    """The platform waits longer than the delay, the timeout, and what is done after them, together."""
    after = GRACE + FLUSH_TIMEOUT
    needed = after + float(CONFIG["LICENTIA_SHUTDOWN_DELAY"]) + float(CONFIG["LICENTIA_SHUTDOWN_TIMEOUT"])
    assert DEPLOYMENT["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > needed
    ours = COMPOSE["services"]["licentia"]
    composed = after + sum(float(ours["environment"][f"LICENTIA_SHUTDOWN_{name}"]) for name in ("DELAY", "TIMEOUT"))
    assert float(ours["stop_grace_period"].removesuffix("s")) > composed


def test_a_node_can_be_emptied_and_somebody_stays() -> None:
    """Fewer must stay than there are, or no node could ever be emptied; each selector meets the pods it means."""
    (budget,) = [it["spec"] for it in MANIFESTS if it["kind"] == "PodDisruptionBudget"]
    (service,) = [it["spec"] for it in MANIFESTS if it["kind"] == "Service"]
    assert 1 <= budget["minAvailable"] < DEPLOYMENT["spec"]["replicas"]
    labels = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
    assert labels == budget["selector"]["matchLabels"] == service["selector"] == DEPLOYMENT["spec"]["selector"]["matchLabels"]
    assert PODS.keys() == {"licentia", "licentia-migrate"}
