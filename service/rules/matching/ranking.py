"""Which mentors can answer, when, and who is asked first (invariant S3).

Only proposes: what is read here may be stale, and the database decides. Every term of a score is returned.
"""

import hashlib
import itertools
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import reduce
from operator import and_, mul
from typing import NamedTuple, TypeVar

from service import vocabulary
from service.rules import case as cases
from service.rules.case import Case, MemorandumLink, Mentor, Rulebook
from service.rules.matching import gate, score
from service.rules.matching.gate import Gate, Refusal
from service.rules.matching.score import Score
from service.rules.policy import Pace
from service.rules.time import availability, cells, intervals
from service.rules.time.availability import Hours
from service.rules.time.cells import Frame
from service.rules.time.intervals import Interval

ATTENDS = (7 * 60, 21 * 60)  # when a clinician who named no windows is assumed to have time
PROPOSALS = 3
TO_ANSWER = timedelta(minutes=30)  # nobody can be expected to answer sooner: the least notice of `asap`
_NOON = 12
_Half = TypeVar("_Half")


class Candidate(NamedTuple):
    """A mentor whom no rule refuses: `earliest` is the first bookable start, for written advice the next working hour.

    `starts` holds up to three proposals, for the first ones of a ranking only; none when advice is written.
    """

    mentor: Mentor
    score: float
    terms: Mapping[str, float]
    link: MemorandumLink
    is_live: bool
    knows_case: bool
    earliest: datetime
    starts: tuple[datetime, ...] = ()


@dataclass(frozen=True, slots=True)
class Ranking:
    """The candidates in order, the other mentors with every reason, and the weight of each term of a score."""

    weights: Mapping[str, float]
    candidates: tuple[Candidate, ...]
    excluded: tuple[tuple[Mentor, tuple[Refusal, ...]], ...]


@dataclass(frozen=True, slots=True)
class _Search:
    """What is the same for every mentor of one case."""

    case: Case
    now: datetime
    book: Rulebook
    gate: Gate
    score: Score
    pace: Pace
    frame: Frame
    length: int  # of the session, in cells
    attendable: int  # starts at which the clinician can attend the whole session
    weights: Sequence[float]  # in the order of `vocabulary.SCORE_TERMS`
    worked: dict[object, int] = field(default_factory=dict)  # starts within hours, by hours: many have the same
    instants: dict[int, datetime] = field(default_factory=dict)  # by cell: most mentors' first starts are few
    occupied: dict[int, timedelta] = field(default_factory=dict)  # how long a session takes, by the buffer after it
    agreed: dict[int, tuple[Sequence[MemorandumLink], int]] = field(
        default_factory=dict
    )  # within memoranda, by identity
    civil: dict[str, Sequence[int]] = field(default_factory=dict)  # by the mentor's zone, see `_civil`
    awake: dict[object, int] = field(default_factory=dict)  # without quiet hours, by zone and these


def _search(case: Case, now: datetime, book: Rulebook, overrides: Collection[str] = ()) -> _Search:
    pace, length = book.policy.pace(case.priority), cells.count(case.minutes)
    first = cells.ceil(now)
    frame = Frame(first, max(0, cells.floor(case.answer_due_at) + 1 - first + length))
    if case.windows:
        at_hand = frame.inward(case.windows)
    elif pace.any_hour:
        at_hand = frame.full
    else:
        at_hand = availability.daily_bits(case.zone, *ATTENDS, frame)
    attendable = (
        cells.runs(at_hand, length)
        & ~_blocked(frame, case.busy, cells.count(case.minutes + case.buffer_minutes))
        & frame.grid(book.policy.slot_step_minutes)
        & frame.starting(now, case.answer_due_at + timedelta(microseconds=1))
    )
    rules = Gate(case, book, overrides)
    weights = [pace.weights[term] for term in vocabulary.SCORE_TERMS]
    return _Search(case, now, book, rules, Score(case, now), pace, frame, length, attendable, weights)


def _blocked(frame: Frame, busy: Sequence[Interval], occupied: int) -> int:
    """Set the starts from which so many cells would touch busy time."""
    return frame.between_all(
        [(cells.floor(since) - occupied + 1, cells.ceil(until)) for since, until in busy if since < until]
    )


def _common(search: _Search, mentor: Mentor) -> int:
    """Set the starts within both sides' hours and the notice, whatever the other rules say."""
    has_opted_in, hours = search.case.priority in mentor.opt_ins, mentor.hours
    if has_opted_in and search.pace.any_hour:
        return _noticed(search, mentor, search.attendable)
    quiet = None if has_opted_in else mentor.quiet
    if hours.exceptions:
        return _noticed(search, mentor, _worked(search, hours, quiet, mentor.zone))
    key = (hours.zone, id(hours.weekly), quiet, mentor.zone, mentor.notice_minutes)  # the mentors keep it alive
    common = search.worked.get(key)
    if common is None:
        common = search.worked[key] = _noticed(search, mentor, _worked(search, hours, quiet, mentor.zone))
    return common


