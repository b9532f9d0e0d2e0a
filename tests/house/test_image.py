"""The container's files, read without building: unprivileged, nothing secret inside, nothing in the context by accident."""

import json
import re
from typing import Any

import pytest
import yaml

from tests.house.source import ROOT

DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text(encoding="utf-8"))
SECRET = re.compile(r"password|secret|token|_keys?$|private", re.IGNORECASE)
SERVICES = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if "build" in service]


def instructions(text: str) -> list[tuple[str, str]]:
    """(instruction, rest), with continued lines joined and comments left out."""
    bare = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    lines = [line.strip() for line in bare.replace("\\\n", " ").splitlines() if line.strip()]
    return [(word.upper(), " ".join(rest.split())) for word, _, rest in (line.partition(" ") for line in lines)]


def rests(name: str, text: str = DOCKERFILE) -> list[str]:
    return [rest for word, rest in instructions(text) if word == name]


def secrets_in(text: str) -> list[str]:
    """Names of variables and build arguments that look like secrets; files are named by `_FILE` and hold none."""
    names = re.findall(r"([A-Za-z_]\w*)=", " ".join(rests("ENV", text))) + [rest.partition("=")[0] for rest in rests("ARG", text)]
    return [name for name in names if SECRET.search(name)]


def test_the_base_is_an_argument_and_the_same_in_every_stage() -> None:
    """CI builds over a stand-in for the official base; a venv made with one interpreter runs with that one only."""
    assert instructions(DOCKERFILE)[0] == ("ARG", "PYTHON_IMAGE=python:3.13-slim-trixie")
    assert {rest.split(" ")[0] for rest in rests("FROM")} == {"${PYTHON_IMAGE}"}
    assert len(rests("FROM")) > 1


def test_the_last_user_is_a_number_and_not_root() -> None:
    """Kubernetes' runAsNonRoot wants a number."""
    assert rests("USER") == ["10001:10001"]


@pytest.mark.parametrize("name", ["ENTRYPOINT", "CMD"])
def test_processes_start_without_a_shell(name: str) -> None:
    """Exec form: signals reach the program."""
    (line,) = rests(name)
    assert json.loads(line)


def test_health_is_asked_by_the_program_itself() -> None:
    """There is no curl in the image, and no shell is needed."""
    (line,) = rests("HEALTHCHECK")
    assert json.loads(line[line.index("CMD") + 3 :])[-3:] == ["-m", "app", "health"]


def test_no_secret_is_baked_in() -> None:
    assert secrets_in(DOCKERFILE) == []
    assert secrets_in("ENV LICENTIA_LOOKUP_KEY=abc\nARG DB_PASSWORD") == ["LICENTIA_LOOKUP_KEY", "DB_PASSWORD"]


def test_old_builders_can_build_it() -> None:
    """Debian's buildah knows neither heredocs nor COPY --link, and a syntax line would fetch a front end."""
    assert "<<" not in DOCKERFILE
    assert "--link" not in DOCKERFILE
    assert "--mount" not in DOCKERFILE
    assert not DOCKERFILE.startswith("# syntax")


def test_only_locked_packages_are_installed() -> None:
    installs = [part for rest in rests("RUN") for part in rest.split("&&") if " install " in part and "pip" in part]
    assert installs
    assert [part for part in installs if "--require-hashes" not in part] == []


def test_the_context_is_an_allow_list() -> None:
    """A file that nobody thought of, such as a local database or a key, never reaches the builder."""
    lines = [line for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    copied = {rest.split()[0].rstrip("/") for rest in rests("COPY") if not rest.startswith("--from")}
    assert {line[1:] for line in lines if line.startswith("!")} == copied


@pytest.mark.parametrize("name", OURS)
def test_our_services_are_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]


def test_migrations_run_once_and_first() -> None:
    assert SERVICES["licentia"]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
    assert SERVICES["migrate"]["depends_on"]["postgres"]["condition"] == "service_healthy"


@pytest.mark.parametrize("name", SERVICES)
def test_secrets_come_from_files(name: str) -> None:
    """Every secret-looking variable names a file, every file is a declared secret, and no value stands in the environment."""
    environment: dict[str, str] = SERVICES[name].get("environment", {})
    assert [each for each in environment if SECRET.search(each) and not each.endswith("_FILE")] == []
    files = {value.removeprefix("/run/secrets/") for each, value in environment.items() if each.endswith("_FILE")}
    assert files == set(SERVICES[name]["secrets"])
    assert files <= set(COMPOSE["secrets"])


def test_ports_are_for_this_machine_alone() -> None:
    """A published port passes the firewall; TLS in front of it is the operator's choice to make."""
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []
