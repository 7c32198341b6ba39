"""The stream by which an open page hears that something has changed: what, never how; the page then asks for itself.

200 is a stream of events (`changed`, with the id of a case, or `everything`), which ends after ten minutes, with the
visit, and when the server stops: a browser comes back by itself, and says by `Last-Event-ID` what it has heard.
204 tells a browser not to come back: without a visit, or where `LIVE=off`. 503: too many streams.
"""

from collections.abc import AsyncIterator

from fastapi import APIRouter, Response
from fastapi.sse import EventSourceResponse, format_sse_event
from starlette.types import Receive, Scope, Send

from api.pages import frame
from integrations.runtime.live_streams import Stream
from service.kernel import changes, clock, errors

router = APIRouter(route_class=frame.PageRoute, include_in_schema=False)
LASTS_SECONDS = 600.0
PING_SECONDS = 15.0
SEEN_SECONDS = 60.0
"""How often it is asked whether the visit still is one."""
EVERYTHING = "everything"
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


@router.get("/live")
async def live(visit: frame.Anybody) -> Response:
    """Follow what concerns the visitor."""
    if visit.person is None or visit.world.settings.live == "off":
        return Response(status_code=204, headers=frame.HEADERS)
    heard, is_known = _heard(visit)
    stream = visit.world.streams.open(visit.actor)
    try:
        missed = await visit.read(lambda w: changes.since(w, heard))
    except BaseException:
        visit.world.streams.close(stream)
        raise
    for change in missed.changes if is_known else [changes.ANYTHING]:
        stream.tell(change)
    getattr(visit.request.state, "ending", []).append(stream.end)  # as `edge.connections` has it
    visit.request.state.is_stream = True
    return _Following(visit, stream, missed.position)


def _heard(visit: frame.Visit) -> tuple[int | None, bool]:
    """Give the position that the browser has heard up to, None for a new one; and whether what it says can be read."""
    said = visit.request.headers.get("last-event-id")
    if said is None:
        return None, True
    is_number = said.isascii() and said.isdigit() and len(said) < 19  # noqa: PLR2004 - digits of a bigint
    return (int(said), True) if is_number else (None, False)


class _Following(EventSourceResponse):
    """The stream as an answer; it is forgotten however it ends, also before its first byte."""

    def __init__(self, visit: frame.Visit, stream: Stream, position: int) -> None:
        super().__init__(_events(visit, stream, position), headers=_HEADERS)
        self._visit, self._stream = visit, stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._visit.world.streams.close(self._stream)


async def _events(visit: frame.Visit, stream: Stream, position: int) -> AsyncIterator[bytes]:
    """Give the events' bytes. Each has the position of the stream's beginning: what comes twice costs a look."""
    began = seen = clock.monotonic()
    yield format_sse_event(comment="following", id=str(position), retry=2000)
    while not stream.is_over and clock.monotonic() - began < LASTS_SECONDS:
        cases = await stream.next(PING_SECONDS)
        if clock.monotonic() - seen >= SEEN_SECONDS:
            seen = clock.monotonic()
            if not await _is_still_theirs(visit):
                return
        if not cases:
            yield format_sse_event(comment="ping")
        for case_id in cases:
            told = EVERYTHING if case_id is None else str(case_id)
            yield format_sse_event(event="changed", data_str=told, id=str(position))


async def _is_still_theirs(visit: frame.Visit) -> bool:
    """Tell whether the visit goes on with the same roles; where the database is away it does, for now."""
    try:
        return await frame.goes_on(visit)
    except errors.Unavailable:
        return True
