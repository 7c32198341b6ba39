"""Asking mentors: in waves, by hand, with a time held; and the gate that every later step asks again.

Lock order: consultation, offers, people, memorandum (architecture). Who may be asked and when is decided by
`rules.gate` and `rules.matching`; this loads, asks them, and writes.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlmodel import col

from service import (
    access,
    admission,
    audit,
    bookings,
    candidates,
    clock,
    deidentification,
    errors,
    events,
    notices,
    paging,
    tables,
)
from service.deidentification import ConfirmedSpan
from service.rules import lifecycle, matching, policy
from service.rules.case import Case, Mentor, Rulebook
from service.rules.gate import Refusal
from service.work import Work

_WEEK = timedelta(days=7)
_TO_ANSWER = timedelta(minutes=30)
"""Nobody can be expected to answer sooner (decision 0023): the least notice of `asap`."""


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
    book = await candidates.rulebook(w, consultation.programme_id)
    but = {offer.mentor_id for offer in asked_before}
    if not await _ask_next(w, consultation, book, but) and not waiting and consultation.state != "unmatched":
        await _nobody_left(w, consultation, book)


async def first_wave(w: Work, consultation: tables.Consultation, book: Rulebook) -> None:
    """Ask the first mentors, or say that there are none: nobody was ever asked, as the consultation opens now."""
    if not await _ask_next(w, consultation, book, ()):
        await _nobody_left(w, consultation, book)


async def _ask_next(w: Work, consultation: tables.Consultation, book: Rulebook, but: Collection[UUID]) -> bool:
    """Ask a wave's number of mentors, without those in `but`; False when nobody is left."""
    pace = book.policy.pace(consultation.priority)
    ranking, asked = await candidates.ranking(w, consultation, book, limit=pace.per_wave, but=but)
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
    sent = [await _send(w, consultation, _in_time(w, asked, candidate, book), book) for candidate in chosen]
    consultation.next_wave_at = max(offer.answer_by for offer in sent)
    _become_offered(w, consultation, sent[0].memorandum_id)
    return True


async def _still_askable(
    w: Work, consultation: tables.Consultation, chosen: Sequence[matching.Candidate]
) -> list[matching.Candidate]:
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


async def _nobody_left(w: Work, consultation: tables.Consultation, book: Rulebook) -> None:
    ranking, _ = await candidates.ranking(w, consultation, book, near=True)
    counts = Counter(reason.value for _, reasons in ranking.excluded for reason in reasons)
    bookings.step("consultation", consultation, "unmatched")
    bookings.tell_consultation(w, "consultation.unmatched", consultation)
    receivers = await notices.coordinators(w, [consultation.institution_id])
    await notices.to_people(w, "unmatched", consultation, receivers, counts=counts)


def _become_offered(w: Work, consultation: tables.Consultation, memorandum_id: UUID) -> None:
    if consultation.state in {"open", "unmatched"}:
        bookings.step("consultation", consultation, "offered")
        bookings.tell_consultation(w, "consultation.offered", consultation, memorandum_id)


def _answer_by(w: Work, priority: str, due: datetime, mentor: Mentor, book: Rulebook, *, knows_case: bool) -> datetime:
    return policy.answer_by(
        book.policy, priority, w.now, due, mentor.zone, mentor.working_weekdays, known_case=knows_case
    )


def _in_time(w: Work, asked: Case, candidate: matching.Candidate, book: Rulebook) -> matching.Candidate:
    """Give the candidate with proposals that leave time to answer (decision 0023), where there are such times."""
    if not candidate.starts:
        return candidate
    answer_by = _answer_by(
        w, asked.priority, asked.answer_due_at, candidate.mentor, book, knows_case=candidate.knows_case
    )
    if candidate.starts[0] >= min(answer_by, w.now + _TO_ANSWER) and candidate.starts[-1] >= answer_by:
        return candidate
    free = matching.propose(asked, candidate.mentor, w.now, book)
    return replace(candidate, starts=_proposals(w.now, free, answer_by, asked.zone, candidate.mentor.zone))