def _noticed(search: _Search, mentor: Mentor, bits: int) -> int:
    notice = cases.notice(search.case, mentor, search.book.policy)
    return search.frame.since(bits, search.now + notice) if notice else bits


def _worked(search: _Search, hours: Hours, quiet: tuple[int, int] | None, zone: str) -> int:
    bits = availability.open_bits(hours, search.frame)
    if quiet is not None:
        awake = search.awake.get((zone, quiet))
        if awake is None:
            awake = search.awake[zone, quiet] = ~availability.daily_bits(zone, *quiet, search.frame)
        bits &= awake
    return cells.runs(bits, search.length) & search.attendable


def _allowed(search: _Search, mentor: Mentor) -> int:
    """Set the starts at which no rule that depends on the time refuses, busy times apart."""
    if mentor.verified_until is None or mentor.sessions_cap == 0:
        return 0
    bits = _agreed(search, mentor.links)
    if mentor.verified_until <= search.case.answer_due_at:
        bits &= search.frame.starting(None, mentor.verified_until)
    if mentor.sessions_cap is not None:
        for week, booked in mentor.sessions_by_week.items():
            if booked >= mentor.sessions_cap:
                bits &= ~search.frame.starting(*availability.week_bounds(week, mentor.zone))
    if not mentor.hours.exceptions:
        return bits
    away = availability.away_bits(mentor.hours, search.frame)
    return bits & cells.runs(search.frame.full & ~away, search.length) if away else bits


def _agreed(search: _Search, links: Sequence[MemorandumLink]) -> int:
    """Set the starts that a memorandum with enough minutes left covers; the mentors of a hospital share theirs."""
    entry = search.agreed.get(id(links))
    if entry is None:
        bits = 0
        for link in search.gate.covering(links):
            if link.status == "active" and search.gate.has_budget(link):
                bits |= _within(search, link.valid_from, link.valid_until)
        entry = search.agreed[id(links)] = (links, bits)
    return entry[1]


def _within(search: _Search, since: datetime | None, until: datetime | None) -> int:
    begins = since is None or since <= search.now
    if begins and (until is None or until > search.case.answer_due_at):
        return search.frame.full
    return search.frame.starting(since, until)


def _first_clear(search: _Search, mentor: Mentor, bits: int) -> datetime | None:
    """Give the first of the starts that is clear of the mentor's busy time: mostly the first one tried."""
    if not bits:
        return None
    start = _begins(search, bits)
    if mentor.busy:
        occupied = _occupied(search, mentor.buffer_minutes)
        while blocked := intervals.latest_end(mentor.busy, (start, start + occupied)):
            bits = search.frame.since(bits, blocked)
            if not bits:
                return None
            start = _begins(search, bits)
    return start


def _begins(search: _Search, bits: int) -> datetime:
    """Give the start of the first set cell: the same object each time, which caches its own hash."""
    cell = (bits & -bits).bit_length()
    start = search.instants.get(cell)
    if start is None:
        start = search.instants[cell] = search.frame.begins(bits)
    return start


def _occupied(search: _Search, buffer_minutes: int) -> timedelta:
    occupied = search.occupied.get(buffer_minutes)
    if occupied is None:
        minutes = cells.CELL_MINUTES * cells.count(search.case.minutes + buffer_minutes)
        occupied = search.occupied[buffer_minutes] = timedelta(minutes=minutes)
    return occupied


def _bookable(search: _Search, mentor: Mentor) -> int:
    occupied = cells.count(search.case.minutes + mentor.buffer_minutes)
    return _common(search, mentor) & _allowed(search, mentor) & ~_blocked(search.frame, mentor.busy, occupied)


def propose(
    case: Case,
    mentor: Mentor,
    now: datetime,
    book: Rulebook,
    overrides: Collection[str] = (),
    *,
    is_asking: bool = True,
) -> list[datetime]:
    """Give every start at which this mentor can take the case live, in order; `[]` for written mode.

    With `is_asking` off (an offer is out: hold, accept, move) the cap on offers no longer counts, as in the gate.
    """
    if case.mode == "written":
        return []
    search = _search(case, now, book, overrides)
    if search.gate.refuse_ever(mentor, is_asking=is_asking):
        return []
    return search.frame.instants(_bookable(search, mentor), book.policy.slot_step_minutes)


