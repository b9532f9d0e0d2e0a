"""Sends traces with masked attributes. Imported only if traces are configured, because it needs the `telemetry` extra.

A span has only the allowed attributes: no query, body, header or address, and a path is masked as in the log. The SDK reads the
destination and the intervals from OpenTelemetry's standard environment variables.
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
"""Seconds to send the remaining spans at shutdown."""
ALLOWED_ATTRIBUTES = frozenset(
    {"http.request.method", "http.response.status_code", "http.route", "url.scheme", "network.protocol.version", "error.type"}
)


class MaskingProcessor(SpanProcessor):
    """Masks attributes that are not allowed, when a span starts. Attributes set later are all allowed. `mask_path` masks a path."""

    def __init__(self, mask_path: Callable[[str], str]) -> None:
        self.mask_path = mask_path

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:  # noqa: ARG002  the hook's signature
        for name, value in dict(span.attributes or {}).items():
            if name == "url.path":
                span.set_attribute(name, self.mask_path(str(value)))
            elif name not in ALLOWED_ATTRIBUTES:
                span.set_attribute(name, MASK)


class MaskedTracerProvider(TracerProvider):
    """Creates spans and sends them to the collector of the environment variables. `mask_path` masks a path."""

    def __init__(self, version: str, mask_path: Callable[[str], str]) -> None:
        super().__init__(resource=Resource.create({"service.name": "licentia", "service.version": version}))
        self.exporter = OTLPSpanExporter()
        self.add_span_processor(MaskingProcessor(mask_path))
        self.add_span_processor(BatchSpanProcessor(self.exporter))

    async def flush_and_stop(self) -> None:
        """Send the remaining spans. An unreachable collector delays shutdown by at most `FLUSH_TIMEOUT`."""
        with move_on_after(FLUSH_TIMEOUT) as scope:
            await to_thread.run_sync(self.shutdown, abandon_on_cancel=True)
        if scope.cancelled_caught:
            self.exporter.shutdown()  # type: ignore[no-untyped-call]