def _proposals(
    now: datetime, free: Sequence[datetime], answer_by: datetime, zone: str, mentor_zone: str
) -> tuple[datetime, ...]:
    """Pick up to three of the starts: each can be taken for half an hour or until `answer_by`, and one until then."""
    answerable = [start for start in free if start >= min(answer_by, now + _TO_ANSWER)] or free
    chosen = matching.pick_three(answerable, zone, mentor_zone)
    lasting = next((start for start in answerable if start >= answer_by), None)
    return (*chosen[:-1], lasting) if lasting and chosen[-1] < answer_by else chosen


async def _send(
    w: Work,
    consultation: tables.Consultation,
    candidate: matching.Candidate,
    book: Rulebook,
    override: tuple[str, str] | None = None,
    until: datetime | None = None,
) -> tables.Offer:
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
            _answer_by(w, consultation.priority, due, candidate.mentor, book, knows_case=candidate.knows_case),
        ),
        terms={"score": candidate.score, **candidate.terms},
        override_rule=override[0] if override else None,
        override_reason=w.seal(override[1] if override else None, row_id),
    )
    w.add(offer)
    tell(w, "offer.sent", consultation, offer)
    await notices.offer_sent(w, consultation, offer)
    return offer


def tell(w: Work, type_: str, consultation: tables.Consultation, offer: tables.Offer) -> None:
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
        await _expired(w, consultation, offer)
        hurry(w, consultation, all_offers)


async def _expired(w: Work, consultation: tables.Consultation, offer: tables.Offer) -> None:
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
    bookings.tell_consultation(w, "consultation.opened", consultation)


async def choose(
    w: Work,
    consultation_id: UUID,
    mentor_id: UUID,
    starts: Sequence[datetime] | None,
    override: tuple[str, str] | None,
    confirmed: Collection[ConfirmedSpan] = (),
) -> tables.Offer:
    """The requesting side's coordinator asks this mentor; the gate holds, but for the rule overridden with a reason."""
    consultation = await access.visible_consultation(w, consultation_id)
    access.requires_at(w, consultation.institution_id, "coordinator")
    consultation = await bookings.lock_consultation(w, consultation_id)
    all_offers = await of_consultation(w, consultation_id)
    if override:
        deidentification.check(w, {"override/reason": override[1]}, confirmed)
    offer = await _ask_by_hand(w, consultation, all_offers, mentor_id, starts, override)
    if override:
        audit.record(w, "override_rule", "offer", offer.id, rule=override[0])
    return offer


async def _ask_by_hand(
    w: Work,
    consultation: tables.Consultation,
    all_offers: Sequence[tables.Offer],
    mentor_id: UUID,
    starts: Sequence[datetime] | None,
    override: tuple[str, str] | None,
    until: datetime | None = None,
) -> tables.Offer:
    if consultation.state == "scheduled" and consultation.advice_due_at and consultation.advice_due_at <= w.now:
        await reopen(w, consultation, all_offers)
    if consultation.state not in {*lifecycle.SEEKING, "scheduled"} or consultation.advice_due_at:
        raise errors.IllegalTransition("consultation", consultation.state, "offered")
    own = await bookings.live(w, consultation.id)
    await w.lock_people([mentor_id])  # so that their offers of the week are all in sight
    known = await admission.facts(w, consultation, mentor_id, but_appointment=own.id if own else None)
    overrides = [override[0]] if override else []
    free = matching.propose(known.asked, known.mentor, w.now, known.book, overrides)
    answer_by = _answer_by(
        w, consultation.priority, known.asked.answer_due_at, known.mentor, known.book, knows_case=False
    )
    picked = _proposals(w.now, free, answer_by, known.asked.zone, known.mentor.zone)
    chosen = tuple(starts) if starts else picked
    is_live = consultation.mode != "written" and bool(chosen)
    if not is_live and consultation.mode == "live":
        raise errors.GateRefused([Refusal.DEADLINE_UNREACHABLE.value])
    links = [
        admission.gate_at(w, known, start, overrides, is_asking=True) for start in (chosen if is_live else (None,))
    ]
    if starts and not set(starts) <= set(free):
        raise errors.TimeNotBookable("/starts", "one of these times is not bookable")
    candidate = matching.Candidate(
        mentor=known.mentor,
        score=0.0,
        terms={},
        link=links[0],
        is_live=is_live,
        knows_case=False,
        earliest=chosen[0] if is_live else w.now,
        starts=chosen,
    )
    consultation.waves += 1
    offer = await _send(w, consultation, candidate, known.book, override, until)
    if consultation.state != "scheduled":
        consultation.next_wave_at = max(offer.answer_by, consultation.next_wave_at or offer.answer_by)
        _become_offered(w, consultation, offer.memorandum_id)
    return offer


