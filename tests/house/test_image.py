"""The container files, read without building: unprivileged, without secrets, and only listed files in the context."""

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
    """Return pairs of instruction and arguments, with continued lines joined and without comments."""
    bare = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
    lines = [line.strip() for line in bare.replace("\\\n", " ").splitlines() if line.strip()]
    return [(word.upper(), " ".join(rest.split())) for word, _, rest in (line.partition(" ") for line in lines)]


def arguments(name: str, text: str = DOCKERFILE) -> list[str]:
    return [rest for word, rest in instructions(text) if word == name]


def find_secrets(text: str) -> list[str]:
    """List variables and build arguments that look like secrets. Names that end with `_FILE` do not."""
    names = re.findall(r"([A-Za-z_]\w*)=", " ".join(arguments("ENV", text))) + [rest.partition("=")[0] for rest in arguments("ARG", text)]
    return [name for name in names if SECRET.search(name)]


def test_the_base_is_an_argument_and_the_same_in_every_stage() -> None:
    """CI builds with a substitute for the official base image; a venv runs only with the interpreter that created it."""
    assert instructions(DOCKERFILE)[0] == ("ARG", "PYTHON_IMAGE=python:3.13-slim-trixie")
    assert {rest.split(" ")[0] for rest in arguments("FROM")} == {"${PYTHON_IMAGE}"}
    assert len(arguments("FROM")) > 1


def test_the_last_user_is_a_number_and_not_root() -> None:
    """Kubernetes requires a number for `runAsNonRoot`."""
    assert arguments("USER") == ["10001:10001"]


@pytest.mark.parametrize("name", ["ENTRYPOINT", "CMD"])
def test_processes_start_without_a_shell(name: str) -> None:
    """Exec form: signals reach the program."""
    (line,) = arguments(name)
    assert json.loads(line)


def test_the_health_check_is_the_program_itself() -> None:
    """The image has no curl, and the check needs no shell."""
    (line,) = arguments("HEALTHCHECK")
    assert json.loads(line[line.index("CMD") + 3 :])[-3:] == ["-m", "app", "health"]


def test_no_secret_is_baked_in() -> None:
    assert find_secrets(DOCKERFILE) == []
    assert find_secrets("ENV LICENTIA_LOOKUP_KEY=abc\nARG DB_PASSWORD") == ["LICENTIA_LOOKUP_KEY", "DB_PASSWORD"]


def test_old_builders_can_build_it() -> None:
    """Debian's buildah supports neither heredocs nor COPY --link, and a syntax line would download a front end."""
    assert "<<" not in DOCKERFILE
    assert "--link" not in DOCKERFILE
    assert "--mount" not in DOCKERFILE
    assert not DOCKERFILE.startswith("# syntax")


def test_only_locked_packages_are_installed() -> None:
    installs = [part for rest in arguments("RUN") for part in rest.split("&&") if " install " in part and "pip" in part]
    assert installs
    assert [part for part in installs if "--require-hashes" not in part] == []


def test_the_context_is_an_allow_list() -> None:
    """An unexpected file, such as a local database or a key, never reaches the builder."""
    lines = [line for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    copied = {rest.split()[0].rstrip("/") for rest in arguments("COPY") if not rest.startswith("--from")}
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
    """Every variable that looks like a secret names a file, every file is a declared secret, and no value is in the environment."""
    environment: dict[str, str] = SERVICES[name].get("environment", {})
    assert [each for each in environment if SECRET.search(each) and not each.endswith("_FILE")] == []
    files = {value.removeprefix("/run/secrets/") for each, value in environment.items() if each.endswith("_FILE")}
    assert files == set(SERVICES[name]["secrets"])
    assert files <= set(COMPOSE["secrets"])


def test_ports_are_published_on_localhost_only() -> None:
    """A published port bypasses the firewall, and the operator must first choose how to add TLS."""
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []
