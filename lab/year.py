"""One made-up year under one policy and one behaviour: what happens, event by event.

The decisions are the product's: who may and who first (`matching.ranking`), when whom and until when
(`matching.waves`). Here are the things around them: the clock, the mentors' answers, the calendars. What happens at one
instant happens in the order of the service's sweep: dates that pass, then waves, then answers.
"""

import heapq
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from lab.behaviours import Behaviour, Notice, Reaction
from lab.calendars import OCCUPIED, Calendars
from lab.policies import LabPolicy
from lab.worlds import World, book
from service import vocabulary
from service.rules.case import Case, Mentor
from service.rules.matching import ranking, score, waves
from service.rules.matching.gate import Gate, Refusal
from service.rules.matching.ranking import Candidate, Ranking
from service.rules.matching.waves import Asked
from service.rules.time import intervals

_FILED, _PASSES, _WAVE, _ANSWER, _DUE = range(5)
_OFFERED = frozenset({Refusal.OUTSIDE_HOURS, Refusal.MENTOR_PAUSED})  # waived for what was offered, a time or advice
_NO_SHOW = 0.03
_WRITTEN_SHARE, _WRITTEN_SPREAD = 1 / 12, 0.8  # advice takes a twelfth of the whole time on the median


@dataclass(slots=True)
class Offer:
    """One mentor asked; the place is that among the mentor's own offers."""

    mentor: int
    place: int
    notice: Notice
    candidate: Candidate
    state: vocabulary.OfferState = "pending"


@dataclass(slots=True)
class _Open:
    """A request while somebody is sought; `due_wave` is when others are asked, or nobody is left to ask."""

    number: int
    offers: list[Offer] = field(default_factory=list)
    due_wave: datetime | None = None
    is_over: bool = False


class Answered(NamedTuple):
    """How a case was taken: accepted, then met or advised at `at`; all proposed times had passed, or not."""

    mentor: int
    accepted_at: datetime
    at: datetime
    takes_place: bool
    is_live: bool
    had_passed: bool


@dataclass(slots=True)
class Run:
    """What became of every request, and what every mentor gave; all by number."""

    answers: dict[int, Answered]
    offers: list[tuple[int, int, datetime, datetime, tuple[datetime, ...]]]  # request, mentor, sent, until, proposals
    silent: frozenset[int]  # mentors who react to nothing when the year ends
    eligible: dict[int, int] = field(default_factory=dict)  # by request, how many mentors could be asked at its filing


