"""Asking mentors in waves, and what becomes of an offer that nobody answers.

Lock order: consultation, offers, people, memorandum (architecture). Who may be asked and when is decided by
`rules.gate` and `rules.matching`; this loads, asks them, and writes.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlmodel import col

from service import tables, vocabulary
from service.care import bookings, candidates
from service.kernel import access, clock, paging
from service.kernel.work import Work
from service.outbox import events, notices
from service.rules import lifecycle, policy
from service.rules.case import Case, Mentor, Rulebook
from service.rules.matching import ranking

_WEEK = timedelta(days=7)


async def of_consultation(w: Work, consultation_id: UUID) -> list[tables.Offer]:
    """Lock every offer of the consultation and give them as they are now."""
    return list((await w.sql(_OF_CONSULTATION, {"consultation": consultation_id})).scalars())


_OF_CONSULTATION = (
    sa.select(tables.Offer)
    .where(col(tables.Offer.consultation_id) == sa.bindparam("consultation"))
    .order_by(col(tables.Offer.id))
    .with_for_update(key_share=True)
    .execution_options(populate_existing=True)
)


async def make_wave(w: Work, consultation: tables.Consultation) -> None:
    """Ask the next mentors, or say that nobody is left: the consultation is locked, and due for a wave."""
    asked_before = await of_consultation(w, consultation.id)
    waiting = [offer for offer in asked_before if offer.state in {"pending", "countered"}]
    if any(offer.state == "pending" and offer.answer_by > w.now for offer in waiting):
        consultation.next_wave_at = max(offer.answer_by for offer in waiting if offer.state == "pending")
        return
    but = {offer.mentor_id for offer in asked_before}
    if not await _ask_next(w, consultation, but) and not waiting and consultation.state != "unmatched":
        await _nobody_left(w, consultation, asked_before)


async def first_wave(w: Work, consultation: tables.Consultation) -> None:
    """Ask the first mentors, or say that there are none: nobody was ever asked, as the consultation opens now."""
    if not await _ask_next(w, consultation, ()):
        await _nobody_left(w, consultation, ())


async def _ask_next(w: Work, consultation: tables.Consultation, but: Collection[UUID]) -> bool:
    """Ask a wave's number of mentors, without those in `but`; False when nobody is left."""
    ranking, asked, book = await candidates.ranked(w, consultation, but=but)
    pace = book.policy.pace(consultation.priority)
    if not ranking.candidates:
        # Somebody may become free again: look once a wave, until the consultation expires.
        consultation.next_wave_at = w.now + pace.wave
        return False
    chosen = await _still_askable(w, consultation, ranking.candidates[: pace.per_wave])
    if not chosen:
        consultation.next_wave_at = w.now  # a moment later, by the sweep, among those who are left
        return True
    consultation.waves += 1
    await notices.people(w, [consultation.clinician_id, *(candidate.mentor.person_id for candidate in chosen)])
    sent = [await send(w, consultation, _in_time(w, asked, candidate, book), book) for candidate in chosen]
    consultation.next_wave_at = max(offer.answer_by for offer in sent)
    become_offered(w, consultation, sent[0].memorandum_id)
    return True


async def _still_askable(
    w: Work, consultation: tables.Consultation, chosen: Sequence[ranking.Candidate]
) -> list[ranking.Candidate]:
    """Lock the chosen ones, and leave out whom other requests have meanwhile asked as often as they wish in a week.

    Locked all at once, in order, and nobody afterwards: taking others in their place could deadlock.
    """
    mentors = [candidate.mentor.person_id for candidate in chosen if candidate.mentor.offers_cap is not None]
    await w.lock_people(mentors)
    values = {"mentors": mentors, "since": w.now - _WEEK, "but": consultation.id}
    asked = {row.mentor_id: row.offers for row in await w.ask(_ASKED_LATELY, values)}
    caps = [(candidate, candidate.mentor.offers_cap) for candidate in chosen]
    return [candidate for candidate, cap in caps if cap is None or asked.get(candidate.mentor.person_id, 0) < cap]


