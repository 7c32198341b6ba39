"""Who may no longer act is followed: nothing stays with them, and everybody whom it concerns is told.

A person is disabled, a role ends or moves to another hospital, a verification ends or runs out before the start.
However it came about (a call, a file, an erasure, time, another version of the program), it is seen in the rows: each
list below finds what is still with somebody who may not act on it, and the timers deal with it row by row. What was
dealt with is no longer found, so that two workers converge and everybody is told once (docs/concepts.md, "When somebody
changes").
"""

from collections.abc import Iterable
from uuid import UUID

import sqlalchemy as sa

from service import tables
from service.care import appointments, bookings, casefile, offers
from service.care.casefile import CaseFile
from service.kernel.work import Work
from service.outbox import hearers, notices
from service.rules.time import availability


def _acts(who: str, place: str, until: str) -> str:
    """Give the SQL that tells whether a mentor still acts for a hospital, and is verified beyond an instant."""
    return f"""EXISTS (
  SELECT FROM person p JOIN role_grant g ON g.person_id = p.id AND g.role = 'mentor'
  JOIN mentor_profile f ON f.person_id = p.id AND f.institution_id = g.institution_id
  WHERE p.id = {who} AND p.state = 'active' AND g.institution_id = {place} AND f.verified_until > {until}
)"""


# An offer needs a mentor who is verified now, and beyond the first time that could still be taken by it, at an address
# that does not wait to be confirmed. Each part has an index of its own.
_FIRST_TIME = "greatest(:now, (SELECT min(start) FROM unnest(o.starts) AS start WHERE start > :now))"
_OFFERED = f"""
FROM (SELECT id, mentor_id, institution_id, CASE kind WHEN 'live' THEN starts ELSE '{{}}' END AS starts
      FROM offer WHERE state = 'pending'
      UNION ALL
      SELECT id, mentor_id, institution_id, counter_starts FROM offer WHERE state = 'countered'
      UNION ALL
      SELECT id, mentor_id, institution_id, '{{}}' FROM offer WHERE is_late) o
WHERE (NOT {_acts("o.mentor_id", "o.institution_id", _FIRST_TIME)} OR EXISTS (
  SELECT FROM person p WHERE p.id = o.mentor_id AND p.address_unconfirmed_since IS NOT NULL
))"""  # noqa: S608
OFFERS_LEFT = f"SELECT o.id {_OFFERED}"
_IS_OFFER_LEFT = sa.text(f"SELECT o.id {_OFFERED} AND o.id = :id")

# No seat is longer than eight hours: said, so that the index on the start is used.
_BOOKED = f"""
FROM appointment a JOIN participant t ON t.appointment_id = a.id AND t.role = 'mentor'
WHERE a.status IN ('pending', 'booked') AND a.ends_at > :now
AND a.starts_at > CAST(:now AS timestamptz) - interval '8 hours'
AND NOT {_acts("t.person_id", "t.institution_id", "a.starts_at")}"""
BOOKED_LEFT = f"SELECT DISTINCT a.id {_BOOKED}"
_WHO_LEFT = sa.text(f"SELECT t.person_id {_BOOKED} AND a.id = :id")

_PROMISED = f"""
FROM consultation c JOIN offer o ON o.consultation_id = c.id AND o.state = 'accepted' AND o.ended_at IS NULL
WHERE c.state = 'scheduled' AND c.advice_due_at IS NOT NULL
AND NOT {_acts("o.mentor_id", "o.institution_id", ":now")}"""
PROMISES_LEFT = f"SELECT c.id {_PROMISED}"
_WHICH_PROMISE = sa.text(f"SELECT o.id {_PROMISED} AND c.id = :id")

# Cases whose clinician is gone: not yet told of, or still with their place in a time that lies ahead.
_UNATTENDED = """
FROM consultation c
WHERE c.state IN ('draft', 'open', 'offered', 'scheduled', 'unmatched') AND NOT EXISTS (
  SELECT FROM person p JOIN role_grant g ON g.person_id = p.id AND g.role = 'clinician'
  WHERE p.id = c.clinician_id AND p.state = 'active' AND g.institution_id = c.institution_id)
AND (c.clinician_left_at IS NULL OR EXISTS (
  SELECT FROM appointment a JOIN participant t ON t.appointment_id = a.id AND t.person_id = c.clinician_id
  WHERE a.consultation_id = c.id AND a.status IN ('pending', 'booked') AND a.ends_at > :now))"""
