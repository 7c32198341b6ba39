"""Asking mentors in waves, and what becomes of an offer that nobody answers.

Lock order: consultation, offers, people, memorandum (architecture). Who may be asked and when is decided by
`rules.matching`; this loads, asks it, and writes.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlmodel import col

from service import tables, vocabulary
from service.care import candidates, casefile, decisions, promises, unmatched
from service.care.casefile import CaseFile
from service.kernel import access, clock, paging
from service.kernel.work import Work
from service.outbox import notices, offer_mails
from service.rules import lifecycle, policy
from service.rules.matching import waves
from service.rules.matching.remedies import Remedy
from service.rules.time import night
from service.rules.time.night import NightHours

_WEEK = timedelta(days=7)
_Decision = waves.Ask | waves.Wait | waves.Nobody


async def make_wave(case: CaseFile) -> None:
    """Ask the next mentors, or say that nobody is left: the consultation is due for a wave."""
    for offer in case.offers:
        if offer.state == "pending" and offer.answer_by <= case.w.now:
            await _wait_for_mail(case, offer)
    if _is_hopeless(await _ask_next(case)) and case.consultation.state != "unmatched":
        await unmatched.nobody_left(case, waves.not_again(await asked_so_far(case)))


async def first_wave(case: CaseFile) -> None:
    """Ask the first mentors, or say that there are none: nobody was ever asked. The clinician has a receipt then."""
    is_hopeless = _is_hopeless(await _ask_next(case))
    await tell_filed(case, await unmatched.nobody_left(case, ()) if is_hopeless else ())


def _is_hopeless(decision: _Decision) -> bool:
    return isinstance(decision, waves.Nobody) and not decision.awaits_answer


async def tell_filed(case: CaseFile, helping: Sequence[Remedy] = ()) -> None:
    """Mail the clinician a receipt, once, if it is known by now whether anybody is asked; else with what would help."""
    if not case.awaits_first_wave:
        await notices.request_filed(case.w, case.consultation, [unmatched.plain(remedy) for remedy in helping])


async def _ask_next(case: CaseFile) -> _Decision:
    """Do what `rules.matching.waves` decides for the case now, and give it."""
    w, consultation = case.w, case.consultation
    asked = await asked_so_far(case)
    consultation.waits_on, consultation.waits_mark = [], None
    waits = waves.wait(asked, w.now)
    if waits:
        consultation.next_wave_at = waits.until
        return waits
    ranked, decision = await _decide(case, asked)
    if isinstance(decision, waves.Nobody) and decision.stands:
        ranked, decision = await _wait_for_change(case, asked, ranked)
    if isinstance(decision, waves.Ask):
        offers_of_capped = await _lock_capped(w, consultation, decision.invitations)
        decisions.record_wave(case, ranked, decision, offers_of_capped)
        await _send_wave(case, _still_askable(decision.invitations, offers_of_capped))
    elif isinstance(decision, waves.Nobody):
        if consultation.state != "unmatched":  # else nothing is decided: it was found out before, and looked at again
            decisions.record_wave(case, ranked, decision, {})
        consultation.next_wave_at = decision.look_again_at
    return decision


async def _wait_for_change(
    case: CaseFile, asked: Sequence[waves.Asked], ranked: candidates.Ranked
) -> tuple[candidates.Ranked, _Decision]:
    """Decide once more, under the mark read before: what has changed until then is seen now, the rest by its mark.

    Once more, too, if memoranda have come or gone meanwhile: it is watched what the last ranking knew of.
    """
    consultation = case.consultation
    while True:
        places = sorted(ranked.links)
        with case.w.holding():
            mark = await candidates.ground_mark(case.w, consultation.institution_id, places)
        ranked, decision = await _decide(case, asked)
        if not (isinstance(decision, waves.Nobody) and decision.stands):
            return ranked, decision
        if sorted(ranked.links) == places:
            consultation.waits_on, consultation.waits_mark = places, mark
            return ranked, decision


async def look_again(w: Work, consultation_id: UUID) -> None:
    """What the refusals of everybody stood on has changed: the next wave is due now; nothing if none is waited for."""
    consultation = (await casefile.open_case(w, consultation_id)).consultation
    if consultation.waits_mark is not None and consultation.state == "unmatched":
        consultation.next_wave_at, consultation.waits_mark = w.now, None


async def _decide(case: CaseFile, asked: Sequence[waves.Asked]) -> tuple[candidates.Ranked, _Decision]:
    booked = case.appointment if case.seeks_mentor and case.appointment.starts_at > case.w.now else None
    with case.w.holding():  # nothing that is ranked has changed before it in this transaction
        ranked = await candidates.ranked(
            case.w, case.consultation, but=waves.not_again(asked), booked=booked, new_windows=case.new_windows
        )
    if case.awaits_first_wave and case.consultation.promised_by is None:
        await promises.make(case.w, case.consultation, len(ranked.ranking.candidates))
    starts_at = booked.starts_at if booked else None
    return ranked, waves.decide(ranked.case, asked, ranked.ranking, case.w.now, ranked.inputs.book, starts_at)


async def _send_wave(case: CaseFile, invitations: Sequence[waves.Invitation]) -> None:
    w, consultation = case.w, case.consultation
    if not invitations:
        consultation.next_wave_at = w.now  # the sweep asks the next ones a moment later
        return
    consultation.waves += 1
    w.counted["waves", ""] += 1
    mentors = [invitation.candidate.mentor.person_id for invitation in invitations]
    await notices.people(w, [consultation.clinician_id, *mentors])
    sent = [await send(case, invitation) for invitation in invitations]
    consultation.next_wave_at = waves.Ask(tuple(invitations)).next_wave_at
    become_offered(case, sent[0].memorandum_id)


async def asked_so_far(case: CaseFile) -> list[waves.Asked]:
    """Give the case's offers as the rule of the waves reads them."""
    asked = [
        waves.Asked(
            offer.mentor_id,
            offer.shown_state,
            offer.answer_by,
            is_undelivered=offer.is_undelivered,
            has_ended=offer.ended_at is not None,
        )
        for offer in case.offers
    ]
    once_more = await notices.people(case.w, {offer.mentor_id for offer in asked} - waves.not_again(asked))
    refusing = {person.id for person in once_more.values() if person.mail_refused_at}
    return [replace(offer, takes_no_mail=offer.mentor_id in refusing) for offer in asked] if refusing else asked


