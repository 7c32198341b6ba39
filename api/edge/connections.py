"""One connection of a client: how long its head may take, how much it may be, and how many there may be.

uvicorn waits for a head for ever, and keeps as much of one as comes. Here a connection that is not being answered
always has a timer: until its head is whole, or until the next one begins. What is wrong with a body is known in
`incoming`, where it is read.
"""

import asyncio
import functools
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.edge import metrics, problems, raw
from integrations.runtime import settings
from service.kernel import clock

_SEEING_SECONDS = 1
"""How long a refused client has to read why, before the connection is cut."""
_MOST_HEAD_BYTES = 2 * (raw.MOST_HEAD_BYTES + raw.LONGEST_ADDRESS)
"""Before it is whole, what a head holds besides names and values is not told apart."""

_settings = functools.cache(settings.load)


class Connection(HttpToolsProtocol):
    """A connection that ends when its head does not come, when it is one too many, or when nobody reads the answer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - uvicorn's own
        """Take the limits of the settings of this process."""
        super().__init__(*args, **kwargs)
        self._limits = _settings()
        self._head_timer: asyncio.TimerHandle | None = None
        self._answer_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._is_head_begun = False
        self._is_refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn does
        """Begin to wait for a head; one connection too many is told so."""
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections:
            self._refuse("unavailable", "full")
        else:
            self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        self._stop_waiting()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; a head that is not whole yet is neither endless nor slow."""
        if self._is_over():
            return
        if not self._is_being_answered():
            self._head_bytes += len(data)
        super().data_received(data)
        if self._is_over() or self._is_being_answered():
            return
        if self._head_bytes > _MOST_HEAD_BYTES:
            self._refuse("head-too-large", "head_too_large")
        elif self._head_timer is None and self.timeout_keep_alive_task is None:
            self._wait_for_head()

    def on_message_begin(self) -> None:
        """Know that a head has begun."""
        super().on_message_begin()
        self._is_head_begun = True

    def on_headers_complete(self) -> None:
        """Stop waiting: what follows is the handler's to wait for."""
        self._stop_waiting()
        self._head_bytes = 0
        self._is_head_begun = False
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

    def _is_over(self) -> bool:
        return self._is_refused or self.transport.is_closing()

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
        elif self._is_head_begun:
            self._refuse("request-timeout", "head_too_slow")
        else:
            metrics.CONNECTIONS_ENDED.labels("silent").inc()
            self.transport.close()

    def _refuse(self, problem: str, reason: str) -> None:
        """Say what is wrong, and cut the connection a moment later; it counts no more."""
        self._is_refused = True
        self._stop_waiting()
        self.connections.discard(self)
        metrics.CONNECTIONS_ENDED.labels(reason).inc()
        answer = problems.answer(str(clock.new_id()), problem, headers={"Connection": "close"})
        head = b"".join(b"%s: %s\r\n" % pair for pair in answer.raw_headers)
        status = problems.catalogue()[problem][0]
        self.transport.write(b"HTTP/1.1 %d \r\n%s\r\n%s" % (status, head, answer.body))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(_SEEING_SECONDS, self.transport.abort)

    def _give_up(self) -> None:
        self._answer_timer = None
        metrics.CONNECTIONS_ENDED.labels("answer_not_read").inc()
        self.transport.abort()
