"""One day of two people's time, in half hours by the clock of one of them: when both are free, else who is not."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime, time, timedelta
from typing import Literal, NamedTuple

from service.rules.time import availability
from service.rules.time.intervals import Interval

STEP = timedelta(minutes=30)
FIRST, LAST = 7 * 60, 22 * 60
"""Minutes of the day between which times are shown: nobody is asked to pick one at night."""
ROWS = (LAST - FIRST) // 30
Whose = Literal["free", "mine", "theirs"]


class Stretch(NamedTuple):
    """A start that both can take (`free`, one row), or a stretch in which none can begin as that side is not free.

    `row` counts half hours from `FIRST`; both instants are on the wall clock of the zone it was asked for.
    """

    whose: Whose
    starts_at: datetime
    ends_at: datetime
    row: int
    rows: int


def day(
    on: date, zone: str, now: datetime, length: timedelta, mine: Sequence[Interval], theirs: Sequence[Interval] | None
) -> list[Stretch]:
    """Give the stretches of one date in the zone, in order, from `now` on.

    `mine` and `theirs` are when each side is free, merged; `theirs` is None if nothing is known of it, which hides
    nothing. If a start suits neither side, it is said of mine.
    """
    found: list[Stretch] = []
    for row, start in _starts(on, zone):
        if start <= now:
            continue
        whose: Whose = "free"
        if not _holds(mine, (start, start + length)):
            whose = "mine"
        elif theirs is not None and not _holds(theirs, (start, start + length)):
            whose = "theirs"
        last = found[-1] if found else None
        if last and whose != "free" and last.whose == whose and last.row + last.rows == row:
            found[-1] = last._replace(ends_at=start + STEP, rows=last.rows + 1)
        else:
            found.append(Stretch(whose, start, start + STEP, row, 1))
    return found


def _starts(on: date, zone: str) -> Iterator[tuple[int, datetime]]:
    for row in range(ROWS):
        wall = datetime.combine(on, time()) + timedelta(minutes=FIRST) + row * STEP
        yield row, availability.to_instant(wall, zone, strict=False)


def _holds(free: Iterable[Interval], session: Interval) -> bool:
    return any(start <= session[0] and session[1] <= end for start, end in free)
