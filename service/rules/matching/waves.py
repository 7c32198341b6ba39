"""What the next wave of a case is: whom to ask and until when, to wait, or that nobody is left.

The service and the simulation decide by this. It knows offers as `Asked` and mentors as a `Ranking`; what only a
database knows (whether a mail has left, whether another request has just filled a mentor's cap) the caller adds.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from service import vocabulary
from service.rules import policy
from service.rules.case import Case, Mentor, Rulebook
from service.rules.matching import ranking, score
from service.rules.matching.gate import Gate
from service.rules.matching.ranking import Candidate, Ranking

CONFIDENCE = 0.95
"""How surely somebody is to accept within the next waves, where a wave asks as many as are needed."""
_WAVES_AHEAD = 3
_DAY = timedelta(days=1)
_ACCEPTS_IF_ANSWERS = 0.85
_PRIOR_ANSWERED, _PRIOR_OFFERS = 3, 4  # a newcomer counts as one who answered three of four offers


@dataclass(frozen=True, slots=True)
class Asked:
    """An offer of the case, as the next wave sees it."""

    mentor_id: UUID
    state: vocabulary.OfferState
    answer_by: datetime
    is_undelivered: bool = False  # it never reached the mentor
    has_ended: bool = False  # it was accepted, and what was agreed has fallen away
    takes_no_mail: bool = False  # the mentor's address refuses mail


class Invitation(NamedTuple):
    """One mentor to ask, with the times that are proposed, and until when they may answer."""

    candidate: Candidate
    answer_by: datetime


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask these, at least one, in order."""

    invitations: tuple[Invitation, ...]

    @property
    def next_wave_at(self) -> datetime:
        """When others are asked, if none of these has answered."""
        return max(invitation.answer_by for invitation in self.invitations)


@dataclass(frozen=True, slots=True)
class Wait:
    """Somebody who was asked still has time to answer: look again then."""

    until: datetime


@dataclass(frozen=True, slots=True)
class Nobody:
    """Nobody is left who can be asked now; somebody may become free again, so look again then.

    Where the refusals stand, only a change of the hospital's ground or of its mentors can help: look when there is one.
    """

    look_again_at: datetime
    awaits_answer: bool  # an offer or a counter is open: the case is not without hope yet
    stands: bool = False


def wait(asked: Iterable[Asked], now: datetime) -> Wait | None:
    """Say until when to wait for those who were asked; None if nobody has time left to answer. A counter holds up none.

    Cheap, where `decide` wants a ranking.
    """
    waiting = [offer.answer_by for offer in asked if offer.state == "pending"]
    return Wait(max(waiting)) if any(answer_by > now for answer_by in waiting) else None


def not_again(asked: Sequence[Asked]) -> frozenset[UUID]:
    """Name the mentors who were asked and are not asked again: leave them out of the ranking.

    Once an agreement has fallen away, whoever it had taken the question from may be asked anew: they never answered.
    So may whoever never got the offer, unless their address takes no mail.
    """
    has_lost = any(offer.has_ended for offer in asked)
    return frozenset(
        offer.mentor_id
        for offer in asked
        if offer.takes_no_mail or not (offer.is_undelivered or (has_lost and offer.state == "withdrawn"))
    )


def decide(
    case: Case,
    asked: Sequence[Asked],
    ranked: Ranking,
    now: datetime,
    book: Rulebook,
    booked_at: datetime | None = None,
) -> Ask | Wait | Nobody:
    """Say what is to be done for the case now, by its offers so far and the ranking of those who can answer.

    With `booked_at` the case has a time whose mentor has left: they have a part of what is left until it begins.
    """
    waits = wait(asked, now)
    if waits:
        return waits
    spent = not_again(asked)
    candidates = [candidate for candidate in ranked.candidates if candidate.mentor.person_id not in spent]
    if not candidates:
        awaits_answer = any(offer.state in vocabulary.WAITING_OFFER for offer in asked)
        wave = book.policy.pace(case.priority).wave
        if booked_at is not None or awaits_answer:
            return Nobody(now + wave, awaits_answer)
        is_over = now >= case.answer_due_at  # no time is left; whatever gives the case more lets its next wave be due
        stands = not is_over and _stand(case, asked, ranked, now, book)
        return Nobody(now + (max(wave, _DAY) if is_over or stands else wave), awaits_answer, stands)
    chosen = candidates[: how_many(case, candidates, now, book.policy)]
    return Ask(tuple(_invite(case, candidate, now, book, booked_at) for candidate in chosen))


