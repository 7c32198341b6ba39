"""Who follows what changes, in this process: each browser that does is a stream, kept by its person.

A stream holds no session of the database. What was told while nobody read it is kept once for each case, so that a slow
reader costs no more than the cases that it sees.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable
from uuid import UUID

from service.kernel import errors
from service.kernel.actor import Actor
from service.kernel.changes import ANYTHING, Change

MOST_OF_A_PERSON = 4
MOST = 2_000
"""Streams of one process."""
AGAIN_SECONDS = 60
"""When it is worth trying again where there are too many."""
_MOST_KEPT = 100


class Stream:
    """What one browser has still to be told."""

    def __init__(self, actor: Actor) -> None:
        """Follow what concerns this actor."""
        self.actor = actor
        self.is_over = False
        self._cases: dict[UUID | None, None] = {}  # a set that keeps its order
        self._is_told = asyncio.Event()

    def tell(self, change: Change) -> None:
        """Have the browser told of the change, if it concerns its person."""
        if not change.concerns(self.actor):
            return
        self._cases[change.case_id] = None
        if len(self._cases) > _MOST_KEPT:
            self._cases = {ANYTHING.case_id: None}
        self._is_told.set()

    def end(self) -> None:
        """Let the stream end at once."""
        self.is_over = True
        self._is_told.set()

    async def next(self, seconds: float) -> list[UUID | None]:
        """Give the cases that have changed, None for anything, once there are some, or none after so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                await self._is_told.wait()
        except TimeoutError:
            return []
        self._is_told.clear()
        cases, self._cases = list(self._cases), {}
        return cases


class Streams:
    """All streams of this process."""

    def __init__(self, most: int = MOST) -> None:
        """Have none; at most so many, and never more than `MOST`."""
        self._most = min(most, MOST)
        self._streams: set[Stream] = set()
        self._of_person: Counter[UUID | None] = Counter()

    def __len__(self) -> int:
        """Count them."""
        return len(self._streams)

    def open(self, actor: Actor) -> Stream:
        """Begin to follow for the actor; raises Unavailable where the person, or the process, has too many."""
        if self._of_person[actor.person_id] >= MOST_OF_A_PERSON or len(self) >= self._most:
            raise errors.Unavailable(AGAIN_SECONDS)
        stream = Stream(actor)
        self._streams.add(stream)
        self._of_person[actor.person_id] += 1
        return stream

    def close(self, stream: Stream) -> None:
        """Forget the stream; twice is once."""
        if stream in self._streams:
            self._streams.discard(stream)
            self._of_person[stream.actor.person_id] -= 1
            self._of_person += Counter()  # forgets who has none

    def tell(self, changes: Iterable[Change]) -> None:
        """Tell everybody whom one of the changes concerns."""
        for change in changes:
            for stream in self._streams:
                stream.tell(change)