_ASKED_LATELY = sa.text("""
SELECT mentor_id, count(*) AS offers FROM offer
WHERE mentor_id = ANY(:mentors) AND sent_at > :since AND consultation_id <> :but GROUP BY mentor_id
""").bindparams(sa.bindparam("mentors", type_=ARRAY(PG_UUID(as_uuid=True))))


async def _nobody_left(w: Work, consultation: tables.Consultation, asked: Sequence[tables.Offer]) -> None:
    ranking, _, _ = await candidates.ranked(w, consultation, near=True)
    counts = Counter(reason.value for _, reasons in ranking.excluded for reason in reasons)
    bookings.step("consultation", consultation, "unmatched")
    bookings.tell_consultation(w, "consultation.unmatched", consultation, asked=asked)
    receivers = await notices.coordinators(w, [consultation.institution_id])
    last = {offer.mentor_id: "ended" if offer.ended_at else offer.state for offer in asked}  # each mentor once
    await notices.to_people(w, "unmatched", consultation, receivers, counts=counts, asked=Counter(last.values()))


def become_offered(w: Work, consultation: tables.Consultation, memorandum_id: UUID) -> None:
    """Somebody is asked now; nothing if somebody was already."""
    if consultation.state in {"open", "unmatched"}:
        bookings.step("consultation", consultation, "offered")
        bookings.tell_consultation(w, "consultation.offered", consultation, memorandum_id)


def deadline(w: Work, priority: str, due: datetime, mentor: Mentor, book: Rulebook, *, knows_case: bool) -> datetime:
    """Give until when the mentor may answer an offer that is sent now."""
    return policy.answer_by(
        book.policy, priority, w.now, due, mentor.zone, mentor.working_weekdays, known_case=knows_case
    )


def _in_time(w: Work, asked: Case, candidate: ranking.Candidate, book: Rulebook) -> ranking.Candidate:
    """Give the candidate with proposals that leave time to answer (decision 0023), where there are such times."""
    if not candidate.starts:
        return candidate
    answer_by = deadline(
        w, asked.priority, asked.answer_due_at, candidate.mentor, book, knows_case=candidate.knows_case
    )
    if ranking.leave_time(candidate.starts, w.now, answer_by):
        return candidate
    free = ranking.propose(asked, candidate.mentor, w.now, book)
    starts = ranking.pick_answerable(free, w.now, answer_by, asked.zone, candidate.mentor.zone)
    return candidate._replace(starts=starts)


async def send(
    w: Work,
    consultation: tables.Consultation,
    candidate: ranking.Candidate,
    book: Rulebook,
    override: tuple[str, str] | None = None,
    until: datetime | None = None,
) -> tables.Offer:
    """Ask the candidate, by mail and event; they may answer until the usual time, and at least `until`."""
    due = consultation.answer_due_at or w.now
    kind = consultation.mode
    if kind == "either" and not candidate.starts:
        kind = "written"
    row_id = clock.new_id()
    offer = tables.Offer(
        id=row_id,
        version=0,
        created_at=w.now,
        consultation_id=consultation.id,
        mentor_id=candidate.mentor.person_id,
        institution_id=candidate.mentor.institution_id,
        memorandum_id=candidate.link.memorandum_id,
        route=candidate.link.route,
        kind=kind,
        state="pending",
        wave=consultation.waves,
        starts=list(candidate.starts),
        sent_at=w.now,
        answer_by=max(
            until or w.now,
            deadline(w, consultation.priority, due, candidate.mentor, book, knows_case=candidate.knows_case),
        ),
        terms={"score": candidate.score, **candidate.terms},
        override_rule=override[0] if override else None,
        override_reason=w.seal(override[1] if override else None, row_id),
    )
    w.add(offer)
    tell(w, "offer.sent", consultation, offer)
    await notices.offer_sent(w, consultation, offer)
    return offer


def tell(w: Work, type_: vocabulary.EventType, consultation: tables.Consultation, offer: tables.Offer) -> None:
    """Record what happened to the offer."""
    audience = events.Audience(
        programme_id=consultation.programme_id,
        memorandum_id=offer.memorandum_id,
        institution_ids=(consultation.institution_id, offer.institution_id),
        person_ids=(consultation.clinician_id, offer.mentor_id),
    )
    events.record(w, type_, offer, offer.id, audience, state=offer.state, consultation_id=consultation.id)


