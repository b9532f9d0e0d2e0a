"""The Kubernetes manifests and the Compose file match their schemas, the program, and each other. No cluster is needed."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from app import __version__
from app.background.tasks import GRACE
from app.config.settings import Settings
from app.main import ROUTERS
from app.observability.tracing import FLUSH_TIMEOUT
from tests.house.source import ROOT
from tests.random_keys import production_environment

FOLDER = ROOT / "deploy" / "kubernetes"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8"))
MANIFESTS = [document for path in sorted(FOLDER.glob("*.yaml")) for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))]
CONFIG: dict[str, str] = next(each["data"] for each in MANIFESTS if each["kind"] == "ConfigMap")
(DEPLOYMENT,) = [each for each in MANIFESTS if each["kind"] == "Deployment"]
PODS = {each["metadata"]["name"]: each["spec"]["template"]["spec"] for each in MANIFESTS if each["kind"] in {"Deployment", "Job"}}
BIN = Path(sys.prefix) / "bin"
SCHEMAS: dict[str, tuple[list[str], list[Path]]] = {
    "compose": ([str(BIN / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec"], [ROOT / "deploy" / "compose.yaml"]),
    "kubernetes": ([str(BIN / "kubernetes-validate"), "--strict"], sorted(FOLDER.glob("*.yaml"))),
}


def matches_schema(name: str, *files: Path) -> bool:
    command, _ = SCHEMAS[name]
    return subprocess.run([*command, *files], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_files_match_their_schema_and_a_typo_does_not(name: str, tmp_path: Path) -> None:
    """Needs no cluster and no network: the tools contain the schemas."""
    files = SCHEMAS[name][1]
    assert matches_schema(name, *files)
    typo = tmp_path / "typo.yaml"
    typo.write_text(max(file.read_text(encoding="utf-8") for file in files).replace("restart", "restrat").replace("spec:", "spek:"))
    assert not matches_schema(name, typo)


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
def test_services_add_no_variables_to_a_pod(name: str) -> None:
    """Kubernetes adds variables for each Service: ours would add `LICENTIA_PORT=tcp://…`, and later pods would exit with 78."""
    assert PODS[name]["enableServiceLinks"] is False


def test_manifests_name_the_version_of_the_image() -> None:
    """Without a tag, or with one that moves, a restarted pod could run another release."""
    containers = [container for pod in PODS.values() for container in pod["containers"]]
    assert {container["image"] for container in containers} == {f"licentia:{__version__}"} == {COMPOSE["services"]["licentia"]["image"]}
    assert {container["imagePullPolicy"] for container in containers} == {"IfNotPresent"}


def variables() -> Iterator[str]:
    yield from CONFIG
    for service in COMPOSE["services"].values():
        yield from (name for name in service.get("environment", {}) if name.startswith("LICENTIA_"))


def test_every_variable_is_a_setting() -> None:
    """A misspelt variable would stop every pod with exit code 78."""
    names = {name.removeprefix("LICENTIA_").removesuffix("_FILE").lower() for name in variables()}
    assert names
    assert names - set(Settings.model_fields) == set()


def test_callers_behind_the_ingress_keep_their_addresses() -> None:
    """Otherwise they would share one rate limit. The value is validated as at a start."""
    proxies = CONFIG["LICENTIA_TRUSTED_PROXIES"]
    assert Settings.load(production_environment() | {"LICENTIA_TRUSTED_PROXIES": proxies}).trusted_proxies == proxies.split(",")


def test_the_setup_server_of_postgres_is_not_reported_healthy() -> None:
    """At its first start the image runs a temporary server that listens only on the socket."""
    assert "--host=127.0.0.1" in COMPOSE["services"]["postgres"]["healthcheck"]["test"]


def test_secrets_are_mounted_files() -> None:
    """No manifest contains a secret, and every named secret is mounted."""
    assert {each["kind"] for each in MANIFESTS} & {"Secret"} == set()
    for pod in PODS.values():
        (folder,) = [each["mountPath"] for each in pod["containers"][0]["volumeMounts"] if each["name"] == "secrets"]
        assert {value.rpartition("/")[0] for name, value in CONFIG.items() if name.endswith("_FILE")} == {folder}


def test_probes_use_routes_of_the_program() -> None:
    paths = {getattr(route, "path", "") for router in ROUTERS for route in router.routes}
    container = DEPLOYMENT["spec"]["template"]["spec"]["containers"][0]
    probes = {probe: container[probe]["httpGet"]["path"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")}
    assert set(probes.values()) <= paths
    assert probes["readinessProbe"] == "/readyz"
    assert probes["livenessProbe"] == "/healthz"  # an unreachable database is no reason for a restart
    assert DEPLOYMENT["spec"]["template"]["metadata"]["annotations"]["prometheus.io/path"] in paths


def test_a_pod_has_the_time_to_finish() -> None:
    """The platform waits longer than the shutdown delay, the timeout and the work after them together."""
    after = GRACE + FLUSH_TIMEOUT
    needed = after + float(CONFIG["LICENTIA_SHUTDOWN_DELAY"]) + float(CONFIG["LICENTIA_SHUTDOWN_TIMEOUT"])
    assert DEPLOYMENT["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > needed
    ours = COMPOSE["services"]["licentia"]
    composed = after + sum(float(ours["environment"][f"LICENTIA_SHUTDOWN_{name}"]) for name in ("DELAY", "TIMEOUT"))
    assert float(ours["stop_grace_period"].removesuffix("s")) > composed


def test_a_node_can_be_drained_while_replicas_stay() -> None:
    """The disruption budget is below the number of replicas, and each selector matches the pods."""
    (budget,) = [each["spec"] for each in MANIFESTS if each["kind"] == "PodDisruptionBudget"]
    (service,) = [each["spec"] for each in MANIFESTS if each["kind"] == "Service"]
    assert 1 <= budget["minAvailable"] < DEPLOYMENT["spec"]["replicas"]
    labels = DEPLOYMENT["spec"]["template"]["metadata"]["labels"]
    assert labels == budget["selector"]["matchLabels"] == service["selector"] == DEPLOYMENT["spec"]["selector"]["matchLabels"]
    assert PODS.keys() == {"licentia", "licentia-migrate"}
