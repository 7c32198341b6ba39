"""Requests that are filed by the hundred: their waves are left to the worker, and they take turns (decision 0078).

Whoever files many says so by `Prefer: respond-async` (RFC 7240). Such calls are worked on one at a time in a process,
whatever number comes at once: so a page beside them is answered nearly as fast as ever.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from typing import Annotated

from fastapi import Depends, Header, Request, Response
from starlette.datastructures import Headers

from service.kernel import errors

LONGEST_TURN_SECONDS = 30
"""How long a call waits for its turn at most; then 503, as nothing waits without an end (invariant E5)."""

_RESPOND_ASYNC = "respond-async"


def is_one_of_many(headers: Headers) -> bool:
    """Tell whether the call prefers that what may be done later is: in any of its `Prefer`, whatever else they ask."""
    preferences = ",".join(headers.getlist("prefer")).split(",")
    return any(each.partition(";")[0].partition("=")[0].strip().lower() == _RESPOND_ASYNC for each in preferences)


async def preferred(
    request: Request,
    _prefer: Annotated[
        str | None,
        Header(
            alias="Prefer",
            description="`respond-async` for one of many that are filed at once: it is filed as ever, its first mentors"
            " are asked a moment after the answer, whose `first_wave_due` says so. Such calls take turns.",
        ),
    ] = None,
) -> bool:
    """Give what `is_one_of_many` tells of the request."""
    return is_one_of_many(request.headers)


IsOneOfMany = Annotated[bool, Depends(preferred)]


def honoured(response: Response) -> None:
    """Have the answer say that something was left for later, as preferred."""
    response.headers["Preference-Applied"] = _RESPOND_ASYNC


def turns(dependencies: Collection[object]) -> Callable[[Request], AbstractAsyncContextManager[bool]]:
    """Give what each call of a route with these dependencies waits for before its transaction begins.

    It tells whether the call had to wait: then who calls may have lost their role meanwhile.
    """
    return _turn if preferred in dependencies else _no_turn


def _no_turn(_request: Request) -> AbstractAsyncContextManager[bool]:
    return nullcontext(enter_result=False)


@asynccontextmanager
async def _turn(request: Request) -> AsyncIterator[bool]:
    """Wait until no other call that is one of many is worked on in this process; raises Unavailable."""
    if not is_one_of_many(request.headers):
        yield False
        return
    lock: asyncio.Lock = request.app.state.batch_turn
    has_waited = lock.locked()
    try:
        async with asyncio.timeout(LONGEST_TURN_SECONDS):
            await lock.acquire()
    except TimeoutError:
        raise errors.Unavailable from None
    try:
        yield has_waited
    finally:
        lock.release()
