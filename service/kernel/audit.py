"""Who read or did what: one row for each act, written in the transaction of the act and never changed afterwards."""

from uuid import UUID

from service import tables, vocabulary
from service.kernel import clock
from service.kernel.work import Work


def record(w: Work, action: vocabulary.AuditAction, subject: str, subject_id: UUID | None, **details: object) -> None:
    """Write down that the actor did `action` to the subject; `details` hold ids, codes and counts, never case text."""
    values = {
        "id": clock.new_id(),
        "at": w.now,
        "actor_kind": w.actor.kind,
        "person_id": w.actor.person_id,
        "action": action,
        "subject": subject,
        "subject_id": subject_id,
        "request_id": w.request_id,
        "details": details,
    }
    w.write(tables.Audit, values)
