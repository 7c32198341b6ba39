"""A second look at what a ranking reads: the mentors and the registry that were kept, against their rows."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from unittest import mock
from uuid import UUID

from service import tables
from service.care import candidates, mentor_cache
from service.kernel.work import Work
from service.registry import agreements
from service.rules.case import Case, Mentor, Rulebook
from service.rules.matching import records
from service.rules.time import availability

_A_CASE = [UUID(int=1)]


@contextmanager
def rankings() -> Iterator[None]:
    """Compare at each ranking, and fail in the midst of the test that finds a difference."""
    mentors, reachable = mentor_cache.of_institutions, candidates._reachable

    async def compared_mentors(
        w: Work, seen: mentor_cache.Look
    ) -> list[tuple[mentor_cache.CachedMentor, mentor_cache.Met]]:
        found = await mentors(w, seen)
        anew = await mentor_cache.facts(w, [one.standing[0] for one, _ in found])
        for kept, _ in found:
            now = anew.get(kept.standing[0])
            # Another's change may have been committed between the two looks: then the mark is another, too.
            if now is not None and now.mark == kept.mark:
                assert now.is_active == kept.is_active
                assert _as_of_now(w, now) == _as_of_now(w, kept), "a mentor was kept too long"
        return found

    async def compared_ground(
        w: Work, consultation: tables.Consultation
    ) -> tuple[Case, Rulebook, list[Mentor], records.Linked]:
        found = await reachable(w, consultation)
        which = (consultation.institution_id, consultation.programme_id)
        kept = candidates._grounds[which]
        books = candidates._as_books(await candidates._rules(w, which[1], None))
        agreed = await agreements.agreed(w, which[0], None, which[1])
        _, seen = await candidates._look(w, consultation, kept)
        if seen.registry == kept.mark:
            assert (numbers(books), agreed) == (numbers(kept.books), kept.agreed), "the registry was kept too long"
        return found

    with (
        mock.patch.object(mentor_cache, "of_institutions", compared_mentors),
        mock.patch.object(candidates, "_reachable", compared_ground),
    ):
        yield


def numbers(books: candidates.Rulebooks) -> object:
    """Give what is in a programme's rulebooks, of now and before."""
    return books.present.policy, parents(books.present), [(since, book.policy) for since, book in books.versions]


def parents(book: Rulebook) -> object:
    """Give what the tree of a rulebook is made of."""
    return book.tree._parent, book.tree._parents


def _as_of_now(w: Work, known: mentor_cache.CachedMentor) -> Mentor:
    """Leave out what is over: it is read no more, and kept until something changes."""
    mentor = mentor_cache.mentor(known, (), w.now, _A_CASE)
    week, hours = availability.iso_week(w.now, mentor.zone), mentor.hours
    lately = w.now.replace(tzinfo=None) - timedelta(days=2)
    return mentor._replace(
        busy=tuple(each for each in mentor.busy if each[1] > w.now),
        sessions_by_week={which: count for which, count in mentor.sessions_by_week.items() if which >= week},
        hours=availability.Hours(
            hours.zone, hours.weekly, tuple(each for each in hours.exceptions if each.until_wall > lately)
        ),
    )
