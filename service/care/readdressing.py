"""Calendars follow when somebody has another address (decision 0034)."""

from uuid import UUID

import sqlalchemy as sa

from service.care import bookings, casefile
from service.kernel.work import Work

READDRESSED = """
SELECT DISTINCT a.id FROM appointment a
JOIN participant t ON t.appointment_id = a.id JOIN person p ON p.id = t.person_id
WHERE a.ends_at > :now AND a.starts_at > CAST(:now AS timestamptz) - interval '8 hours'
AND t.address_number <> p.address_number"""
_FORMER = sa.text("""
SELECT t.person_id, p.address_number, p.email, c.id, c.before FROM participant t JOIN person p ON p.id = t.person_id
LEFT JOIN address_change c ON c.person_id = p.id AND c.number = t.address_number
WHERE t.appointment_id = :appointment AND t.address_number <> p.address_number
""")


async def follow_address(w: Work, appointment_id: UUID) -> None:
    """The calendars have the addresses that the people have now, however often these were changed since.

    What was called off before the calendars could follow is taken out at the former address too.
    """
    case = await casefile.by_appointment(w, appointment_id)
    participants = {row.person_id: row for row in case.participants}
    former = {}
    for left in await w.sql(_FORMER, {"appointment": appointment_id}):
        participants[left.person_id].address_number = left.address_number
        address = w.unseal(left.before, left.id)
        if address and address.lower() != left.email.lower():  # else it was given back meanwhile
            former[left.person_id] = address
    if former and (case.is_held or case.is_booked):
        await bookings.readdress(case, former)
        return
    for row in case.participants:
        if row.person_id in former:
            await bookings.leave_address(case, row, former[row.person_id])
