"""Which mentors can answer, when, and who is asked first (domain §4).

Only proposes: what is read here may be stale, and the database decides. Every term of a score is returned.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from service.rules import availability, case, cells, gate, score
from service.rules.case import Case, Link, Mentor, Rulebook
from service.rules.cells import Frame
from service.rules.gate import Refusal

ATTENDS = (7 * 60, 21 * 60)  # when a clinician who named no windows is taken to be at hand
PROPOSALS = 3


@dataclass(frozen=True, slots=True)
class Candidate:
    """A mentor who may and can: `earliest` is the first bookable start, or for written advice the next working hour.

    `starts` holds up to three proposals, for the first ones of a ranking only; none when advice is written.
    """

    mentor: Mentor
    score: float
    terms: Mapping[str, float]
    weights: Mapping[str, float]
    link: Link
    is_live: bool
    knows_case: bool
    earliest: datetime
    starts: tuple[datetime, ...] = ()


@dataclass(frozen=True, slots=True)
class Ranking:
    """Who is asked, first to last, and who is not, with every reason."""

    candidates: tuple[Candidate, ...]
    excluded: tuple[tuple[Mentor, tuple[Refusal, ...]], ...]


@dataclass(frozen=True, slots=True)
class _Search:
    """What is the same for every mentor of one case."""

    asked: Case
    now: datetime
    book: Rulebook
    frame: Frame
    attendable: int  # starts at which the clinician can attend the whole session


def _search(asked: Case, now: datetime, book: Rulebook) -> _Search:
    length = cells.count(asked.minutes)
    first = cells.ceil(now)
    frame = Frame(first, max(0, cells.floor(asked.answer_due_at) + 1 - first + length))
    if asked.windows:
        at_hand = frame.inward(asked.windows)
    elif book.policy.pace(asked.priority).any_hour:
        at_hand = frame.full
    else:
        at_hand = availability.daily_bits(asked.zone, *ATTENDS, frame)
    attendable = (
        cells.runs(at_hand, length)
        & _clear(frame, asked.busy, asked.minutes, asked.buffer_minutes)
        & frame.grid(book.policy.slot_step_minutes)
        & frame.starting(now, asked.answer_due_at + timedelta(microseconds=1))
    )
    return _Search(asked, now, book, frame, attendable)


def _clear(frame: Frame, busy: Sequence[tuple[datetime, datetime]], minutes: int, buffer_minutes: int) -> int:
    occupied = cells.count(minutes + buffer_minutes)
    beyond = frame.longer(occupied - cells.count(minutes))
    return cells.runs(beyond.full & ~beyond.outward(busy), occupied)


def _common(search: _Search, mentor: Mentor) -> int:
    """Set the starts within both sides' hours and the notice, whatever else stands against them."""
    asked, frame = search.asked, search.frame
    has_opted_in = asked.priority in mentor.opt_ins
    if has_opted_in and search.book.policy.pace(asked.priority).any_hour:
        worked = frame.full
    else:
        worked = availability.open_bits(mentor.hours, frame)
        if mentor.quiet is not None and not has_opted_in:
            worked &= ~availability.daily_bits(mentor.zone, *mentor.quiet, frame)
    earliest = search.now + case.notice(asked, mentor, search.book.policy)
    return cells.runs(worked, cells.count(asked.minutes)) & search.attendable & frame.starting(earliest, None)


def _allowed(search: _Search, mentor: Mentor) -> int:
    """Set the starts at which no rule that depends on the time refuses; busy and absent times are out, too."""
    asked, frame = search.asked, search.frame
    links = [k for k in mentor.links if k.status == "active" and gate.has_budget(asked, k)]
    bits = 0
    for link in gate.covering(asked, links, search.book):
        bits |= frame.starting(link.valid_from, link.valid_until)
    bits &= frame.starting(None, mentor.verified_until)
    if mentor.sessions_cap is not None:
        for week, booked in mentor.sessions_by_week.items():
            if booked >= mentor.sessions_cap:
                bits &= ~frame.starting(*availability.week_bounds(week, mentor.zone))
    here = frame.full & ~availability.away_bits(mentor.hours, frame)
    return (
        bits
        & cells.runs(here, cells.count(asked.minutes))
        & _clear(frame, mentor.busy, asked.minutes, mentor.buffer_minutes)
    )


def propose(asked: Case, mentor: Mentor, now: datetime, book: Rulebook) -> list[datetime]:
    """Give every start at which this mentor may and can take the case live, in order; `[]` for written mode."""
    if asked.mode == "written":
        return []
    search = _search(asked, now, book)
    bits = _common(search, mentor) & _allowed(search, mentor)
    start = search.frame.earliest(bits)
    # What does not depend on the time is the same at each start: one check serves for all of them.
    return search.frame.instants(bits) if start and not gate.check(asked, mentor, start, now, book) else []


