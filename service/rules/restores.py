"""What a restored database means: whether anything may leave it, and from where readers of its events go on.

A restore takes back what was committed after its target, so positions of events would be given a second time, and a
reader who had read further than the target would never see the new ones. So each restore begins an **epoch**: its
positions begin at a multiple of `STEP` above every earlier one, its **floor**, and a reader's cursor names its epoch.

A database that is restored twice to before the first restore has two second epochs: the random `branch` of an epoch
tells them apart, and a cursor of the one that is no more begins anew. Reading an event twice costs a reader nothing (it
has its id); one that is skipped is lost.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from service.vocabulary import HeldReason

STEP = 1_000_000
_LARGEST = 2**63 - 1
_CURSOR = re.compile(r"([0-9]{1,19})(?:\.([0-9]{1,19})(?:\.([0-9]{1,19}))?)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Identity:
    """Which database this is: the cluster's system identifier, the database in it, the timeline of its write-ahead log.

    A restore into a new cluster changes the first, a dump that is restored beside the original the second, and a
    recovery to a point in time or a promoted standby the third. None is what the server refuses to tell, or tells only
    where it takes changes: it is compared with nothing.
    """

    system_identifier: int | None
    database_oid: int
    timeline: str | None


@dataclass(frozen=True, slots=True)
class Seen:
    """What a worker remembers outside of the database: which it was, the position of its last event, and when."""

    identity: Identity
    position: int
    at: datetime


@dataclass(frozen=True, slots=True)
class Epoch:
    """A stretch of the events: its first position, and the last position that the database had when it began."""

    number: int
    floor: int
    lost_after: int
    branch: int


FIRST = Epoch(1, floor=0, lost_after=0, branch=0)
"""The epoch of every database that was never restored."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Up to which position of which epoch somebody has read; without a branch it was written by hand."""

    epoch: int
    position: int
    branch: int | None = None

    def __str__(self) -> str:
        """Write it as `read_cursor` takes it."""
        tail = "" if self.branch is None else f".{self.branch}"
        return f"{self.epoch}.{self.position}{tail}"


BEGINNING = Cursor(FIRST.number, 0, FIRST.branch)
"""Of whoever has read nothing yet."""


def read_cursor(text: str) -> Cursor | None:
    """Read `position` (of the first epoch), `epoch.position` or `epoch.position.branch`; None if it is none of them."""
    match = _CURSOR.fullmatch(text)
    numbers = [int(group) for group in match.groups() if group is not None] if match else []
    if not numbers or max(numbers) > _LARGEST:
        return None
    return Cursor(FIRST.number, numbers[0]) if len(numbers) == 1 else Cursor(*numbers)


@dataclass(frozen=True, slots=True)
class Resumption:
    """After which position a reader goes on; `lost_after` is where what they have read may exist no more, if it may."""

    after: Cursor
    lost_after: Cursor | None = None


def resume(epochs: Sequence[Epoch], cursor: Cursor) -> Resumption | None:
    """Tell where the reader with this cursor goes on in a database with these epochs, the first one first.

    None when no epoch has the cursor's number, and the cursor is none that we have given.
    """
    place = next((place for place, epoch in enumerate(epochs) if epoch.number == cursor.epoch), None)
    if place is None and cursor.branch is None:
        return None
    if place is None or cursor.branch not in (None, epochs[place].branch):
        # Given by a history that was itself restored away. Nothing here tells where that one began: read all again.
        return Resumption(BEGINNING, BEGINNING)
    epoch = epochs[place]
    following = epochs[place + 1] if place + 1 < len(epochs) else None
    if following is None or cursor.position <= following.lost_after:
        return Resumption(Cursor(epoch.number, cursor.position, epoch.branch))
    return Resumption(
        Cursor(following.number, following.floor - 1, following.branch),
        Cursor(epoch.number, following.lost_after, epoch.branch),
    )


def cursor_at(epochs: Sequence[Epoch], position: int) -> Cursor:
    """Give the cursor of somebody who has read up to the event at this position."""
    epoch = max((epoch for epoch in epochs if epoch.floor <= position), key=lambda epoch: epoch.number)
    return Cursor(epoch.number, position, epoch.branch)


def next_epoch(last: Epoch, last_position: int, branch: int) -> Epoch:
    """Give the epoch that begins after `last`, in a database with its last event at this position, 0 without any."""
    end = max(last_position, last.floor - 1)
    return Epoch(last.number + 1, (max(end, last.floor) // STEP + 1) * STEP, end, branch)


def why_held(
    known: Identity, present: Identity, *, position: int, position_seen: int, holds_on_promotion: bool
) -> HeldReason | None:
    """Tell why nothing may leave this database, if so.

    `known` is what it was when it was last looked at; `position` is that of its last event, and `position_seen` the
    last that anybody has seen in it: a database that has gone back was restored, whatever it says of itself.
    """
    reason = why_elsewhere(known, present)
    if reason is not None:
        return reason
    if position < position_seen:
        return "events_missing"
    if is_other_timeline(known, present) and holds_on_promotion:
        return "other_timeline"
    return None


def why_elsewhere(known: Identity, present: Identity) -> HeldReason | None:
    """Tell in what they are two databases, if they are."""
    if None not in (known.system_identifier, present.system_identifier) and (
        known.system_identifier != present.system_identifier
    ):
        return "other_system"
    return None if known.database_oid == present.database_oid else "other_database"


def is_other_timeline(known: Identity, present: Identity) -> bool:
    """Tell whether the write-ahead log has begun a new timeline."""
    return None not in (known.timeline, present.timeline) and known.timeline != present.timeline
