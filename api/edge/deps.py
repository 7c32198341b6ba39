"""What handlers ask for: the caller's unit of work, the version they expect, the page they want.

All of it is `async`, although nothing waits: FastAPI would run a plain function in another thread.
"""

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, TypeVar
from uuid import UUID

from fastapi import Depends, Header, Query, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import Field, TypeAdapter, ValidationError

from api.edge import conditional, shapes
from integrations.runtime.world import World
from service.kernel import actor as actors
from service.kernel import errors
from service.kernel.work import Work
from service.rules import restores
from service.tables import columns

MOST_ITEMS = 200
USUAL_ITEMS = 50
T = TypeVar("T")

_LONGEST_CURSOR = 500
_bearer = HTTPBearer(auto_error=False, scheme_name="bearer", description="A person's token: `POST /v1/auth/tokens`.")
_instant: TypeAdapter[datetime] = TypeAdapter(shapes.Instant)
_id: TypeAdapter[UUID] = TypeAdapter(shapes.Id)
_number: TypeAdapter[int] = TypeAdapter(Annotated[int, Field(strict=True, ge=0, lt=2**63)])
_mark: TypeAdapter[str] = TypeAdapter(Annotated[str, Field(pattern=r"^[0-9a-f]{16}$")])
_text: TypeAdapter[str] = TypeAdapter(shapes.Line)


async def anyone(request: Request) -> Work:
    """Give the request's unit of work, whoever calls."""
    w: Work = request.state.work
    return w


async def signed_in(
    request: Request, _token: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)] = None
) -> Work:
    """Give the request's unit of work; raises Unauthenticated when the caller is not signed in."""
    w: Work = request.state.work
    must_be_signed_in(request, w.actor)
    return w


def must_be_signed_in(request: Request, actor: actors.Actor) -> None:
    """Pass a caller who is known; raises Unauthenticated, or what was wrong with their token."""
    if actor.person_id is None:
        raise getattr(request.state, "refusal", None) or errors.Unauthenticated


async def reading(
    request: Request, _token: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)] = None
) -> Work:
    """Give what `signed_in` gives to a handler that writes nothing: its unit of work is no transaction."""
    return await signed_in(request)


async def from_replica(
    request: Request, _token: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)] = None
) -> Work:
    """Give what `signed_in` gives to a report: it writes nothing, and may be of a minute ago (`replicas`)."""
    return await signed_in(request)


async def world(request: Request) -> World:
    """Give the world of the process."""
    current: World = request.app.state.world
    return current


W = Annotated[Work, Depends(signed_in)]
R = Annotated[Work, Depends(reading)]
Reported = Annotated[Work, Depends(from_replica)]
Anyone = Annotated[Work, Depends(anyone)]
TheWorld = Annotated[World, Depends(world)]


class Expect:
    """The version that the caller has read."""

    def __init__(self, if_match: str) -> None:
        """Take the header's value: ETags separated by commas, or a star."""
        self._header = if_match

    def __call__(self, row: columns.Versioned) -> None:
        """Pass when the row still has the version; raises StaleVersion."""
        if not conditional.names(self._header, tag(row.version)):
            raise errors.StaleVersion


async def _expect(if_match: Annotated[str | None, Header(alias="If-Match", max_length=200)] = None) -> Expect:
    if if_match is None:
        raise errors.PreconditionRequired
    return Expect(if_match)


async def _expect_if_sent(
    if_match: Annotated[str | None, Header(alias="If-Match", max_length=200)] = None,
) -> Expect | None:
    return None if if_match is None else Expect(if_match)


MaybeIfMatch = Annotated[Expect | None, Depends(_expect_if_sent)]
"""As `IfMatch`, for a step that may be taken without it."""
IfMatch = Annotated[Expect, Depends(_expect)]
"""`expect: deps.IfMatch`, then `expect(row)` once the row is loaded and locked."""


def tag(version: int) -> str:
    """Give the ETag of a version."""
    return f'"{version}"'


def etag(response: Response, version: int) -> None:
    """Set the answer's ETag to the version."""
    response.headers["ETag"] = tag(version)