class _Year:
    def __init__(self, world: World, policy: LabPolicy, behaviour: Behaviour) -> None:
        self._world, self._policy, self._behaviour = world, policy, behaviour
        self._book = book(policy.numbers)
        self._calendars = Calendars(world.registry)
        self._cases = [_Open(request.number) for request in world.requests]
        self._queue: list[tuple[datetime, int, int, object]] = []
        self._serial = 0
        self._numbers = {person.base.person_id: number for number, person in enumerate(world.registry.mentors)}
        self._asked_last: dict[int, int] = {}  # for rotation: a serial number by mentor
        self.run = Run({}, [], frozenset())
        self._steps = {
            _FILED: self._filed, _PASSES: self._passes, _WAVE: self._wave, _ANSWER: self._answer, _DUE: self._due,
        }  # fmt: skip

    def live_through(self) -> Run:
        for request in self._world.requests:
            self._plan(request.at, _FILED, self._cases[request.number])
        queue = self._queue
        while queue:
            now, kind, _, subject = heapq.heappop(queue)
            self._steps[kind](subject, now)  # type: ignore[operator]  # each kind has its own subject
        ends_at, count = self._world.ends_at, len(self._world.registry.mentors)
        self.run.silent = frozenset(number for number in range(count) if self._behaviour.is_silent(number, ends_at))
        return self.run

    def _plan(self, at: datetime, kind: int, subject: object) -> None:
        self._serial += 1
        heapq.heappush(self._queue, (at, kind, self._serial, subject))

    def _filed(self, case: _Open, now: datetime) -> None:
        self._plan(self._world.cases[case.number].answer_due_at, _DUE, case)
        case.due_wave = now
        self._wave(case, now)

    def _wave(self, case: _Open, now: datetime) -> None:
        """Ask the next ones if a wave is due; what was planned before and put off since is none."""
        if case.is_over or case.due_wave is None or case.due_wave > now:
            return
        case.due_wave = None
        asked = [Asked(self._id(offer.mentor), offer.state, offer.notice.answer_by) for offer in case.offers]
        waits = waves.wait(asked, now)
        if waits:
            self._wave_at(case, waits.until)
            return
        if not self._may_change(case):
            self.run.eligible.setdefault(case.number, 0)
            return
        gate_case, ranked = self._ranked(case, now)
        self.run.eligible.setdefault(case.number, len(ranked.candidates))
        decision = waves.decide(gate_case, asked, ranked, now, self._book)
        if isinstance(decision, waves.Ask):
            for invitation in decision.invitations:
                self._send(case, invitation, now)
            self._wave_at(case, decision.next_wave_at)
        else:
            self._wave_at(case, decision.look_again_at if isinstance(decision, waves.Nobody) else decision.until)

    def _wave_at(self, case: _Open, at: datetime) -> None:
        case.due_wave = at
        self._plan(at, _WAVE, case)

    def _may_change(self, case: _Open) -> bool:
        """Tell whether somebody is left who was never asked: a standing rule refuses all others, for ever."""
        return len(self._world.pools[case.number]) > len(case.offers)

    def _id(self, mentor: int) -> UUID:
        return self._world.registry.mentors[mentor].base.person_id

    def _gate_case(self, case: _Open, now: datetime) -> Case:
        gate_case = self._world.cases[case.number]
        busy = self._calendars.busy("clinician", self._world.requests[case.number].clinician, now)
        return replace(gate_case, busy=busy) if busy else gate_case

    def _mentors(self, case: _Open, people: Iterable[tuple[int, Mentor]], now: datetime) -> list[Mentor]:
        return self._calendars.as_of(now, people, self._world.requests[case.number].clinician, self._policy.load_days)

    def _ranked(self, case: _Open, now: datetime) -> tuple[Case, Ranking]:
        """Rank those who were not asked, by the product's rules, then put them in the policy's order."""
        asked = {offer.mentor for offer in case.offers}
        mentors = self._mentors(case, [each for each in self._world.pools[case.number] if each[0] not in asked], now)
        gate_case = self._gate_case(case, now)
        order = self._policy.order
        limit = self._book.policy.pace(gate_case.priority).per_wave if order == "score" else 0
        ranked = ranking.rank(gate_case, mentors, now, self._book, limit=limit)
        if not ranked.candidates:
            return gate_case, ranked
        if order != "score":
            key = self._key(case, order)
            return gate_case, replace(ranked, candidates=tuple(sorted(ranked.candidates, key=key)))
        if self._policy.counts_load_from == "nothing":
            return gate_case, self._counted_from_nothing(gate_case, ranked, now, limit)
        return gate_case, ranked

    def _counted_from_nothing(self, case: Case, ranked: Ranking, now: datetime, limit: int) -> Ranking:
        """Put the candidates in the order in which they were as long as the load was not counted from the least."""
        share = math.exp(-min(each.mentor.asked_180d for each in ranked.candidates) / score.LOAD_OFFERS)
        if share == 1:
            return ranked
        weight = ranked.weights["load"]
        scored = [
            each._replace(score=round(each.score - weight * each.terms["load"] * (1 - share), 6), starts=())
            for each in ranked.candidates
        ]
        scored.sort(key=lambda each: ranking.order(case, each))
        # Times are proposed to the first ones of a ranking only, and these are others now.
        again = ranking.rank(case, [each.mentor for each in scored[:limit]], now, self._book, limit=limit)
        starts = {each.mentor.person_id: each.starts for each in again.candidates}
        in_order = [each._replace(starts=starts.get(each.mentor.person_id, ())) for each in scored]
        return replace(ranked, candidates=tuple(in_order))

    def _key(self, case: _Open, order: str) -> Callable[[Candidate], tuple[float, int]]:
        if order == "random":
            return lambda each: self._luck(case.number, self._numbers[each.mentor.person_id])
        return lambda each: self._turn(self._numbers[each.mentor.person_id])

    def _luck(self, request: int, mentor: int) -> tuple[float, int]:
        return self._world.draws.uniform("order", request, mentor), mentor

    def _turn(self, mentor: int) -> tuple[float, int]:
        return self._asked_last.get(mentor, -1), mentor

    def _send(self, case: _Open, invitation: waves.Invitation, now: datetime) -> None:
        candidate, answer_by = invitation
        mentor = self._numbers[candidate.mentor.person_id]
        notice = Notice(case.number, mentor, self._world.requests[case.number].priority, now, answer_by)
        offer = Offer(mentor, self._calendars.asked[mentor].send(now), notice, candidate)
        case.offers.append(offer)
        self._asked_last[mentor] = self._serial
        self.run.offers.append((case.number, mentor, now, answer_by, candidate.starts))
        reaction = self._behaviour.react(notice)
        self._behaviour.settle("asked", notice, now)
        self._plan(answer_by, _PASSES, (case, offer))
        if reaction and reaction.at < self._world.cases[case.number].answer_due_at:
            self._plan(max(reaction.at, now), _ANSWER, (case, offer, reaction))

    def _passes(self, subject: tuple[_Open, Offer], now: datetime) -> None:
        """The date shown passes: others are asked, and where late answers count the mentor may still answer."""
        case, offer = subject
        if case.is_over or offer.state != "pending":
            return
        is_due = now >= self._world.cases[case.number].answer_due_at
        offer.state = "late" if self._policy.takes_late and not is_due else "expired"
        self._calendars.asked[offer.mentor].end(offer.place, "lapsed")
        self._behaviour.settle("lapsed", offer.notice, now)
        self._hurry(case, now)

    def _hurry(self, case: _Open, now: datetime) -> None:
        if not any(offer.state == "pending" for offer in case.offers):
            self._wave_at(case, now)

    def _answer(self, subject: tuple[_Open, Offer, Reaction], now: datetime) -> None:
        case, offer, reaction = subject
        if case.is_over or offer.state not in {"pending", "late"} or self._behaviour.is_silent(offer.mentor, now):
            return
        self._calendars.asked[offer.mentor].end(offer.place, "answered" if offer.state == "pending" else "late answer")
        if reaction.accepts and self._accept(case, offer, now):
            return
        offer.state = "declined"
        self._behaviour.settle("declined", offer.notice, now)
        self._hurry(case, now)

    def _accept(self, case: _Open, offer: Offer, now: datetime) -> bool:
        """Book the first of the proposed times that is still free, else the next bookable one, else advise in writing.

        False if there is no way left before the answer is due.
        """
        gate_case = self._gate_case(case, now)
        (mentor,) = self._mentors(
            case, [each for each in self._world.pools[case.number] if each[0] == offer.mentor], now
        )
        ahead = [start for start in offer.candidate.starts if start > now]
        start = None
        if offer.candidate.is_live:
            start = next((each for each in ahead if self._is_free(gate_case, mentor, each, now)), None)
            start = start or next(iter(ranking.propose(gate_case, mentor, now, self._book, is_asking=False)), None)
        if start is None and (gate_case.mode == "live" or self._refuses(gate_case, mentor, None, now)):
            return False
        offer.state = "accepted"
        case.is_over = True
        had_passed = bool(offer.candidate.starts) and not ahead
        self._take(case, offer, now, start, had_passed=had_passed)
        for other in case.offers:
            if other.state == "pending":
                other.state = "withdrawn"
                self._behaviour.settle("withdrawn", other.notice, now)
        return True

    def _take(self, case: _Open, offer: Offer, now: datetime, start: datetime | None, *, had_passed: bool) -> None:
        request = self._world.requests[case.number]
        key = (case.number, offer.mentor)
        if start is None:
            at = now + advice_takes(self._world, *key)
            self._calendars.advise(offer.mentor, request.clinician, at)
            answer = Answered(offer.mentor, now, at, takes_place=True, is_live=False, had_passed=had_passed)
        else:
            comes = takes_place(self._world, *key)
            self._calendars.book(offer.mentor, request.clinician, start, takes_place=comes)
            answer = Answered(offer.mentor, now, start, takes_place=comes, is_live=True, had_passed=had_passed)
        self.run.answers[case.number] = answer

    def _is_free(self, case: Case, mentor: Mentor, start: datetime, now: datetime) -> bool:
        during = (start, start + OCCUPIED)
        if any(intervals.overlaps(during, seat) for seat in (*mentor.busy, *case.busy)):
            return False
        return not self._refuses(case, mentor, start, now)

    def _refuses(self, case: Case, mentor: Mentor, start: datetime | None, now: datetime) -> bool:
        """Tell whether a rule refuses what was offered: a time or, without one, written advice."""
        return bool(set(Gate(case, self._book).check(mentor, start, now, is_asking=False)) - _OFFERED)

    def _due(self, case: _Open, now: datetime) -> None:
        """The answer was due: what is open lapses."""
        for offer in case.offers:
            if offer.state == "pending":
                self._calendars.asked[offer.mentor].end(offer.place, "lapsed")
                self._behaviour.settle("lapsed", offer.notice, now)
        case.is_over = True


def takes_place(world: World, request: int, mentor: int) -> bool:
    """Tell whether the mentor comes to the session."""
    return not world.draws.is_so(_NO_SHOW, "no show", request, mentor)


def advice_takes(world: World, request: int, mentor: int) -> timedelta:
    """Draw how long the mentor takes to write advice once they have promised it."""
    case = world.cases[request]
    share = _WRITTEN_SHARE * math.exp(_WRITTEN_SPREAD * world.draws.normal("advice", request, mentor))
    return (case.answer_due_at - case.opened_at) * share


def live(world: World, policy: LabPolicy, behaviour: Behaviour) -> Run:
    """Live through the year; the behaviour must be fresh, since it remembers who is tired."""
    return _Year(world, policy, behaviour).live_through()
