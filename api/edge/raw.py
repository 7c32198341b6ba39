"""What is done to every request before anything reads it, and to every answer before it leaves.

The path of `BASE_URL` is taken off, HEAD is asked as GET and told without a body, and who has read this version is
told so. The head is bounded here, the body where it is read (`incoming`); an error that nobody caught becomes an answer
without details; requests are counted and logged by the template of their route, never by path, because paths hold
tokens.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

import structlog
from opentelemetry import trace
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.edge import base_path, conditional, cors, incoming, metrics, problems
from integrations.runtime import tracing
from service.kernel import clock

LONGEST_ADDRESS = 8_192
MOST_HEAD_BYTES = 32_768
HEADERS = {
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
}
"""What every answer carries, unless its handler said otherwise."""

_OURS_TO_KEEP = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)
_UNTRACED = ("/a/", "/j/", "/sign-in/")
_WENT_AWAY = 499
_OF_THE_BODY = ("content-length", "content-type", "content-encoding")
_log = structlog.get_logger(__name__)


class Edge:
    """The outermost layer."""

    def __init__(self, app: ASGIApp) -> None:
        """Stand before `app`."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request, whatever it is."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        fault = _fault_of_head(scope)
        exchange = _Exchange(scope, receive, send)
        with exchange.traced():
            await self._answer(exchange, fault, receive)

    async def _answer(self, exchange: "_Exchange", fault: str | None, receive: Receive) -> None:
        scope = exchange.scope
        try:
            if fault:
                await problems.answer(scope, fault)(scope, receive, exchange.send)
            else:
                answering = cors.preflight(scope, exchange.told_to_others) or self._app
                await answering(scope, exchange.body.receive, exchange.send)
        except ClientDisconnect:
            exchange.status = exchange.status or _WENT_AWAY
        except Exception as error:
            if exchange.status:
                raise
            _log.exception("unhandled_error", exc_info=error, route=exchange.route, method=exchange.method)
            await problems.answer(scope, "internal")(scope, receive, exchange.send)
        finally:
            exchange.end()


def _traceparent(headers: Headers) -> str | None:
    """Give the caller's place in a trace (W3C Trace Context); None for none, and for what is not one."""
    given = headers.getlist("traceparent")
    return given[0] if len(given) == 1 and _TRACEPARENT.fullmatch(given[0]) else None


class _Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._headers = Headers(scope=scope)
        client_request_id = self._headers.get("x-request-id", "")
        self.request_id = client_request_id if _OURS_TO_KEEP.fullmatch(client_request_id) else str(clock.new_id())
        self.method: str = scope["method"]
        self.scope = base_path.entered(scope, scope["app"].state.world.settings.base_path)
        self.scope["state"]["request_id"] = self.request_id
        self.scope["state"]["traceparent"] = _traceparent(self._headers)
        self.told_to_others = cors.headers(self.scope, scope["app"].state.world.settings)
        if self.method == "HEAD":
            self.scope["method"] = "GET"
        self.status = 0
        self.body = incoming.Body(self.scope, receive)
        self._is_body_sent = self.method != "HEAD"
        self._send, self._began = send, clock.monotonic()
        structlog.contextvars.bind_contextvars(request_id=self.request_id)

    @property
    def route(self) -> str:
        """The template of the route that answered; never the path, which may hold a token."""
        return getattr(self.scope.get("route"), "path", None) or "unknown"

    @contextmanager
    def traced(self) -> Iterator[None]:
        """Do the block in a span of the caller's trace, whose place what comes of the request goes on from.

        It names what was asked by the route's template; a link out of a mail is not traced at all.
        """
        tracer: trace.Tracer = self.scope["app"].state.world.tracer
        given = self.scope["state"]["traceparent"]
        if isinstance(tracer, trace.NoOpTracer) or self.scope["path"].startswith(_UNTRACED):
            yield
            return
        method = self.method if self.method in metrics.METHODS else "other"
        with tracing.span(tracer, method, given, trace.SpanKind.SERVER) as current:
            self.scope["state"]["traceparent"] = tracing.traceparent()
            yield
            current.update_name(f"{method} {self.route}")
            current.set_attributes(
                {"http.request.method": method, "http.route": self.route, "http.response.status_code": self.status}
            )
            if self.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                tracing.failed(current, str(self.status))

    async def send(self, message: Message) -> None:
        """Pass the answer on, with the headers that every answer carries; with a body unread it is the last one."""
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            self._condition(message, headers)
            self.status = message["status"]
            for name, value in self.told_to_others.items():
                headers.add_vary_header(value) if name == "Vary" else headers.append(name, value)
            if "location" in headers:
                headers["location"] = base_path.outward(self.scope, headers["location"])
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers["X-Request-Id"] = self.request_id
            if self.body.is_left:
                headers["Connection"] = "close"
        elif not self._is_body_sent:
            message = {**message, "body": b""}
        await self._send(message)

    def _condition(self, message: Message, headers: MutableHeaders) -> None:
        """Answer 304 without a body when the client says that it has this version."""
        is_read = self.scope["method"] == "GET" and message["status"] == HTTPStatus.OK
        if is_read and "etag" in headers and conditional.names(self._headers.get("if-none-match", ""), headers["etag"]):
            message["status"] = HTTPStatus.NOT_MODIFIED.value
            self._is_body_sent = False
            for name in _OF_THE_BODY:
                del headers[name]

    def end(self) -> None:
        """Count and log."""
        seconds = clock.monotonic() - self._began
        method = self.method
        if not self.scope["state"].get("is_stream"):  # which is to last: as an answer's time it would say nothing
            metrics.REQUESTS.labels(method if method in metrics.METHODS else "other", self.route, self.status).observe(
                seconds
            )
        _log.info("request", route=self.route, method=method, status=self.status, duration_ms=round(seconds * 1000, 1))
        structlog.contextvars.unbind_contextvars("request_id")


def _fault_of_head(scope: Scope) -> str | None:
    """Name the problem of a head that is longer than any of ours; what comes after reads all of it."""
    if len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"]) > LONGEST_ADDRESS:
        return "uri-too-long"
    head_bytes = sum(len(name) + len(value) for name, value in scope["headers"])
    return "head-too-large" if head_bytes > MOST_HEAD_BYTES else None
