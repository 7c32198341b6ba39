"""A call is about to begin, and its room is open: whoever takes part and has switched it on is told at once."""

from uuid import UUID

from service.care import casefile
from service.kernel.work import Work
from service.outbox import news, notices
from service.rules import lifecycle

NEAR = """
SELECT a.id FROM appointment a WHERE a.status = 'booked' AND a.starts_at > :now AND a.starts_at <= :room_opens_until
AND a.begins_told_for IS DISTINCT FROM a.starts_at AND EXISTS (
    SELECT FROM participant x JOIN person p ON p.id = x.person_id
    WHERE x.appointment_id = a.id AND p.notices && ARRAY['call.push', 'call.sms'])
"""
"""The calls of which somebody is to be told that they begin."""


async def tell(w: Work, appointment_id: UUID) -> None:
    """Tell whoever takes part that the call begins, once for each of its times; nothing for what is not booked now."""
    case = await casefile.by_appointment(w, appointment_id)
    appointment = case.appointment
    is_near = w.now < appointment.starts_at <= w.now + lifecycle.ROOM_OPENS_BEFORE
    if case.is_booked and is_near and appointment.begins_told_for != appointment.starts_at:
        appointment.begins_told_for = appointment.starts_at
        people = await notices.people(w, [row.person_id for row in case.participants])
        await news.call_begins(w, appointment, list(people.values()))