@dataclass(frozen=True, slots=True)
class Page:
    """The part of a list that is wanted: at most `limit` items behind the cursor `after`."""

    limit: int
    after: tuple[str | int, ...] | None

    def after_id(self) -> UUID | None:
        """Read the cursor of a list in the order of ids; raises Invalid."""
        values = self._values(1)
        return _read(_id, values[0]) if values else None

    def after_at(self) -> tuple[datetime, UUID] | None:
        """Read the cursor of a list in the order of (instant, id); raises Invalid."""
        values = self._values(2)
        return (_read(_instant, values[0]), _read(_id, values[1])) if values else None

    def after_deadline(self) -> tuple[datetime, str, UUID] | None:
        """Read the cursor of a list in the order of (instant, code, id); raises Invalid."""
        values = self._values(3)
        return (_read(_instant, values[0]), _read(_text, values[1]), _read(_id, values[2])) if values else None

    def after_number(self) -> int | None:
        """Read the cursor of a list in the order of a position; raises Invalid."""
        values = self._values(1)
        return _read(_number, values[0]) if values else None

    def after_link(self) -> tuple[int, str] | None:
        """Read the cursor of a chained log: a position, and how the hash of its entry begins; raises Invalid.

        Without a hash (empty then) it was given by a release that knew only positions.
        """
        if self.after is not None and len(self.after) == 1:
            return _read(_number, self.after[0]), ""
        values = self._values(2)
        return (_read(_number, values[0]), _read(_mark, values[1])) if values else None

    def after_text(self) -> str | None:
        """Read the cursor of a list in the order of a code; raises Invalid."""
        values = self._values(1)
        return _read(_text, values[0]) if values else None

    def cut(self, rows: Sequence[T], key: Callable[[T], Sequence[object]]) -> tuple[Sequence[T], str | None]:
        """Give this page and the next cursor, from one row more than `limit` in the order of `key`."""
        page = rows[: self.limit]
        return page, cursor(*key(page[-1])) if len(rows) > self.limit else None

    def _values(self, count: int) -> tuple[str | int, ...] | None:
        if self.after is not None and len(self.after) != count:
            raise _bad_cursor()
        return self.after


def _read(kind: TypeAdapter[T], value: object) -> T:
    try:
        return kind.validate_python(value)
    except ValidationError:
        raise _bad_cursor() from None


def cursor(*key: object) -> str:
    """Give the opaque cursor of where a page ended."""
    values = [value if isinstance(value, int) else _written(value) for value in key]
    return base64.urlsafe_b64encode(json.dumps(values, separators=(",", ":")).encode()).decode().rstrip("=")


def _written(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


_Limit = Annotated[int, Query(ge=1, le=MOST_ITEMS, description="How many at most.")]


async def _page(
    limit: _Limit = USUAL_ITEMS,
    after: Annotated[str | None, Query(max_length=_LONGEST_CURSOR, description="`next` of the page before.")] = None,
) -> Page:
    return Page(limit, None if after is None else _values(after))


def _values(text: str) -> tuple[str | int, ...]:
    try:
        raw = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
        values = json.loads(raw.decode("utf-8"))
    except (UnicodeError, binascii.Error, ValueError, RecursionError):
        raise _bad_cursor() from None
    if not isinstance(values, list) or not all(type(value) in (str, int) for value in values):
        raise _bad_cursor()
    return tuple(values)


def _bad_cursor() -> errors.Invalid:
    return errors.Invalid("/query/after", "is no cursor of this list")


Paging = Annotated[Page, Depends(_page)]


@dataclass(frozen=True, slots=True)
class EventsPage:
    """The part of the events that is wanted: at most `limit` behind the cursor `after`."""

    limit: int
    after: restores.Cursor


async def _events_page(
    limit: _Limit = USUAL_ITEMS,
    after: Annotated[
        str | None, Query(max_length=_LONGEST_CURSOR, description="`cursor` or `next` of the page before.")
    ] = None,
) -> EventsPage:
    if after is None:
        return EventsPage(limit, restores.BEGINNING)
    written = restores.read_cursor(after)
    position = None if written else Page(limit, _values(after)).after_number()
    return EventsPage(limit, written or restores.Cursor(restores.FIRST.number, position or 0))


EventsPaging = Annotated[EventsPage, Depends(_events_page)]


def event_cursor(at: restores.Cursor) -> str:
    """Give the cursor of whoever has read so far; in the first epoch it is the bare position, as in other lists.

    So programs of the release before, which know no epochs, can be handed it while they run beside this one.
    """
    return cursor(at.position) if at.epoch == restores.FIRST.number else str(at)