async def withdraw(w: Work, consultation: tables.Consultation, offers: Sequence[tables.Offer]) -> None:
    """Close what still waits, without a mark against the mentors; they are thanked."""
    closed = [offer for offer in offers if offer.state in {"pending", "countered"}]
    for offer in closed:
        offer.state = lifecycle.withdraw(offer.state)
        tell(w, "offer.withdrawn", consultation, offer)
    if closed:
        mentors = await notices.people(w, [offer.mentor_id for offer in closed])
        await notices.to_people(w, "offer_closed", consultation, mentors.values())


def hurry(w: Work, consultation: tables.Consultation, all_offers: Sequence[tables.Offer]) -> None:
    """Let the next wave go out now if nobody who was asked may still answer."""
    if consultation.state in lifecycle.SEEKING and not any(offer.state == "pending" for offer in all_offers):
        consultation.next_wave_at = w.now


async def expire(w: Work, offer_id: UUID) -> None:
    """Close an offer that nobody answered in time, and let the next wave go out; nothing if it was answered."""
    seen = await w.session.get_one(tables.Offer, offer_id)
    consultation = await bookings.lock_consultation(w, seen.consultation_id)
    all_offers = await of_consultation(w, consultation.id)
    offer = next(offer for offer in all_offers if offer.id == offer_id)
    if lifecycle.expire(offer.state, offer.answer_by, w.now) != offer.state:
        await lapsed(w, consultation, offer)
        hurry(w, consultation, all_offers)


async def lapsed(w: Work, consultation: tables.Consultation, offer: tables.Offer) -> None:
    """Nobody answered this offer in time; its mentor is told."""
    offer.state = "expired"
    tell(w, "offer.expired", consultation, offer)
    mentors = await notices.people(w, [offer.mentor_id])
    await notices.to_people(w, "offer_closed", consultation, mentors.values())


async def reopen(w: Work, consultation: tables.Consultation, all_offers: Sequence[tables.Offer]) -> None:
    """What was agreed came to nothing by the mentor's side: the consultation seeks again, with its whole time anew."""
    for offer in all_offers:
        if offer.state == "accepted" and offer.ended_at is None:
            offer.ended_at = w.now
    book = await candidates.rulebook(w, consultation.programme_id)
    due = policy.answer_due_at(book.policy, consultation.priority, w.now)
    bookings.step("consultation", consultation, "open")
    consultation.answer_due_at = max(due, consultation.answer_due_at or due)
    consultation.alert_at = policy.alert_at(book.policy, consultation.priority, w.now)
    consultation.advice_due_at, consultation.is_advice_overdue_told = None, False
    consultation.next_wave_at = w.now
    bookings.tell_consultation(w, "consultation.opened", consultation, asked=all_offers)


@dataclass(frozen=True, slots=True)
class View:
    """An offer and the consultation it is about; case text is read there."""

    row: tables.Offer
    consultation: tables.Consultation


async def read(w: Work, offer_id: UUID) -> View:
    """Give one offer."""
    return (await views(w, [await access.visible_offer(w, offer_id)]))[0]


async def read_note(w: Work, offer: tables.Offer) -> str | None:
    """Give the note of a decline to the people of the case, and remember that it was read; None for everybody else."""
    return (await access.read_case_text(w, offer.consultation_id, offer, offer.note))[0]


async def page(w: Work, *, after: UUID | None, limit: int, state: str | None = None) -> list[View]:
    """Give the offers that the actor sees, oldest first: one more than `limit` at most."""
    seen = access.offers_seen(w.actor)
    if state is not None:
        seen = sa.and_(seen, col(tables.Offer.state) == state)
    return await views(w, await paging.rows(w, tables.Offer, seen, after=after, limit=limit))


async def views(w: Work, rows: Sequence[tables.Offer]) -> list[View]:
    """Give the offers with their consultations, in one query."""
    known = await w.read_all(tables.Consultation, [row.consultation_id for row in rows])
    return [View(row, known[row.consultation_id]) for row in rows]