def _stand(case: Case, asked: Sequence[Asked], ranked: Ranking, now: datetime, book: Rulebook) -> bool:
    """Tell whether rules that no clock ends refuse everybody who was not asked yet."""
    if any(offer.takes_no_mail for offer in asked):
        return False  # another address is nobody's mark
    gate, spent = Gate(case, book), not_again(asked)
    return all(gate.stands(mentor, now) for mentor, _ in ranked.excluded if mentor.person_id not in spent)


def how_many(case: Case, candidates: Sequence[Candidate], now: datetime, numbers: policy.Policy) -> int:
    """Give how many of the candidates, of whom there is one at least, the wave asks: `per_wave` at most.

    Where the policy asks as many as are needed: so many that, with the waves that time leaves, somebody accepts with
    the probability `CONFIDENCE`, by how often each of them has answered so far.
    """
    pace = numbers.pace(case.priority)
    if not pace.as_needed:
        return min(pace.per_wave, len(candidates))
    waves = _waves_left(case, candidates[0], now, numbers)
    need = 1 - (1 - CONFIDENCE) ** (1 / waves)
    nobody_accepts = 1.0
    for count, candidate in enumerate(candidates[: pace.per_wave], 1):
        nobody_accepts *= 1 - accepts(candidate.mentor)
        if 1 - nobody_accepts >= need:
            return count
    return min(pace.per_wave, len(candidates))


def accepts(mentor: Mentor) -> float:
    """Give how probably the mentor answers in time and accepts; less than 0.85."""
    answered = min(score.answered(mentor), mentor.offers_180d) + _PRIOR_ANSWERED
    return _ACCEPTS_IF_ANSWERS * answered / (mentor.offers_180d + _PRIOR_OFFERS)


def _waves_left(case: Case, candidate: Candidate, now: datetime, numbers: policy.Policy) -> int:
    """Count the waves that can begin before the answer is due, this one included: three at most."""
    waves, at = 1, now
    while waves < _WAVES_AHEAD:
        at = answer_by(case, candidate.mentor, at, numbers)
        if at >= case.answer_due_at:
            break
        waves += 1
    return waves


def answer_by(
    case: Case, mentor: Mentor, now: datetime, numbers: policy.Policy, *, knows_case: bool = False
) -> datetime:
    """Give until when a mentor who is asked now may answer before others are asked."""
    return policy.answer_by(
        numbers,
        case.priority,
        now,
        case.answer_due_at,
        mentor.zone,
        mentor.working_weekdays,
        known_case=knows_case,
    )


def _invite(case: Case, candidate: Candidate, now: datetime, book: Rulebook, booked_at: datetime | None) -> Invitation:
    """Propose times that leave time to answer (decision 0023), where there are such times."""
    by = answer_by(case, candidate.mentor, now, book.policy, knows_case=candidate.knows_case)
    if booked_at is not None:
        by = policy.answer_by_before(booked_at, now, by)
    if candidate.is_live and not (candidate.starts and ranking.leave_time(candidate.starts, now, by)):
        bookable = ranking.propose(case, candidate.mentor, now, book)
        starts = ranking.pick_answerable(bookable, now, by, case.zone, candidate.mentor.zone)
        candidate = candidate._replace(starts=starts)
    return Invitation(candidate, by)
