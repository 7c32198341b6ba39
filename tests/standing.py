"""What depends on the people of a scene, by the columns of the table "When somebody changes" (docs/concepts.md)."""

from typing import Any

from flow import Scene

COLUMNS = (
    "Open offers",
    "Held times",
    "Booked times",
    "Promised advice",
    "Calendars sent",
    "Links mailed",
    "Reminders",
    "Events",
    "Pages",
    "Who is told",
)
_CASE = ("Open offers", "Held times", "Booked times", "Promised advice")
_SENT = ("Calendars sent", "Links mailed", "Reminders", "Events")
STAYS: dict[str, tuple[str, ...]] = {
    "clinician disabled": ("Open offers", "Held times", "Promised advice"),
    "clinician's role ended or moved": ("Open offers", "Held times", "Promised advice"),
    "clinician enabled again": ("Open offers", "Held times", "Promised advice"),
    "person erased": (*_CASE, *_SENT, "Pages", "Who is told"),
    "department changed": COLUMNS,
    "renamed": (*_CASE, *_SENT, "Pages"),
    "address changed": (*_CASE, *_SENT, "Pages"),
    "person's zone changed": (*_CASE, *_SENT),
    "language changed": (*_CASE, *_SENT, "Pages"),
    "mentor paused, away, or caps lowered": COLUMNS,
    "last coordinator gone": (*_CASE, *_SENT, "Pages"),
    "institution's zone, working days, name": COLUMNS,
}
"""Which columns a change leaves as they are: of each the rows are compared."""

_ROWS = {
    "Open offers": "SELECT id, state, mentor_id, answer_by FROM offer WHERE state IN ('pending', 'countered')",
    "Held times": "SELECT id, starts_at, held_until FROM appointment WHERE status = 'pending'",
    "Booked times": "SELECT a.id, a.starts_at, a.ends_at, s.person_id FROM appointment a"
    " JOIN seat s ON s.appointment_id = a.id WHERE a.status = 'booked'",
    "Promised advice": "SELECT o.id, o.mentor_id, c.state, c.advice_due_at FROM offer o"
    " JOIN consultation c ON c.id = o.consultation_id"
    " WHERE o.state = 'accepted' AND o.ended_at IS NULL AND c.advice_due_at IS NOT NULL",
    "Calendars sent": "SELECT id, person_id, sequence FROM delivery WHERE payload ? 'calendar'",
    "Links mailed": "SELECT id, person_id, expires_at, used_at FROM link",
    "Reminders": "SELECT id, remind_at FROM appointment WHERE remind_at IS NOT NULL",
    "Events": "SELECT id, type FROM event",
    "Who is told": "SELECT id, person_id FROM delivery WHERE kind = 'mail'",
}


async def depending(scene: Scene) -> dict[str, Any]:
    """Give the rows of each column, and what the two people of the case see."""
    found: dict[str, Any] = {
        column: sorted(map(str, await scene.rows(statement))) for column, statement in _ROWS.items()
    }
    found["Pages"] = sorted(
        [
            (who, item["id"], item.get("state") or item["status"])
            for who, path in (("clinician", "consultations"), ("mentor", "offers"), ("mentor", "appointments"))
            if (answer := await scene.call(who, "GET", f"/v1/{path}")).is_success
            for item in answer.json()["items"]
        ]
    )
    return found