CLINICIANS_LEFT = f"SELECT DISTINCT c.clinician_id {_UNATTENDED}"
_CASES_OF = sa.text(f"SELECT c.id {_UNATTENDED} AND c.clinician_id = :id ORDER BY c.id")

# Back before anybody else was assigned, and with no time whose place they would have to be seated in again.
_ATTENDED = """
FROM consultation c JOIN person p ON p.id = c.clinician_id AND p.state = 'active'
WHERE c.state IN ('draft', 'open', 'offered', 'scheduled', 'unmatched') AND c.clinician_left_at IS NOT NULL
AND EXISTS (SELECT FROM role_grant g WHERE g.person_id = p.id AND g.role = 'clinician'
            AND g.institution_id = c.institution_id)
AND NOT EXISTS (SELECT FROM appointment a WHERE a.consultation_id = c.id AND a.status IN ('pending', 'booked'))"""
CLINICIANS_BACK = f"SELECT c.id {_ATTENDED}"
_IS_BACK = sa.text(f"SELECT c.id {_ATTENDED} AND c.id = :id")

# From the few cases that have a place empty, not from all times that have begun: each part has an index of its own.
_VACANT = """
FROM (SELECT id FROM consultation WHERE state IN ('open', 'offered', 'unmatched')
      UNION SELECT id FROM consultation WHERE clinician_left_at IS NOT NULL
      AND state IN ('draft', 'open', 'offered', 'scheduled', 'unmatched')) c
JOIN appointment a ON a.consultation_id = c.id
WHERE a.status = 'booked' AND a.starts_at <= :now
AND (SELECT count(DISTINCT role) FROM participant t WHERE t.appointment_id = a.id
     AND t.role IN ('mentor', 'clinician')) < 2"""
STILL_VACANT = f"SELECT a.id {_VACANT}"
_IS_VACANT = sa.text(f"SELECT a.id {_VACANT} AND a.id = :id")

IN_AN_OLD_ZONE = """
SELECT DISTINCT a.id FROM appointment a JOIN participant t ON t.appointment_id = a.id
JOIN person p ON p.id = t.person_id AND p.zone <> t.zone
WHERE a.status IN ('pending', 'booked') AND a.starts_at > :now"""


async def follow_offer(w: Work, offer_id: UUID) -> None:
    """An offer to a mentor who may not take it is withdrawn, what was held for them is free, and others are asked."""
    case, offer = await casefile.by_offer(w, offer_id)
    if (await w.sql(_IS_OFFER_LEFT, {"now": w.now, "id": offer_id})).first() is None:
        return
    await offers.withdraw(case, [offer])
    await notices.void_links(w, offer.mentor_id, [offer.id])
    await bookings.release_of(case, [offer.mentor_id])
    offers.hurry(case)


async def follow_booking(w: Work, appointment_id: UUID) -> None:
    """The place of a mentor who may not come is empty, another is sought for the same time, and both sides know.

    A hold is let go; a call that has begun is called off, since nobody else can come to it.
    """
    case = await casefile.by_appointment(w, appointment_id)
    left = set((await w.sql(_WHO_LEFT, {"now": w.now, "id": appointment_id})).scalars())
    if not left:
        return
    if case.is_held:
        await bookings.release(case, "mentor_left")
        return
    leaving = [row for row in case.mentors if row.person_id in left]
    institutions = {row.institution_id for row in case.participants} | {case.consultation.institution_id}
    receivers = await hearers.coordinators(w, institutions, case.consultation.programme_id)
    for row in leaving:
        await bookings.vacate(case, row)
        await notices.void_links(w, row.person_id, [offer.id for offer in case.offers])
    await offers.reopen(case)
    if case.appointment.starts_at <= w.now:
        await _call_off(case, receivers)
        return
    if case.maybe_clinician:
        await notices.invited(case, "mentor_left", to=[case.maybe_clinician])
    else:
        receivers += await hearers.clinicians(w, case.consultation)
    await notices.about_appointment(case, "mentor_left", _each_once(receivers))