async def _lock_capped(
    w: Work, consultation: tables.Consultation, invitations: Sequence[waves.Invitation]
) -> dict[UUID, int]:
    """Lock those invited who have a weekly cap, and count their offers of the week for other requests anew.

    Locked all at once, in order, and nobody afterwards: taking others in their place could deadlock.
    """
    people = [invitation.candidate.mentor for invitation in invitations]
    mentors = [mentor.person_id for mentor in people if mentor.offers_cap is not None]
    await w.lock_people(mentors)
    values = {"mentors": mentors, "since": w.now - _WEEK, "but": consultation.id}
    with w.holding():
        offers_by_mentor = {row.mentor_id: row.offers for row in await w.fetch(_ASKED_LATELY, values)}
    return {mentor: offers_by_mentor.get(mentor, 0) for mentor in mentors}


def _still_askable(
    invitations: Sequence[waves.Invitation], offers_of_capped: Mapping[UUID, int]
) -> list[waves.Invitation]:
    """Leave out those whose weekly cap on offers other requests have meanwhile reached."""
    return [
        invitation
        for invitation in invitations
        if (cap := invitation.candidate.mentor.offers_cap) is None
        or offers_of_capped[invitation.candidate.mentor.person_id] < cap
    ]


_ASKED_LATELY = sa.text("""
SELECT mentor_id, count(*) AS offers FROM offer
WHERE mentor_id = ANY(:mentors) AND sent_at > :since AND consultation_id <> :but AND NOT is_undelivered
GROUP BY mentor_id
""").bindparams(sa.bindparam("mentors", type_=ARRAY(PG_UUID(as_uuid=True))))


def become_offered(case: CaseFile, memorandum_id: UUID) -> None:
    """An open or unmatched consultation is `offered` now; any other stays as it is."""
    if case.consultation.state in {"open", "unmatched"}:
        case.become(case.consultation, "offered", memorandum_id)


