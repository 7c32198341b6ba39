"""A second look at what a ranking reads: the mentors that were kept, against their rows of this moment."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from unittest import mock
from uuid import UUID

from service import roster
from service.rules import availability
from service.rules.case import Case, Mentor
from service.work import Work


@contextmanager
def rankings() -> Iterator[None]:
    """Compare at each call of `roster.of_institutions`, and fail in the midst of the test that finds a difference."""
    read = roster.of_institutions

    async def compared(
        w: Work, asked: Case, same_case: Sequence[UUID], institutions: Collection[UUID]
    ) -> list[tuple[roster.Facts, roster.Met]]:
        found = await read(w, asked, same_case, institutions)
        anew = await roster.facts(w, [one.standing[0] for one, _ in found])
        for kept, _ in found:
            now = anew.get(kept.standing[0])
            # Another's change may have been committed between the two looks: then the mark is another, too.
            if now is not None and now.mark == kept.mark:
                assert now.is_active == kept.is_active
                assert _as_of_now(w, now, same_case) == _as_of_now(w, kept, same_case), "a mentor was kept too long"
        return found

    with mock.patch.object(roster, "of_institutions", compared):
        yield


def _as_of_now(w: Work, known: roster.Facts, same_case: Sequence[UUID]) -> Mentor:
    """Leave out what is over: it is read no more, and kept until something changes."""
    mentor = roster.mentor(known, (), w.now, same_case)
    week, hours = availability.iso_week(w.now, mentor.zone), mentor.hours
    lately = w.now.replace(tzinfo=None) - timedelta(days=2)
    return mentor._replace(
        busy=tuple(each for each in mentor.busy if each[1] > w.now),
        sessions_by_week={which: count for which, count in mentor.sessions_by_week.items() if which >= week},
        hours=availability.Hours(
            hours.zone, hours.weekly, tuple(each for each in hours.exceptions if each.until_wall > lately)
        ),
    )