async def follow_vacancy(w: Work, appointment_id: UUID) -> None:
    """A booked time that begins with a place still empty is called off, and everybody still concerned is told."""
    case = await casefile.by_appointment(w, appointment_id)
    if (await w.sql(_IS_VACANT, {"now": w.now, "id": appointment_id})).first() is None:
        return
    institutions = {row.institution_id for row in case.participants} | {case.consultation.institution_id}
    institutions |= {offer.institution_id for offer in case.offers if offer.state == "accepted"}
    await _call_off(case, await hearers.coordinators(w, institutions, case.consultation.programme_id))


async def _call_off(case: CaseFile, receivers: Iterable[tables.Person]) -> None:
    reason = "clinician_left" if case.mentors else "mentor_left"
    await appointments.call_off(case, reason)
    await notices.about_appointment(case, "called_off", _each_once(receivers), reason=reason)


async def follow_promise(w: Work, consultation_id: UUID) -> None:
    """Advice promised by a mentor who may not give it is sought elsewhere; the clinician and both sides know."""
    case = await casefile.open_case(w, consultation_id)
    left = set((await w.sql(_WHICH_PROMISE, {"now": w.now, "id": consultation_id})).scalars())
    if not left:
        return
    promised = [offer for offer in case.standing_offers if offer.id in left]
    institutions = {case.consultation.institution_id, *(offer.institution_id for offer in promised)}
    await offers.reopen(case)
    for offer in promised:
        await notices.void_links(w, offer.mentor_id, [offer.id])
    coordinators = await hearers.coordinators(w, institutions, case.consultation.programme_id)
    receivers = [*await hearers.clinicians(w, case.consultation), *coordinators]
    await notices.advice_sought_again(w, case.consultation, _each_once(receivers))


async def follow_clinician(w: Work, person_id: UUID) -> None:
    """The cases of a clinician who has left are with their hospital: one mail tells its coordinators which.

    The clinician keeps no place, no seat and no button of an earlier mail. Until somebody is assigned, mails of these
    cases go to others (`hearers.clinicians`).
    """
    values = {"now": w.now, "id": person_id}
    found = (await w.sql(_CASES_OF, values)).scalars().all()
    cases = {row_id: await casefile.open_case(w, row_id) for row_id in found}  # all locked before people are
    still = (await w.sql(_CASES_OF, values)).scalars().all()
    left = [cases[row_id] for row_id in still if row_id in cases]
    await w.lock_people({row.person_id for case in left for row in case.participants})
    for case in left:
        await _leave(case, person_id)
    for institution_id in sorted({case.consultation.institution_id for case in left}):
        consultations = [case.consultation for case in left if case.consultation.institution_id == institution_id]
        await notices.clinician_left(w, institution_id, consultations)


async def _leave(case: CaseFile, person_id: UUID) -> None:
    w, clinician = case.w, case.maybe_clinician
    case.consultation.clinician_left_at = w.now
    case.record("consultation.clinician_left", case.consultation)
    await notices.void_links(w, person_id, [offer.id for offer in case.offers])
    if clinician and clinician.person_id == person_id and case.appointment.ends_at > w.now:
        await bookings.vacate(case, clinician)


async def follow_return(w: Work, consultation_id: UUID) -> None:
    """A clinician who is back before anybody else was assigned has the case again."""
    case = await casefile.open_case(w, consultation_id)
    if (await w.sql(_IS_BACK, {"id": consultation_id})).first():
        case.consultation.clinician_left_at = None
        w.touch(case.consultation)


def _each_once(people: Iterable[tables.Person]) -> list[tables.Person]:
    return list({person.id: person for person in people}.values())


async def follow_zone_of_person(w: Work, appointment_id: UUID) -> None:
    """The instant stays; whoever lives in another zone by now is told when it is on their clock."""
    case = await casefile.by_appointment(w, appointment_id)
    if not (case.is_held or case.is_booked):
        return
    people = await notices.people(w, [row.person_id for row in case.participants])
    moved = [row for row in case.participants if row.zone != people[row.person_id].zone]
    for row in moved:
        row.zone = people[row.person_id].zone
        row.wall = availability.to_wall(case.appointment.starts_at, row.zone)
    if moved:
        w.touch(case.appointment)
        await notices.about_appointment(case, "zone_changed", [people[row.person_id] for row in moved])