def pick_three(starts: Sequence[datetime], requester_zone: str, mentor_zone: str) -> tuple[datetime, ...]:
    """Give up to three of the starts, in order, on different half-days of the requester.

    The earliest one, then others spread over the first two thirds of the time, each at the best hour of its half-day
    for the side that is worse off.
    """
    halves: dict[tuple[object, bool], list[datetime]] = {}
    for start in starts:
        wall = availability.to_wall(start, requester_zone)
        halves.setdefault((wall.date(), wall.hour < _NOON), []).append(start)
    chosen = _spread(list(halves.values()))
    return tuple(_best(half, requester_zone, mentor_zone) if at else half[0] for at, half in enumerate(chosen))


def leave_time(starts: Sequence[datetime], now: datetime, answer_by: datetime) -> bool:
    """Tell whether each proposal stays open for half an hour or until `answer_by`, and the last until `answer_by`."""
    return starts[0] >= min(answer_by, now + TO_ANSWER) and starts[-1] >= answer_by


def pick_answerable(
    starts: Sequence[datetime], now: datetime, answer_by: datetime, requester_zone: str, mentor_zone: str
) -> tuple[datetime, ...]:
    """Pick up to three of the starts that leave time to answer (decision 0023); of all starts, if none does."""
    answerable = [start for start in starts if start >= min(answer_by, now + TO_ANSWER)] or starts
    chosen = pick_three(answerable, requester_zone, mentor_zone)
    lasting = next((start for start in answerable if start >= answer_by), None)
    return (*chosen[:-1], lasting) if lasting and chosen[-1] < answer_by else chosen


