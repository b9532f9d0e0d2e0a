"""What a trace may say, and where it goes. Imported only where traces are configured, for it wants the `telemetry` extra.

A span says what is on the list and nothing else: no query, no body, no header, no address, and of a path what the log would say.
Where to and how often is told by OpenTelemetry's standard variables, which the SDK reads itself.
"""

from collections.abc import Callable

from anyio import move_on_after, to_thread
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

from app.observability.logs import MASK

FLUSH_TIMEOUT = 3.0
"""Seconds for what is left at the end."""
ALLOWED_ATTRIBUTES = frozenset(
    {"http.request.method", "http.response.status_code", "http.route", "url.scheme", "network.protocol.version", "error.type"}
)


class MaskingProcessor(SpanProcessor):
    """Masks, as a span begins, whatever is not on the list; what is added until its end is on it. `told`: a path as it may be told."""

    def __init__(self, told: Callable[[str], str]) -> None:
        self.told = told

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002  the hook's signature
        for name, value in dict(span.attributes or {}).items():
            if name == "url.path":
                span.set_attribute(name, self.told(str(value)))
            elif name not in ALLOWED_ATTRIBUTES:
                span.set_attribute(name, MASK)


class MaskedTracerProvider(TracerProvider):
    """What makes spans, and sends them to the collector that the environment names. `told`: a path as it may be told."""

    def __init__(self, version: str, told: Callable[[str], str]) -> None:
        super().__init__(resource=Resource.create({"service.name": "licentia", "service.version": version}))
        self.exporter = OTLPSpanExporter()
        self.add_span_processor(MaskingProcessor(told))
        self.add_span_processor(BatchSpanProcessor(self.exporter))

    async def ended(self) -> None:
        """Send what was not sent yet; a collector that is away holds up the end for `LAST_SPANS` and no longer."""
        with move_on_after(FLUSH_TIMEOUT) as patience:
            await to_thread.run_sync(self.shutdown, abandon_on_cancel=True)
        if patience.cancelled_caught:
            self.exporter.shutdown()  # type: ignore[no-untyped-call]
