"""Traces (OpenTelemetry), for operators who name a collector: where a request and what it causes spend their time.

What a span says is listed here, and nothing else leaves: routes by their template, never paths, as these hold tokens;
statements by their text, never with values; how an attempt ended by its code; no text of an exception. A request's own
span is in `api.edge.raw`. Nothing is global: a library that traces by itself finds nothing to trace with.
"""

import asyncio
import functools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from uuid import UUID

import asyncpg
import sqlalchemy as sa
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from sqlalchemy.ext.asyncio import AsyncEngine

from integrations.runtime.settings import Settings
from service.kernel import clock, database_errors, outcomes, processes

_LONGEST_TEXT = 2_000
_EXPORT_SECONDS = 5
_FORMAT = TraceContextTextMapPropagator()
_BEGAN = "pobratym_began_ns"


@asynccontextmanager
async def opened(settings: Settings, identity: processes.Identity) -> AsyncIterator[trace.Tracer]:
    """Give what makes spans, and sends them to the settings' collector, if there is one, in a thread of its own.

    At the end what waits is sent, for a few seconds: a collector that is away holds up nobody.
    """
    if settings.otlp_endpoint is None:
        yield trace.NoOpTracer()
        return
    # An extra, and slow to import.
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import SpanLimits, TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    provider = TracerProvider(
        resource=Resource.create(
            {
                "service.name": f"pobratym-{identity.kind}",
                "service.version": identity.version,
                "service.instance.id": str(identity.id),
            }
        ),
        span_limits=SpanLimits(max_attribute_length=_LONGEST_TEXT),
        shutdown_on_exit=False,
    )
    exporter = OTLPSpanExporter(endpoint=f"{settings.otlp_endpoint}/v1/traces", timeout=_EXPORT_SECONDS)
    provider.add_span_processor(BatchSpanProcessor(exporter))
    try:
        yield provider.get_tracer("pobratym")
    finally:
        await asyncio.to_thread(functools.partial(provider.force_flush, _EXPORT_SECONDS * 1000))
        await asyncio.to_thread(provider.shutdown)


@contextmanager
def span(
    tracer: trace.Tracer, name: str, traceparent: str | None, kind: trace.SpanKind = trace.SpanKind.CLIENT
) -> Iterator[trace.Span]:
    """Do the block in a span below `traceparent`, or at the root; an exception leaves its kind, and no text."""
    parent = _FORMAT.extract({"traceparent": traceparent}, Context()) if traceparent else Context()
    with tracer.start_as_current_span(
        name, parent, kind, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield current
        except BaseException as error:
            failed(current, type(error).__name__)
            raise


def failed(current: trace.Span, code: str) -> None:
    """Have the span say that it failed, by a code or the name of a kind."""
    current.set_attribute("error.type", code)
    current.set_status(trace.StatusCode.ERROR)


def attempted(current: trace.Span, delivery_id: UUID, attempt: int, outcome: outcomes.Outcome | None) -> None:
    """Have the span say how an attempt to deliver something ended, by codes; None is left to a newer worker."""
    current.set_attributes({"pobratym.delivery_id": str(delivery_id), "pobratym.attempt": attempt})
    if outcome is not None:
        current.set_attribute("pobratym.outcome", outcomes.word(outcome))
    if outcome is not None and not isinstance(outcome, outcomes.Delivered):
        failed(current, outcomes.word(outcome))


def traceparent() -> str | None:
    """Give the place in the trace where we are (W3C Trace Context); None if nothing is traced."""
    carrier: dict[str, str] = {}
    _FORMAT.inject(carrier)
    return carrier.get("traceparent")


def watch(tracer: trace.Tracer, engine: AsyncEngine) -> None:
    """Have each statement of the engine be a span below the current one; without one, as of a loop, it is none.

    Two ways lead to the driver: SQLAlchemy's, seen by its events, as asyncpg tells no logger of prepared statements;
    and `Work.fetch`, with BEGIN and COMMIT, seen by such a logger.
    """
    if isinstance(tracer, trace.NoOpTracer):
        return

    def begun(_connection: object, _cursor: object, _text: str, _values: object, context: Any, _many: object) -> None:  # noqa: ANN401 - SQLAlchemy's
        setattr(context, _BEGAN, _now_ns())

    def ended(_connection: object, _cursor: object, text: str, _values: object, context: Any, _many: object) -> None:  # noqa: ANN401
        _statement(tracer, text, getattr(context, _BEGAN))

    def refused(context: sa.engine.ExceptionContext) -> None:
        began = getattr(context.execution_context, _BEGAN, None)
        if began and context.statement:
            _statement(tracer, context.statement, began, context.sqlalchemy_exception or context.original_exception)

    def logged(query: asyncpg.connection.LoggedQuery) -> None:
        _statement(tracer, query.query, _now_ns() - int(query.elapsed * 1e9), query.exception)

    def connected(connection: Any, _record: object) -> None:  # noqa: ANN401 - the driver's
        connection.driver_connection.add_query_logger(logged)

    for name, listener in (
        ("before_cursor_execute", begun),
        ("after_cursor_execute", ended),
        ("handle_error", refused),
        ("connect", connected),
    ):
        sa.event.listen(engine.sync_engine, name, listener)


def _statement(tracer: trace.Tracer, text: str, began_ns: int, error: BaseException | None = None) -> None:
    if not trace.get_current_span().is_recording():
        return
    text = " ".join(text.split())
    current = tracer.start_span(
        text.partition(" ")[0].upper(),
        kind=trace.SpanKind.CLIENT,
        attributes={"db.system.name": "postgresql", "db.query.text": text},
        start_time=began_ns,
    )
    if error is not None:
        failed(current, database_errors.code(error))
    current.end()


def _now_ns() -> int:
    return int(clock.wall().timestamp() * 1e6) * 1000
