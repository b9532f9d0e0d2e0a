"""Traces: one span for each request if configured, named by the route template, without text of the caller."""

import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from app.main import build_app
from app.world import World
from tests.clock import TurnedClock
from tests.given import Given
from tests.operations.figures import read_metrics
from tests.secrets.walk import BEARERS, misplace_secrets, walk_main_line
from tests.servers import ROOT


@dataclass
class Collector:
    """The requests that an OpenTelemetry collector on loopback received."""

    bodies: list[bytes] = field(default_factory=list)
    port: int = 0

    def spans(self) -> list[Any]:
        requests = [ExportTraceServiceRequest.FromString(body) for body in self.bodies]
        return [
            span for request in requests for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans
        ]

    def names(self) -> set[str]:
        return {span.name for span in self.spans()}

    def attributes(self) -> list[tuple[str, str]]:
        return [(each.key, str(each.value.string_value or each.value.int_value)) for span in self.spans() for each in span.attributes]


@pytest.fixture
def collector() -> Iterator[Collector]:
    seen = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.bodies.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        seen.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield seen
        server.shutdown()
        thread.join()


@pytest.fixture
def traced(world: World, collector: Collector, monkeypatch: pytest.MonkeyPatch) -> Iterator[FastAPI]:
    """The application, built with traces configured."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.port}")
    app = build_app(replace(world, settings=world.settings.model_copy(update={"traces": "otlp"})))
    yield app
    app.state.tracer_provider.shutdown()


@pytest.fixture
async def given(traced: FastAPI, world: World, clock: TurnedClock) -> AsyncIterator[Given]:
    transport = httpx.ASGITransport(traced)
    async with httpx.AsyncClient(transport=transport, base_url="http://licentia.test", trust_env=False) as client:
        yield await Given.with_root_key(client, world, clock)


def flush_spans(app: FastAPI) -> None:
    assert app.state.tracer_provider.force_flush()


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
async def test_no_span_carries_a_secret(given: Given, traced: FastAPI, collector: Collector) -> None:
    """Ordinary use, and every secret in the wrong place: in paths, queries, bodies and headers."""
    secrets = await walk_main_line(given)
    await misplace_secrets(given.client, secrets)
    for value in secrets.known.values():
        await given.client.get("/healthz", headers={"host": value.replace("/", "_"), "user-agent": value})
        await given.client.get("/v1/products", headers={"host": value.replace("/", "_"), "user-agent": value, "x-request-id": value})
    flush_spans(traced)
    text = b"".join(collector.bodies).decode("latin-1")
    assert {"POST /v1/access", "POST /v1/login", "GET /v1/licenses/{license_id}"} <= collector.names()
    assert secrets.find_in(text) == []
    assert [name for name, value in secrets.private.items() if value.lower() in text.lower()] == []
    assert BEARERS.findall(text) == []


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
async def test_a_span_has_only_listed_attributes(given: Given, traced: FastAPI, collector: Collector) -> None:
    await given.client.get("/v1/products?limit=1&q=hunter2", headers=given.root)
    await given.client.request("HUNTER2", "/hunter2/Hunter2?a=hunter2")
    flush_spans(traced)
    text = [pair for pair in collector.attributes() if "hunter2" in pair[1].lower()]
    assert text == []
    assert ("url.query", "[masked]") in collector.attributes()
    assert {"http.route", "http.response.status_code", "url.path"} <= {name for name, _ in collector.attributes()}
    assert {"GET /v1/products"} <= collector.names()


@pytest.mark.parametrize("kind", ["sqlite"], indirect=True)
async def test_the_trace_of_the_caller_is_continued_and_logged(
    given: Given, traced: FastAPI, collector: Collector, capsys: pytest.CaptureFixture[str]
) -> None:
    """W3C Trace Context: the same trace, the caller's span as the parent; probes and scrapes have no span."""
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    await given.client.get("/.well-known/jwks.json", headers={"traceparent": f"00-{trace}-{parent}-01"})
    await given.client.get("/healthz")
    await read_metrics(given.client)
    flush_spans(traced)
    (span,) = collector.spans()
    assert (span.trace_id.hex(), span.parent_span_id.hex(), span.name) == (trace, parent, "GET /.well-known/jwks.json")
    assert f'"trace_id": "{trace}"' in capsys.readouterr().out


OFF = """
import sys
from app.main import create_app
assert not create_app()._native_telemetry.enabled()
print(sorted(name for name in sys.modules if name.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))))
"""


def test_without_traces_nothing_of_opentelemetry_is_imported(tmp_path: Any) -> None:
    """Even if variables for FastAPI and the SDK are set, nothing is imported or sent."""
    environ = {
        "LICENTIA_VAR": str(tmp_path),
        "FASTAPI_OTEL_AUTO_CONFIGURE": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "PYTHONPATH": str(ROOT),
    }
    process = subprocess.run([sys.executable, "-c", OFF], env=environ, capture_output=True, text=True, check=True)
    assert process.stdout.splitlines()[-1] == "[]"