async def send(case: CaseFile, invitation: waves.Invitation, override: tuple[str, str] | None = None) -> tables.Offer:
    """Ask the mentor, by mail and event; a late offer of theirs is over."""
    w, consultation = case.w, case.consultation
    candidate = invitation.candidate
    for earlier in case.offers:
        if earlier.is_late and earlier.mentor_id == candidate.mentor.person_id:
            case.become(earlier, "expired")
    is_written = consultation.mode == "either" and not candidate.starts
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
        kind="written" if is_written else consultation.mode,
        state="pending",
        wave=consultation.waves,
        starts=list(candidate.starts),
        sent_at=w.now,
        answer_by=invitation.answer_by,
        terms={"score": candidate.score, **candidate.terms},
        override_rule=override[0] if override else None,
        override_reason=w.seal(override[1] if override else None, row_id),
    )
    w.add(offer)
    case.offers.append(offer)
    case.record("offer.sent", offer)
    await notices.offer_sent(w, consultation, offer)
    return offer


async def withdraw(case: CaseFile, offers: Sequence[tables.Offer]) -> None:
    """Close offers that still wait, which does not count against the mentors; they are thanked.

    Whoever was never told of the offer is not told that it is over.
    """
    mails = await offer_mails.states(case.w, offers)
    countered = {offer.id for offer in offers if offer.state == "countered"}
    told = [offer for offer in offers if mails[offer.id] == "sent" or offer.id in countered]
    for offer in offers:
        offer.is_undelivered = offer not in told
        note_lateness(case, offer, mails[offer.id])
        case.become(offer, lifecycle.withdraw(offer.shown_state))
    await notices.offers_closed(case.w, case.consultation, told, known=countered)


def note_lateness(case: CaseFile, offer: tables.Offer, mail: vocabulary.OfferMail) -> None:
    """Let an offer that is answered or closed now be late first if its time has passed: no sweep has come to it yet.

    So it is counted, and told of, as after a sweep, and others are asked. Whoever never got its mail is not late.
    """
    if offer.state == "pending" and offer.answer_by <= case.w.now and mail == "sent":
        case.become(offer, "late")
        hurry(case)


def hurry(case: CaseFile) -> None:
    """Let the next wave go out now if nobody who was asked may still answer."""
    if case.consultation.state in lifecycle.SEEKING and not any(offer.state == "pending" for offer in case.offers):
        case.consultation.next_wave_at = case.w.now


CHANGED = f"""
SELECT c.id FROM consultation c CROSS JOIN LATERAL
  ({candidates.GROUND_MARK.format(hospital="c.institution_id", places="c.waits_on")}) AS ground
WHERE c.waits_mark IS NOT NULL AND c.state = 'unmatched' AND ground.mark <> c.waits_mark
"""  # noqa: S608 - our own words
"""Whom a change may have brought somebody, who waits for one."""


async def wave_if_due(w: Work, consultation_id: UUID) -> None:
    """Ask the next mentors if a wave is due; nothing if the consultation no longer seeks any."""
    case = await casefile.open_case(w, consultation_id)
    consultation = case.consultation
    if consultation.next_wave_at is None or consultation.next_wave_at > w.now:
        return
    if case.awaits_first_wave:
        await first_wave(case)
    elif consultation.state in lifecycle.SEEKING:
        await make_wave(case)
    else:
        consultation.next_wave_at = None


async def expire(w: Work, offer_id: UUID) -> None:
    """An offer that nobody answered in time is late, and the next wave goes out; nothing if it was answered.

    A late one is over once the answer is due: its mentor was told until when. One that is left of a case that seeks
    nobody any more, because an older program closed it, is withdrawn.
    """
    case, offer = await casefile.by_offer(w, offer_id)
    state = lifecycle.expire(offer.shown_state, offer.answer_by, case.closes_at(offer), w.now)
    if offer.is_late:
        if case.consultation.state not in lifecycle.SEEKING:
            await withdraw(case, [offer])
        elif state == "expired":
            case.become(offer, state)
    elif state != offer.state:
        if not await _wait_for_mail(case, offer):
            await lapse(case, offer)
        hurry(case)


async def _wait_for_mail(case: CaseFile, offer: tables.Offer) -> bool:
    """Give the offer more time as long as its mail has not left; False if that has left, or time is short."""
    if (await offer_mails.states(case.w, [offer]))[offer.id] != "waiting":
        return False
    return await _time_from_now(case, offer)