def _spread(halves: list[_Half]) -> list[_Half]:
    if len(halves) <= PROPOSALS:
        return halves
    return [halves[at * len(halves) // PROPOSALS] for at in range(PROPOSALS)]


def _best(half: list[datetime], one_zone: str, other_zone: str) -> datetime:
    return max(half, key=lambda start: score.civil_hours(start, one_zone, other_zone))


def _half_days(search: _Search) -> list[int]:
    """Give the half-days of the requester as bits: every mentor's proposals are picked by the same ones."""
    zone, due = search.case.zone, search.case.answer_due_at
    today, last = availability.local_date(search.now, zone), availability.local_date(due, zone)
    edges = availability.half_days(zone, today, (last - today).days + 1)
    return [search.frame.starting(since, until) for since, until in itertools.pairwise(edges)]


def rank(case: Case, mentors: Sequence[Mentor], now: datetime, book: Rulebook, *, limit: int = 10) -> Ranking:
    """Order the mentors whom no rule refuses, and name for each of the others every rule that does.

    Mode `either` is live where a time can be found, else written. Only the first `limit` get proposals.
    """
    search = _search(case, now, book)
    matches: list[_Match] = []
    excluded: list[tuple[Mentor, tuple[Refusal, ...]]] = []
    for mentor in mentors:
        verdict = _judge(search, mentor)
        if isinstance(verdict, _Match):
            matches.append(verdict)
        else:
            excluded.append((mentor, verdict))
    most_used = max((match.mentor.institution_sessions_90d for match in matches), default=0)
    least_asked = min((match.mentor.asked_180d for match in matches), default=0)
    ordered = sorted(
        (_scored(search, match, most_used, least_asked) for match in matches),
        key=lambda candidate: order(case, candidate),
    )
    halves = _half_days(search) if limit else []
    return Ranking(
        search.pace.weights,
        (*(_proposed(search, candidate, halves) for candidate in ordered[:limit]), *ordered[limit:]),
        tuple(excluded),
    )


def eligible(case: Case, mentors: Sequence[Mentor], now: datetime, book: Rulebook) -> list[Mentor]:
    """Give those whom `rank` would have among its candidates, in their own order and unscored."""
    search = _search(case, now, book)
    return [mentor for mentor in mentors if isinstance(_judge(search, mentor), _Match)]


def rank_beside(
    case: Case, booked: Interval | None, mentors: Sequence[Mentor], now: datetime, book: Rulebook, *, limit: int
) -> tuple[Ranking, Case]:
    """Rank for a case that has a `booked` time whose mentor left; without one, as `rank` does.

    Those who can take that very time are ranked, and only if there are none the others. Gives the case that was ranked
    for, too: it seeks a session at that time, or any.
    """
    if booked is None:
        return rank(case, mentors, now, book, limit=limit), case
    # The clinician is free at that time: nobody has two seats that begin at once.
    case = replace(case, busy=tuple(seat for seat in case.busy if seat[0] != booked[0]))
    same_time = replace(case, mode="live", windows=(booked,))
    ranked = rank(same_time, mentors, now, book, limit=limit)
    if ranked.candidates:
        return ranked, same_time
    return rank(case, mentors, now, book, limit=limit), case


class _Match(NamedTuple):
    mentor: Mentor
    earliest: datetime
    is_live: bool


def _judge(search: _Search, mentor: Mentor) -> _Match | tuple[Refusal, ...]:
    if search.case.mode == "written":
        return _judge_written(search, mentor)
    live = _judge_live(search, mentor)
    if isinstance(live, _Match) or search.case.mode == "live":
        return live
    if search.gate.check(mentor, None, search.now):
        return live  # when they work next need not be looked for
    at = next_working_hour(mentor, search.now, search.case.answer_due_at)
    return _Match(mentor, at, is_live=False) if at else live


def _judge_live(search: _Search, mentor: Mentor) -> _Match | tuple[Refusal, ...]:
    common = _common(search, mentor)
    start = _first_clear(search, mentor, common & _allowed(search, mentor))
    if start:  # no rule that depends on the time refuses it
        refused = search.gate.refuse_ever(mentor)
        return gate.in_order(refused) if refused else _Match(mentor, start, is_live=True)
    # Refusals are named for the first start within both sides' hours, else for the first that the clinician can attend.
    if common:
        at = _begins(search, common)
        return search.gate.check(mentor, at, search.now) or (Refusal.DEADLINE_UNREACHABLE,)
    # No start suits both: because of the mentor's hours, or because the clinician has no time before the answer is due.
    attendable = _noticed(search, mentor, search.attendable)
    first = search.frame.earliest(attendable or search.attendable) or search.now
    refusal = Refusal.OUTSIDE_HOURS if attendable else Refusal.DEADLINE_UNREACHABLE
    return gate.in_order(frozenset({*search.gate.check(mentor, first, search.now), refusal}))


def _judge_written(search: _Search, mentor: Mentor) -> _Match | tuple[Refusal, ...]:
    refusals = {*search.gate.check(mentor, None, search.now)}
    at = next_working_hour(mentor, search.now, search.case.answer_due_at)
    if at and not refusals:
        return _Match(mentor, at, is_live=False)
    if at is None:
        refusals.add(Refusal.DEADLINE_UNREACHABLE)
    return gate.in_order(frozenset(refusals))


def next_working_hour(mentor: Mentor, now: datetime, until: datetime) -> datetime | None:
    """Give the next instant before `until` at which the mentor works: `now` if they work now, None if there is none.

    A mentor who gave no weekly hours at all may write at any time, and is assumed to need all of it.
    """
    if not mentor.hours.weekly:
        return until
    if until <= now:
        return None
    frame = Frame(cells.floor(now), cells.ceil(until) - cells.floor(now))
    bits = availability.open_bits(mentor.hours, frame) & ~availability.away_bits(mentor.hours, frame)
    at = frame.earliest(bits)
    return max(at, now) if at else None


def _scored(search: _Search, match: _Match, most_used: int, least_asked: int) -> Candidate:
    mentor, rules, earliest, is_live = match.mentor, search.gate, match.earliest, match.is_live
    link = rules.choose_link(mentor.links, earliest if is_live else search.now)
    if link is None:  # pragma: no cover - the gate has just passed
        raise AssertionError
    relation = rules.relation(mentor)
    terms = search.score.terms(mentor, link, relation, earliest, most_used, least_asked, is_live=is_live)
    total = round(sum(map(mul, search.weights, terms.values())), 6)
    return Candidate(mentor, total, terms, link, is_live, cases.knows_case(search.case, mentor), earliest)


def order(case: Case, candidate: Candidate) -> tuple[bool, float, int, bytes]:
    """Give the key by which candidates are sorted, the first one first."""
    stable = hashlib.sha256(case.consultation_id.bytes + candidate.mentor.person_id.bytes).digest()
    return (not candidate.knows_case, -candidate.score, candidate.mentor.offers_30d, stable)


def _proposed(search: _Search, candidate: Candidate, halves: Sequence[int]) -> Candidate:
    if not candidate.is_live:
        return candidate
    bookable = _bookable(search, candidate.mentor)
    _, *later = _spread([common for half in halves if (common := half & bookable)])
    best = [_most_civil(search, half, candidate.mentor.zone) for half in later]
    return candidate._replace(starts=(candidate.earliest, *best))


def _most_civil(search: _Search, starts: int, mentor_zone: str) -> datetime:
    """Give the same start as `_best`, from bits."""
    civil = (starts & hours for hours in _civil(search, mentor_zone))
    return search.frame.begins(next(filter(None, civil), starts))


def _civil(search: _Search, mentor_zone: str) -> Sequence[int]:
    """Set the hours that are as civil as each stretch of `score.CIVIL` says, by both clocks."""
    stretches = search.civil.get(mentor_zone)
    if stretches is None:
        zones, frame = (search.case.zone, mentor_zone), search.frame
        stretches = search.civil[mentor_zone] = [
            reduce(and_, [availability.daily_bits(zone, since * 60, until * 60, frame) for zone in zones])
            for _, since, until in score.CIVIL
        ]
    return stretches
