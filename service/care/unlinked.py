"""A memorandum that no longer links two hospitals is followed: suspended, ended, or no longer reached by a membership.

Open offers go on under another memorandum that covers the case, or are withdrawn. What is agreed goes on likewise, or
stays, and the coordinators of both sides are told once; by the programme's policy it is called off instead, and sought
again. A booked time whose memorandum itself ended is `appointments.follow_memorandum_end`.
"""

from datetime import datetime
from uuid import UUID

from service import tables
from service.care import appointments, bookings, candidates, casefile, offers
from service.care.casefile import CaseFile
from service.kernel.work import Work
from service.outbox import hearers, notices
from service.rules import policy
from service.rules.case import MemorandumLink
from service.rules.matching import gate


def _links(memorandum: str, requesting: str, partner: str) -> str:
    """Give the SQL that tells whether an active memorandum links two hospitals, as parties or members, today.

    It is the day of the memorandum's programme, as everywhere: by another one a membership would be found to have ended
    hours late, or hours too early, and again at each sweep.
    """
    today = "CAST(CAST(:now AS timestamptz) AT TIME ZONE p.zone AS date)"  # it costs more than all the rest: once a row
    sides = " ".join(
        f"""AND EXISTS (SELECT FROM memorandum_party s LEFT JOIN membership b ON b.network_id = s.institution_id
            AND b.institution_id = {place} AND b.from_on <= day.today AND (b.until_on IS NULL OR b.until_on > day.today)
            WHERE s.memorandum_id = m.id AND s.side = '{side}' AND (s.institution_id = {place} OR b.id IS NOT NULL))"""
        for side, place in (("requesting", requesting), ("partner", partner))
    )
    return f"""EXISTS (SELECT FROM memorandum m JOIN programme p ON p.id = m.programme_id
            CROSS JOIN LATERAL (SELECT {today} AS today OFFSET 0) day
            WHERE m.id = {memorandum} AND m.status = 'active' {sides})"""


# In parts, because each has an index of its own.
OFFERS_UNLINKED = f"""
SELECT o.id FROM (SELECT * FROM offer WHERE state = 'pending' UNION ALL
                  SELECT * FROM offer WHERE state = 'countered' UNION ALL SELECT * FROM offer WHERE is_late) o
JOIN consultation c ON c.id = o.consultation_id
WHERE NOT {_links("o.memorandum_id", "c.institution_id", "o.institution_id")}"""  # noqa: S608
PROMISES_UNLINKED = f"""
SELECT o.id FROM consultation c
JOIN offer o ON o.consultation_id = c.id AND o.state = 'accepted' AND o.ended_at IS NULL AND o.unlinked_at IS NULL
WHERE c.state = 'scheduled' AND c.advice_due_at IS NOT NULL
AND NOT {_links("o.memorandum_id", "c.institution_id", "o.institution_id")}"""  # noqa: S608
BOOKED_UNLINKED = f"""
SELECT a.id FROM appointment a JOIN consultation c ON c.id = a.consultation_id
JOIN participant t ON t.appointment_id = a.id AND t.role = 'mentor'
JOIN memorandum own ON own.id = a.memorandum_id AND own.status = 'active'
WHERE a.status IN ('pending', 'booked') AND a.starts_at > :now AND a.unlinked_at IS NULL AND a.route <> 'direct'
AND NOT {_links("a.memorandum_id", "c.institution_id", "t.institution_id")}"""  # noqa: S608


async def follow_offer(w: Work, offer_id: UUID) -> None:
    """An open offer goes on under another memorandum, or is withdrawn and others are asked."""
    case, offer = await casefile.by_offer(w, offer_id)
    if offer not in case.open_offers or not await _is_unlinked(case, offer, w.now):
        return
    if link := await _another(case, offer.institution_id, w.now):
        offer.memorandum_id, offer.route = link.memorandum_id, link.route
        w.touch(offer)
        return
    await offers.withdraw(case, [offer])
    await notices.void_links(w, offer.mentor_id, [offer.id])
    await bookings.release_of(case, [offer.mentor_id])
    offers.hurry(case)


async def follow_promise(w: Work, offer_id: UUID) -> None:
    """Promised advice goes on under another memorandum, or both sides are told; by policy it is sought again."""
    case, offer = await casefile.by_offer(w, offer_id)
    if offer not in case.standing_offers or offer.unlinked_at or not await _is_unlinked(case, offer, w.now):
        return
    if link := await _another(case, offer.institution_id, w.now):
        offer.memorandum_id, offer.route = link.memorandum_id, link.route
        w.touch(offer)
        return
    offer.unlinked_at = w.now
    consultation = case.consultation
    places = {consultation.institution_id, offer.institution_id}
    receivers = await hearers.coordinators(w, places, consultation.programme_id)
    await notices.to_people(w, "memorandum_ended", consultation, receivers)
    if await _cancels(case):
        await offers.reopen(case)
        await notices.advice_sought_again(w, consultation, await hearers.clinicians(w, consultation))


async def follow_booking(w: Work, appointment_id: UUID) -> None:
    """A time booked through a membership that ended goes on under another memorandum, or both sides are told."""
    case = await casefile.by_appointment(w, appointment_id)
    appointment, consultation = case.appointment, case.consultation
    is_due = case.mentors and (case.is_held or case.is_booked) and not appointment.unlinked_at
    if not is_due:
        return
    place = case.mentors[0].institution_id
    links = (await candidates.memorandum_links(w, consultation, {place})).get(place, ())
    if any(link.memorandum_id == appointment.memorandum_id and link.is_valid(w.now) for link in links):
        return
    if link := await _another(case, place, appointment.starts_at):
        appointment.memorandum_id, appointment.route = link.memorandum_id, link.route
        w.touch(appointment)
        return
    appointment.unlinked_at = w.now
    receivers = await hearers.coordinators(w, {consultation.institution_id, place}, consultation.programme_id)
    await notices.about_appointment(case, "memorandum_ended", receivers)
    if await _cancels(case):
        await appointments.call_off(case, "memorandum_ended")


async def _is_unlinked(case: CaseFile, offer: tables.Offer, at: datetime) -> bool:
    """Tell whether the offer's memorandum does not link the two any more, by the day of its programme."""
    links = await candidates.memorandum_links(case.w, case.consultation, {offer.institution_id})
    return not any(
        link.memorandum_id == offer.memorandum_id and link.is_valid(at) for link in links.get(offer.institution_id, ())
    )


async def _another(case: CaseFile, institution_id: UUID, at: datetime) -> MemorandumLink | None:
    """Give the memorandum under which the case can go on with this hospital, if there is one."""
    w = case.w
    links = await candidates.memorandum_links(w, case.consultation, {institution_id}, at=at)
    book = await candidates.rulebook(w, case.consultation.programme_id, case.consultation.opened_at)
    gate_case = await candidates.case(w, case.consultation)
    return gate.Gate(gate_case, book).choose_link(links.get(institution_id, ()), at)


async def _cancels(case: CaseFile) -> bool:
    programme = await case.w.read(tables.Programme, case.consultation.programme_id)
    return policy.from_overrides(programme.policy).cancels_when_memorandum_ends
