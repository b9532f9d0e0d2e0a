"""What a trace may say, and where it goes. Imported only where traces are configured, for it wants the `telemetry` extra.

A span says what is on the list and nothing else: no query, no body, no header, no address, and of a path what the log would say.
Where to, how often and how long to wait is told by OpenTelemetry's standard variables, which the SDK reads itself.
"""

from collections.abc import Callable, Sequence

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from app.base.logs import MASK

SAID = frozenset({"http.request.method", "http.response.status_code", "http.route", "url.scheme", "network.protocol.version", "error.type"})


class Discreet(SpanProcessor):
    """Masks, as a span begins, whatever is not on the list; what is added until its end is on it. `told`: a path as it may be told."""

    def __init__(self, told: Callable[[str], str]) -> None:
        self.told = told

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002  the hook's signature
        for name, value in dict(span.attributes or {}).items():
            if name == "url.path":
                span.set_attribute(name, self.told(str(value)))
            elif name not in SAID:
                span.set_attribute(name, MASK)


def provider(version: str, told: Callable[[str], str], exporters: Sequence[SpanExporter] = ()) -> TracerProvider:
    """What makes spans; they go to the collector that the environment names, or to the given exporters."""
    made = TracerProvider(resource=Resource.create({"service.name": "licentia", "service.version": version}))
    made.add_span_processor(Discreet(told))
    for exporter in exporters or (OTLPSpanExporter(),):
        made.add_span_processor(BatchSpanProcessor(exporter))
    return made
