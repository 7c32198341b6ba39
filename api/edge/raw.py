"""What is done to every request before anything reads it, and to every answer before it leaves.

Bodies are bounded and must be plain JSON before a parser that trusts them sees them; an error that nobody caught
becomes an answer without details; requests are counted and logged by the template of their route, never by path,
because paths hold tokens.
"""

import json
import math
import re
from typing import Any

import structlog
from fastapi import Response
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.edge import metrics, problems
from service.kernel import clock

MOST_BYTES = 1_000_000
DEEPEST = 32
MOST_KEYS = 10_000
HEADERS = {
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
}
"""What every answer carries, unless its handler said otherwise."""

_LONGEST_INTEGER = 20
_INTEGERS = range(-(2**63), 2**63)
_OURS_TO_KEEP = re.compile(r"[A-Za-z0-9._-]{8,64}", re.ASCII)
# An unclosed text is taken to the end: were it no match, the search would begin anew at each of its quotes, for hours.
_STRING = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
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
        exchange = _Exchange(scope, send)
        try:
            body = await _read(scope, receive)
            if isinstance(body, Response):
                await body(scope, receive, exchange.send)
            else:
                await self._app(scope, _replay(body, receive), exchange.send)
        except Exception as error:
            if exchange.status:
                raise
            _log.exception("unhandled_error", exc_info=error, route=exchange.route, method=scope["method"])
            await problems.answer(exchange.request_id, "internal")(scope, receive, exchange.send)
        finally:
            exchange.end()


class _Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, send: Send) -> None:
        client_request_id = Headers(scope=scope).get("x-request-id", "")
        self.request_id = client_request_id if _OURS_TO_KEEP.fullmatch(client_request_id) else str(clock.new_id())
        scope.setdefault("state", {})["request_id"] = self.request_id
        self.status = 0
        self._scope, self._send, self._began = scope, send, clock.monotonic()
        structlog.contextvars.bind_contextvars(request_id=self.request_id)

    @property
    def route(self) -> str:
        """The template of the route that answered; never the path, which may hold a token."""
        return getattr(self._scope.get("route"), "path", None) or "unknown"

    async def send(self, message: Message) -> None:
        """Pass the answer on, with the headers that every answer carries."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers["X-Request-Id"] = self.request_id
        await self._send(message)

    def end(self) -> None:
        """Count and log."""
        seconds = clock.monotonic() - self._began
        method = self._scope["method"]
        metrics.REQUESTS.labels(method if method in metrics.METHODS else "other", self.route, self.status).observe(
            seconds
        )
        _log.info("request", route=self.route, method=method, status=self.status, duration_ms=round(seconds * 1000, 1))
        structlog.contextvars.unbind_contextvars("request_id")


async def _read(scope: Scope, receive: Receive) -> bytes | Response:
    """Give the whole body, or the problem with it."""
    request_id = scope["state"]["request_id"]
    headers = Headers(scope=scope)
    announced = headers.get("content-length", "0")
    body = bytearray()
    more = announced.isascii() and announced.isdigit() and int(announced[:_LONGEST_INTEGER]) <= MOST_BYTES
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False) and len(body) <= MOST_BYTES
        announced = "0"
    if len(body) > MOST_BYTES or announced != "0":
        return problems.answer(request_id, "too-large", f"At most {MOST_BYTES} bytes.", {"Connection": "close"})
    if body and is_json(headers.get("content-type", "")):
        try:
            check(bytes(body))
        except problems.BadBody as error:
            return problems.answer(request_id, "malformed-json", str(error))
    return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Give the body again, then whatever the client does next."""
    is_replayed = False

    async def again() -> Message:
        nonlocal is_replayed
        if is_replayed:
            return await receive()
        is_replayed = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def is_json(content_type: str) -> bool:
    """Tell whether a body with this header is meant as JSON."""
    kind = content_type.split(";", maxsplit=1)[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def check(body: bytes) -> None:
    """Pass JSON that means the same to every reader (RFC 7493), bounded in depth; raises BadBody."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        msg = "The body is not UTF-8."
        raise problems.BadBody(msg) from None
    _check_depth(text)
    keys = 0

    def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal keys
        keys += len(pairs)
        members = dict(pairs)
        if len(members) != len(pairs):
            msg = "A name stands twice in one object."
            raise problems.BadBody(msg)
        if keys > MOST_KEYS:
            msg = f"There are more than {MOST_KEYS} names."
            raise problems.BadBody(msg)
        return members

    try:
        value = json.loads(
            text, object_pairs_hook=without_duplicates, parse_constant=_number, parse_int=_integer, parse_float=_number
        )
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        msg = "A text holds half a character (a lone surrogate)."
        raise problems.BadBody(msg) from None
    except ValueError as error:
        place = f" near character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        msg = f"The body is not JSON{place}."
        raise problems.BadBody(msg) from None


def _check_depth(text: str) -> None:
    if text.count("[") + text.count("{") <= DEEPEST:
        return
    depth = 0
    for bracket in re.findall(r"[\[\]{}]", _STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > DEEPEST:
            msg = f"The body is nested more than {DEEPEST} deep."
            raise problems.BadBody(msg)


def _integer(digits: str) -> int:
    value = int(digits) if len(digits) <= _LONGEST_INTEGER else _INTEGERS.stop
    if value not in _INTEGERS:
        msg = "A number does not fit into 64 bits."
        raise problems.BadBody(msg)
    return value


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        msg = "A number is infinite or none at all."
        raise problems.BadBody(msg)
    return value
