"""Sessions, activities and consultations for people who analyse them: one wide row each, read a lot at a time.

They hold no case text, no free text at all, and name people by id only, so less of them than the tables of `exports`.
Codes are those of the API; instants are instants. Rows are in the order of their ids, so the same rows make the same
file.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from uuid import UUID

import sqlalchemy as sa

from service.kernel.work import Work
from service.rules.time import periods

Form = Literal["id", "code", "codes", "integer", "flag", "instant", "date"]
"""How a value is written: ids and codes are text, of which codes are few; `codes` are lists of them."""

AT_ONCE = 20_000


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a subject, and whether a row may have nothing in it."""

    name: str
    form: Form
    is_nullable: bool = False


@dataclass(frozen=True, slots=True)
class _Subject:
    columns: tuple[Column, ...]
    statement: str


def _columns(**forms: str) -> tuple[Column, ...]:
    """Give the columns in this order; a form that ends in `?` may be nothing. A keyword of Python has a `_` more."""
    return tuple(
        Column(name.removesuffix("_"), form.removesuffix("?"), form.endswith("?"))  # type: ignore[arg-type]
        for name, form in forms.items()
    )


_SUBJECTS: Mapping[str, _Subject] = {
    "sessions": _Subject(
        _columns(
            id="id", programme="code", memorandum="code", requesting_institution="code", partner_institution="code",
            clinician_id="id", mentor_id="id", consultation_id="id", specialty="code", priority="code", mode="code",
            outcome="code", route="code", age_band="code", started_at="instant", ended_at="instant", minutes="integer",
            is_civil_for_requester="flag", is_civil_for_mentor="flag", is_memorandum_chosen_anew="flag",
            is_corrected="flag", corrects="id?",
        ),
        """
SELECT CAST(s.id AS text), p.code, coalesce(m.code, CAST(m.id AS text)), coalesce(r.code, CAST(r.id AS text)),
       coalesce(q.code, CAST(q.id AS text)), CAST(s.clinician_id AS text), CAST(mentor_id AS text),
       CAST(consultation_id AS text), s.specialty_code, s.priority, s.mode, outcome, s.route, age_band, started_at,
       ended_at, minutes, is_civil_for_requester, is_civil_for_mentor, is_memorandum_chosen_anew, is_corrected,
       CAST(e.corrects AS text)
FROM session s JOIN programme p ON p.id = s.programme_id JOIN memorandum m ON m.id = s.memorandum_id
JOIN institution r ON r.id = s.requesting_institution_id JOIN institution q ON q.id = s.partner_institution_id
JOIN consultation c ON c.id = s.consultation_id LEFT JOIN log_entry e ON e.id = s.id
WHERE CAST(:programme AS uuid) IS NULL OR s.programme_id = :programme ORDER BY s.id""",
    ),
    "activities": _Subject(
        _columns(
            id="id", code="code?", programme="code", memorandum="code?", kind="code", published_kind="code?",
            on="date?", period="code?", from_="date?", until="date?", began_on="date?", days="integer?",
            people_op="code?", people_count="integer?", specialties="codes", from_institutions="codes",
            to_institutions="codes", is_corrected="flag", corrects="id?",
        ),
        """
SELECT CAST(a.id AS text), a.code, p.code, coalesce(m.code, CAST(m.id AS text)), a.kind, published_kind, on_date,
       period, from_on, until_on, NULL, days, people_op, people_count,
       ARRAY(SELECT specialty_code FROM activity_specialty s WHERE s.activity_id = a.id ORDER BY 1),
       ARRAY(SELECT coalesce(i.code, CAST(i.id AS text)) FROM activity_institution x
             JOIN institution i ON i.id = x.institution_id
             WHERE x.activity_id = a.id AND direction = 'from' ORDER BY 1),
       ARRAY(SELECT coalesce(i.code, CAST(i.id AS text)) FROM activity_institution x
             JOIN institution i ON i.id = x.institution_id
             WHERE x.activity_id = a.id AND direction = 'to' ORDER BY 1),
       is_corrected, CAST(a.corrects AS text)
FROM activity a JOIN programme p ON p.id = a.programme_id LEFT JOIN memorandum m ON m.id = a.memorandum_id
WHERE CAST(:programme AS uuid) IS NULL OR a.programme_id = :programme ORDER BY a.id""",
    ),
    "consultations": _Subject(
        _columns(
            id="id", programme="code", institution="code", clinician_id="id", department="code?", specialty="code",
            priority="code", mode="code", state="code", age_band="code", duration_minutes="integer",
            languages="codes", consent_scope="code?", consent_countries="codes", consent_given_on="date?",
            opened_at="instant?", answer_due_at="instant?", waves="integer", cancel_reason="code?",
            closed_at="instant?", created_at="instant",
        ),
        """
SELECT CAST(c.id AS text), p.code, coalesce(i.code, CAST(i.id AS text)), CAST(clinician_id AS text),
       (SELECT g.department FROM role_grant g WHERE g.institution_id = c.institution_id AND g.department = c.department
        LIMIT 1), specialty_code, priority, mode, c.state, age_band, duration_minutes, c.languages, consent_scope,
       consent_countries, consent_given_on, opened_at, answer_due_at, waves, cancel_reason, closed_at, c.created_at
FROM consultation c JOIN programme p ON p.id = c.programme_id JOIN institution i ON i.id = c.institution_id
WHERE CAST(:programme AS uuid) IS NULL OR programme_id = :programme ORDER BY c.id""",
    ),
}  # fmt: skip
SUBJECTS = tuple(_SUBJECTS)
"""What can be analysed."""


def columns(subject: str) -> tuple[Column, ...]:
    """Give the columns of a subject, in their order."""
    return _SUBJECTS[subject].columns


async def lots(w: Work, subject: str, programme: UUID | None = None) -> AsyncIterator[list[Sequence[Any]]]:
    """Give all rows, as many at once as a lot has, as they were when the first lot was read."""
    cursor = f"{subject}_for_analysis"
    await w.sql(
        sa.text(f"DECLARE {cursor} NO SCROLL CURSOR FOR {_SUBJECTS[subject].statement}"), {"programme": programme}
    )
    fetch = sa.text(f"FETCH FORWARD {AT_ONCE} FROM {cursor}")
    while lot := await w.fetch(fetch, {}):
        yield [_with_beginning(row) for row in lot] if subject == "activities" else list(lot)
    await w.sql(sa.text(f"CLOSE {cursor}"))


_BEGAN = [column.name for column in columns("activities")].index("began_on")


def _with_beginning(row: Sequence[Any]) -> list[Any]:
    """Put the day in on which an activity counts in reports: what its source gives is of many precisions."""
    on, period, from_on, until_on = row[_BEGAN - 4 : _BEGAN]
    return [*row[:_BEGAN], periods.first_day(on, period, from_on, until_on), *row[_BEGAN + 1 :]]