async def hold(w: Work, consultation_id: UUID, mentor_id: UUID, starts_at: datetime) -> tables.Appointment:
    """The requesting side's coordinator holds a bookable time, and asks the mentor for it if nobody has yet.

    Until the hold ends, at the latest when what is held begins, the mentor's offer can take it (decision 0022).
    """
    consultation = await access.visible_consultation(w, consultation_id)
    access.requires_at(w, consultation.institution_id, "coordinator")
    consultation = await bookings.lock_consultation(w, consultation_id)
    all_offers = await of_consultation(w, consultation_id)
    if consultation.state not in lifecycle.SEEKING or consultation.mode == "written":
        raise errors.IllegalTransition("consultation", consultation.state, "held")
    if starts_at <= w.now:
        raise errors.TimeNotBookable("/starts_at", "this time lies behind us")
    held = await bookings.live(w, consultation.id)
    if held and held.held_until and held.held_until > w.now:
        raise errors.Exists("A time is held for this consultation: release it first.", held.id)
    await bookings.lock_everybody(w, consultation, held, mentor_id)
    if held:
        await bookings.release(w, consultation, held, "hold_expired")
    await admission.must_be_bookable(w, consultation, mentor_id, starts_at, None)
    book = await candidates.rulebook(w, consultation.programme_id)
    until = min(w.now + book.policy.hold, starts_at)
    offer = await _ask_for(w, consultation, all_offers, mentor_id, starts_at, until)
    link = await admission.gate_with_budget(w, consultation, offer, starts_at)
    appointment = await bookings.create(
        w,
        consultation,
        mentor_id=mentor_id,
        mentor_institution_id=offer.institution_id,
        offer=None,
        link=link,
        starts_at=starts_at,
        held_until=until,
    )
    await bookings.tell(w, "appointment.held", consultation, appointment)
    await notices.invited(w, "held", consultation, appointment)
    return appointment


async def _ask_for(
    w: Work,
    consultation: tables.Consultation,
    all_offers: Sequence[tables.Offer],
    mentor_id: UUID,
    starts_at: datetime,
    until: datetime,
) -> tables.Offer:
    """Have an open offer by which the mentor can take this time until then; they are told of what is new in it."""
    offer = next((offer for offer in all_offers if offer.mentor_id == mentor_id and offer.state == "pending"), None)
    if offer and offer.answer_by <= w.now:  # over, whether or not the sweep has run
        await _expired(w, consultation, offer)
        offer = None
    if offer is None:
        return await _ask_by_hand(w, consultation, all_offers, mentor_id, [starts_at], None, until)
    if starts_at in offer.starts and until <= offer.answer_by:
        return offer
    before = offer.answer_by
    offer.kind = "either" if offer.kind == "written" else offer.kind
    offer.starts = sorted({*(start for start in offer.starts if start > w.now), starts_at})
    offer.answer_by = max(before, until)
    w.touch(offer)
    await notices.offer_widened(w, consultation, offer, before)
    return offer


@dataclass(frozen=True, slots=True)
class View:
    """An offer and the consultation it is about; case text is read there."""

    row: tables.Offer
    consultation: tables.Consultation


async def read(w: Work, offer_id: UUID) -> View:
    """Give one offer."""
    return (await views(w, [await access.visible_offer(w, offer_id)]))[0]


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