def pick_three(starts: Sequence[datetime], requester_zone: str, mentor_zone: str) -> tuple[datetime, ...]:
    """Give up to three of the starts, in order, on different half-days of the requester: the earliest one, then others
    spread over the first two thirds of the time, at the best hour for the side that is worse off.
    """
    halves: dict[tuple[object, bool], list[datetime]] = {}
    for start in starts:
        wall = availability.to_wall(start, requester_zone)
        halves.setdefault((wall.date(), wall.hour < 12), []).append(start)  # noqa: PLR2004 - noon
    groups = list(halves.values())
    chosen = sorted({0, len(groups) // 3, 2 * len(groups) // 3} if len(groups) > PROPOSALS else range(len(groups)))
    return tuple(
        groups[at][0]
        if at == 0
        else max(groups[at], key=lambda start: score.civil_hours(start, requester_zone, mentor_zone))
        for at in chosen
    )


def rank(
    asked: Case, mentors: Sequence[Mentor], now: datetime, book: Rulebook, *, limit: int = 10
) -> Ranking:
    """Order the mentors who may and can, and name for each of the others every rule that refuses.

    Mode `either` is live where a time can be found, else written. Only the first `limit` get proposals.
    """
    search = _search(asked, now, book)
    found: list[Candidate] = []
    excluded: list[tuple[Mentor, tuple[Refusal, ...]]] = []
    for mentor in mentors:
        judged = _judge(search, mentor)
        if isinstance(judged, Candidate):
            found.append(judged)
        else:
            excluded.append((mentor, judged))
    most_used = max((c.mentor.institution_sessions_90d for c in found), default=0)
    scored = sorted((_scored(search, c, most_used) for c in found), key=lambda c: _order(asked, c))
    return Ranking(
        tuple(_proposed(search, c) if number < limit else c for number, c in enumerate(scored)),
        tuple(excluded),
    )


def _judge(search: _Search, mentor: Mentor) -> Candidate | tuple[Refusal, ...]:
    live = _judge_live(search, mentor) if search.asked.mode != "written" else ()
    if isinstance(live, Candidate) or search.asked.mode == "live":
        return live
    written = _judge_written(search, mentor)
    return written if isinstance(written, Candidate) or not live else live


def _judge_live(search: _Search, mentor: Mentor) -> Candidate | tuple[Refusal, ...]:
    asked, frame = search.asked, search.frame
    common = _common(search, mentor)
    bits = common & _allowed(search, mentor)
    at = frame.earliest(bits) or frame.earliest(common) or frame.earliest(search.attendable) or search.now
    refusals = gate.check(asked, mentor, at, search.now, search.book)
    if bits and not refusals:
        return _candidate(search, mentor, at, is_live=True)
    if not common:  # they never meet: because of the mentor's hours, or since the clinician can attend no time at all
        why = Refusal.OUTSIDE_HOURS if search.attendable else Refusal.DEADLINE_UNREACHABLE
        refusals = tuple(rule for rule in Refusal if rule in {*refusals, why})
    return refusals or (Refusal.DEADLINE_UNREACHABLE,)


def _judge_written(search: _Search, mentor: Mentor) -> Candidate | tuple[Refusal, ...]:
    asked = replace(search.asked, mode="written")
    refusals = gate.check(asked, mentor, None, search.now, search.book)
    at = next_working_hour(mentor, search.now, asked.answer_due_at)
    if at is None:
        refusals = tuple(rule for rule in Refusal if rule in {*refusals, Refusal.DEADLINE_UNREACHABLE})
    if refusals or at is None:
        return refusals
    return _candidate(search, mentor, at, is_live=False)


def next_working_hour(mentor: Mentor, now: datetime, until: datetime) -> datetime | None:
    """Give when the mentor works next, before `until`: now if they do; None if they do not.

    A mentor who gave no weekly hours at all may write at any time, and is taken to need all of it.
    """
    if not mentor.hours.weekly:
        return until
    if until <= now:
        return None
    frame = Frame(cells.floor(now), cells.ceil(until) - cells.floor(now))
    bits = availability.open_bits(mentor.hours, frame) & ~availability.away_bits(mentor.hours, frame)
    at = frame.earliest(bits)
    return max(at, now) if at else None


def _candidate(search: _Search, mentor: Mentor, at: datetime, *, is_live: bool) -> Candidate:
    judged_at = at if is_live else search.now
    link = gate.choose_link(search.asked, mentor, judged_at, search.book)
    if link is None:  # the gate has just passed
        raise AssertionError
    knows = case.knows_case(search.asked, mentor)
    return Candidate(mentor, 0.0, {}, {}, link, is_live, knows, at)


def _scored(search: _Search, candidate: Candidate, most_used: int) -> Candidate:
    terms = score.terms(
        search.asked,
        candidate.mentor,
        candidate.link,
        search.now,
        search.book,
        earliest=candidate.earliest,
        is_live=candidate.is_live,
        most_used=most_used,
    )
    weights = search.book.policy.pace(search.asked.priority).weights
    total = round(sum(weights[term] * value for term, value in terms.items()), 6)
    return replace(candidate, score=total, terms=terms, weights=weights)


def _order(asked: Case, candidate: Candidate) -> tuple[bool, float, int, str]:
    stable = hashlib.sha256(f"{asked.consultation_id}:{candidate.mentor.person_id}".encode()).hexdigest()
    return (not candidate.knows_case, -candidate.score, candidate.mentor.offers_30d, stable)


def _proposed(search: _Search, candidate: Candidate) -> Candidate:
    if not candidate.is_live:
        return candidate
    starts = search.frame.instants(_common(search, candidate.mentor) & _allowed(search, candidate.mentor))
    return replace(candidate, starts=pick_three(starts, search.asked.zone, candidate.mentor.zone))