async def start_clock(w: Work, offer_id: UUID) -> bool:
    """The offer's mail leaves now, and late: its mentor's time begins (decision 0036); False if it is of no use now.

    Then its times are past, or what is due comes too soon: the offer lapses, and the next wave asks anew.
    """
    case, offer = await casefile.by_offer(w, offer_id)
    if offer.state != "pending":
        return False
    if await _time_from_now(case, offer):
        return True
    offer.is_undelivered = True
    case.become(offer, "expired")
    hurry(case)
    return False


async def _time_from_now(case: CaseFile, offer: tables.Offer) -> bool:
    """Let the mentor's time run from now; False, and nothing done, if that leaves no time or its times are past."""
    w, consultation = case.w, case.consultation
    book = await candidates.rulebook(w, consultation.programme_id, consultation.opened_at)
    mentor = await w.read(tables.Person, offer.mentor_id)
    institution = await w.read(tables.Institution, offer.institution_id)
    answer_by = policy.answer_by_when_late(
        book.policy,
        consultation.priority,
        offer.answer_by,
        w.now - (offer.timed_from or offer.sent_at),
        consultation.answer_due_at or w.now,
        mentor.zone,
        institution.working_weekdays,
    )
    if answer_by <= w.now or any(start <= w.now for start in offer.starts):
        return False
    before, offer.answer_by, offer.timed_from = offer.answer_by, answer_by, w.now
    w.touch(offer)
    await offer_mails.put_off(w, offer, consultation, before)
    if consultation.next_wave_at is not None:
        consultation.next_wave_at = max(offer.answer_by for offer in case.offers if offer.state == "pending")
    return True


async def lapse(case: CaseFile, offer: tables.Offer) -> None:
    """Nobody answered this offer in time; its mentor is told, if they were ever told of the offer.

    An answer is still taken while the case seeks somebody and has time.
    """
    w, closes_at = case.w, case.closes_at(offer)
    offer.is_undelivered = (await offer_mails.states(w, [offer]))[offer.id] != "sent"
    if offer.is_undelivered or closes_at <= w.now:
        case.become(offer, "expired")
        await notices.offers_closed(w, case.consultation, [] if offer.is_undelivered else [offer])
        return
    case.become(offer, "late")
    await offer_mails.prolong_links(w, offer, case.consultation, offer.answer_by)
    await notices.offer_late(w, case.consultation, offer, closes_at)


async def reopen(case: CaseFile) -> None:
    """The mentor's side gave up what was agreed: the consultation seeks again, with its whole time anew."""
    w, consultation = case.w, case.consultation
    for offer in case.standing_offers:
        offer.ended_at = w.now
    book = await candidates.rulebook(w, consultation.programme_id, consultation.opened_at)
    due = policy.answer_due_at(book.policy, consultation.priority, w.now)
    case.become(consultation, "open")
    consultation.answer_due_at = max(due, consultation.answer_due_at or due)
    consultation.alert_at = policy.alert_at(book.policy, consultation.priority, w.now)
    consultation.advice_due_at, consultation.is_advice_overdue_told = None, False
    consultation.next_wave_at = w.now


@dataclass(frozen=True, slots=True)
class OfferView:
    """An offer and the consultation it is about; case text is read there. `mail` is that of an open offer."""

    row: tables.Offer
    consultation: tables.Consultation
    zones: Mapping[vocabulary.Side, str]  # of the clinician and the mentor
    gone: Collection[datetime]  # of its times, while it waits: those that have passed, or that somebody took since
    mail: vocabulary.OfferMail | None = None

    @property
    def closes_at(self) -> datetime | None:
        """From when on the mentor's answer is taken no more; None if it is not waited for."""
        if self.row.shown_state not in {"pending", "late"}:
            return None
        return lifecycle.closes_at(self.row.answer_by, self.consultation.state, self.consultation.answer_due_at)

    @property
    def starts(self) -> Sequence[datetime]:
        """The offered times that can still be taken; all of them once it is closed."""
        return [start for start in self.row.starts if start not in self.gone]

    @property
    def counter_starts(self) -> Sequence[datetime]:
        """The mentor's own times that can still be taken; all of them once it is answered."""
        return [start for start in self.row.counter_starts if start not in self.gone]

    @property
    def warnings(self) -> Sequence[NightHours]:
        """Which of its times are at night for whom."""
        return self.warnings_of([*self.starts, *self.counter_starts])

    def warnings_of(self, starts: Sequence[datetime]) -> Sequence[NightHours]:
        """Which of these times would be at night for whom."""
        return night.warnings(starts, self.consultation.duration_minutes, self.zones)


