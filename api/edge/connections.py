"""One connection of a client: how long its head may take, how much it may be, and how many there may be.

uvicorn waits for a head for ever, and keeps as much of one as comes. Here a connection that is not being answered
always has a timer: until its head is whole, or until the next one begins. What is wrong with a body is known in
`incoming`, where it is read.
"""

import asyncio
import functools
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.edge import metrics, problems, raw
from integrations.runtime import settings
from service.kernel import clock

_SEEING_SECONDS = 2
"""How long a client that is done, or sends nothing more, has to read the answer before the connection is cut."""
_LONGEST_SEEING_SECONDS, _MOST_DISCARDED = 10, 32_000_000
"""How long, and how much, of a body that nobody wanted is thrown away for a client that reads no answer before its end:
most libraries do not. It is three times the largest body that is taken; it costs us no memory."""
_MOST_SEEING = 100
"""How many connections have that time at once: those beyond are cut, since they count towards no other limit."""
_MOST_HEAD_BYTES = 2 * (raw.MOST_HEAD_BYTES + raw.LONGEST_ADDRESS)
"""Before it is whole, what a head holds besides names and values is not told apart."""

ENDING = "ending"
"""Of a request's state: what is called when the server stops while the request is being answered."""
_settings = functools.cache(settings.load)
_seeing: set["Connection"] = set()


class _Transport:
    """The transport as uvicorn has it; to close it is the connection's to decide."""

    def __init__(self, transport: asyncio.Transport, connection: "Connection") -> None:
        self.real, self._connection = transport, connection

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a transport has
        return getattr(self.real, name)

    def close(self) -> None:
        self._connection.end()

    def is_closing(self) -> bool:
        return self._connection.is_over()


class Connection(HttpToolsProtocol):
    """A connection that ends when its head does not come, when it is one too many, or when nobody reads the answer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's own
        """Take the limits of the settings of this process."""
        super().__init__(*args, **kwargs)
        self._limits = _settings()
        self._head_timer: asyncio.TimerHandle | None = None
        self._answer_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._is_message_begun = False
        self._is_ending = False
        self._discarded_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn does
        """Begin to wait for a head; one connection too many is told so."""
        super().connection_made(_Transport(transport, self))  # type: ignore[arg-type]  # it has what a transport has
        if len(self.connections) > self._limits.connections:
            self._refuse("unavailable", "full")
        else:
            self._wait_for_head()

    def shutdown(self) -> None:
        """End what would go on for minutes, which has said how in `ENDING`; whatever else is begun is finished."""
        if self._is_being_answered():
            for end in self.cycle.scope["state"].get(ENDING, ()):
                end()
        super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        _seeing.discard(self)
        self._stop_waiting()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; a head that is not whole yet is neither endless nor slow."""
        if self.is_over():
            self._discard(data)
            return
        if not self._is_being_answered():
            self._head_bytes += len(data)
        super().data_received(data)
        if self.is_over() or self._is_being_answered():
            return
        if self._head_bytes > _MOST_HEAD_BYTES:
            self._refuse("head-too-large", "head_too_large")
        elif self._head_timer is None and self.timeout_keep_alive_task is None:
            self._wait_for_head()

    def on_message_begin(self) -> None:
        """Know that a request has begun."""
        super().on_message_begin()
        self.scope["state"][ENDING] = []
        self._is_message_begun = True

    def on_message_complete(self) -> None:
        """Know that nothing of it is on its way any more."""
        super().on_message_complete()
        self._is_message_begun = False

    def on_headers_complete(self) -> None:
        """Stop waiting: what follows is the handler's to wait for."""
        self._stop_waiting()
        self._head_bytes = 0
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP."""
        del msg
        self._refuse("bad-request", "not_http")

    def pause_writing(self) -> None:
        """Give the client time to read what was sent."""
        super().pause_writing()
        if self._answer_timer is None:
            self._answer_timer = self.loop.call_later(self._limits.answer_seconds, self._give_up)

    def resume_writing(self) -> None:
        """Know that the client reads."""
        super().resume_writing()
        if self._answer_timer is not None:
            self._answer_timer.cancel()
            self._answer_timer = None

    def _is_being_answered(self) -> bool:
        return bool(self.cycle) and not self.cycle.response_complete

    def _wait_for_head(self) -> None:
        self._head_timer = self.loop.call_later(self._limits.head_seconds, self._head_is_late)

    def _stop_waiting(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self._is_being_answered():  # a second head has begun behind a first one
            self._wait_for_head()
        elif self._is_message_begun:
            self._refuse("request-timeout", "head_too_slow")
        else:
            metrics.CONNECTIONS_ENDED.labels("silent").inc()
            self.transport.close()

    def _refuse(self, problem: str, reason: str) -> None:
        """Say what is wrong, and end; the connection counts no more."""
        self._stop_waiting()
        self.connections.discard(self)
        metrics.CONNECTIONS_ENDED.labels(reason).inc()
        request_id = str(clock.new_id())
        state = {"request_id": request_id, "base_path": self._limits.base_path}
        headers = raw.HEADERS | {"Connection": "close", "X-Request-Id": request_id}
        answer = problems.answer({"state": state}, problem, headers=headers)
        head = b"".join(b"%s: %s\r\n" % pair for pair in answer.raw_headers)
        status = problems.catalogue()[problem][0]
        phrase = HTTPStatus(status).phrase.encode()
        self.transport.write(b"HTTP/1.1 %d %s\r\n%s\r\n%s" % (status, phrase, head, answer.body))
        self._is_message_begun = True  # whatever follows
        self.end()

    def end(self) -> None:
        """Close; while a request is still coming, say only that nothing follows, and let the client see the answer.

        To close on octets that were not read resets the connection, and the reset may overtake the answer.
        """
        if self.is_over():
            return
        self._is_ending = True
        transport: asyncio.Transport = self.transport.real  # type: ignore[attr-defined]
        if self._is_message_begun and transport.can_write_eof() and len(_seeing) < _MOST_SEEING:
            _seeing.add(self)
            transport.write_eof()
            transport.resume_reading()
            self.loop.call_later(_SEEING_SECONDS, self._cut, 0, self.loop.time() + _LONGEST_SEEING_SECONDS)
        else:
            transport.close()

    def is_over(self) -> bool:
        """Tell whether the connection is closed, or about to be."""
        return self._is_ending or bool(self.transport.real.is_closing())  # type: ignore[attr-defined]

    def _discard(self, data: bytes) -> None:
        self._discarded_bytes += len(data)
        if self._discarded_bytes > _MOST_DISCARDED:
            self.transport.pause_reading()

    def _cut(self, discarded_bytes: int, until: float) -> None:
        """Cut the connection, unless the client has sent more of its body than it had, and has time for the rest."""
        is_sending = self._discarded_bytes > discarded_bytes and self._discarded_bytes <= _MOST_DISCARDED
        if is_sending and self.loop.time() < until:
            self.loop.call_later(_SEEING_SECONDS, self._cut, self._discarded_bytes, until)
        else:
            self.transport.abort()

    def _give_up(self) -> None:
        self._answer_timer = None
        metrics.CONNECTIONS_ENDED.labels("answer_not_read").inc()
        self.transport.abort()