async def read(w: Work, offer_id: UUID) -> OfferView:
    """Give one offer."""
    return (await views(w, [await access.visible_offer(w, offer_id)]))[0]


async def read_note(w: Work, offer: tables.Offer) -> str | None:
    """Give the note of a decline to the people of the case, and remember that it was read; None for everybody else."""
    return (await access.read_case_text(w, offer.consultation_id, offer, offer.note))[0]


async def page(w: Work, *, after: UUID | None, limit: int, state: str | None = None) -> list[OfferView]:
    """Give the offers that the actor sees, oldest first: one more than `limit` at most."""
    filters = [] if state is None else _in_state(state)
    return await views(w, await paging.rows(w, tables.Offer, *filters, after=after, limit=limit))


def _in_state(state: str) -> list[sa.ColumnElement[bool]]:
    """Say of an offer that it is in the state which everybody is told: a late one is stored as expired."""
    if state == "late":
        return [col(tables.Offer.is_late).is_(True)]
    is_stored = col(tables.Offer.state) == state
    return [is_stored, col(tables.Offer.is_late).is_(False)] if state == "expired" else [is_stored]


async def views(w: Work, rows: Sequence[tables.Offer]) -> list[OfferView]:
    """Give the offers with consultations, both sides' zones, the times that are gone, and whether mail has left."""
    consultations = await w.read_all(tables.Consultation, [row.consultation_id for row in rows])
    clinicians = (consultation.clinician_id for consultation in consultations.values())
    people = await notices.people(w, [*clinicians, *(row.mentor_id for row in rows)])
    gone = await _gone(w, rows)
    mails = await offer_mails.states(w, [row for row in rows if row.state == "pending"])
    return [
        OfferView(
            row,
            consultation := consultations[row.consultation_id],
            {"requesting": people[consultation.clinician_id].zone, "partner": people[row.mentor_id].zone},
            gone.get(row.id, ()),
            mails.get(row.id),
        )
        for row in rows
    ]


async def _gone(w: Work, rows: Sequence[tables.Offer]) -> Mapping[UUID, Collection[datetime]]:
    """Give the times of waiting offers that have passed, or at which one of the two is occupied by something else."""
    waiting_ids = [row.id for row in rows if row.shown_state in vocabulary.OPEN_OFFER]
    gone: dict[UUID, set[datetime]] = {}
    if waiting_ids:
        for row in await w.sql(_GONE, {"ids": waiting_ids, "now": w.now}):
            gone.setdefault(row.id, set()).add(row.at)
    return gone


# What the case itself holds or has booked does not count: an acceptance takes it over. Each of the two is asked by
# itself, LIMIT keeps it so: a free join reads all their seats before it knows the buffer, and with it the time's end.
IS_OCCUPIED = """
EXISTS (SELECT FROM person p CROSS JOIN LATERAL (
  SELECT FROM seat s WHERE s.person_id = p.id
  AND s.during && tstzrange(at, at + make_interval(mins => c.duration_minutes + p.buffer_minutes))
  AND (s.held_until IS NULL OR s.held_until > :now)
  AND s.appointment_id NOT IN (SELECT id FROM appointment WHERE consultation_id = c.id) LIMIT 1) AS taken
WHERE p.id IN (o.mentor_id, c.clinician_id))
"""
"""Of the offer `o` of the consultation `c`: whether its mentor or the clinician is occupied by something else `at`."""
_GONE = sa.text(f"""
SELECT o.id, at FROM offer o JOIN consultation c ON c.id = o.consultation_id
CROSS JOIN LATERAL unnest(o.starts || o.counter_starts) AS at
WHERE o.id = ANY(:ids) AND (at <= :now OR {IS_OCCUPIED})
""").bindparams(sa.bindparam("ids", type_=ARRAY(PG_UUID(as_uuid=True))))  # noqa: S608 - the text above
