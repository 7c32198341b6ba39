"""What waits for a person: each thing as what it is, with whom, until when, and where it is done.

One statement finds all of it: each kind by the index of what is open or waits, never by the past. It has no rule of
who sees what: a thing is listed for whoever it was put to (as the mentor who is asked, the clinician of the case,
whoever takes part or was mailed a question) or, of places that they coordinate, what nobody else looks after; all of
them see it by `kernel.visibility` (`tests/service/worklists/test_waiting.py` compares the two).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import orm
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlmodel import col

from service import tables, vocabulary
from service.care import offers
from service.kernel import actor as actors
from service.kernel.work import Work
from service.rules import policy
from service.worklists import address_cards

STILL_TO_LOG = timedelta(days=30)
"""How long a booked time that has passed waits for its session to be logged."""
JOIN_WITHIN = timedelta(hours=24)
"""How long before its start a call waits to be joined; an earlier one is in the calendar."""
NEVER = datetime(2200, 1, 1, tzinfo=UTC)
"""In the order of deadlines, behind all: what has none."""
LONGEST = timedelta(hours=8)
"""No appointment lasts longer (`Seat`)."""


class Place(NamedTuple):
    """Where a page of the list ended: deadline (NEVER without one), kind, and the id of what waits."""

    due_at: datetime
    kind: str
    subject_id: UUID


_BEGINNING = Place(datetime(1, 1, 1, tzinfo=UTC), "", UUID(int=0))


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that waits.

    `whose_turn_id` is who is to act: the actor, or the mentor or clinician in whose place they may. `with_id` is the
    person on the other side, `place_…` that person's institution. A call has its time, an address neither a case nor a
    deadline. The names of what a request is about are those of its specialty.
    """

    kind: vocabulary.WorkKind
    subject: vocabulary.WorkSubject
    subject_id: UUID
    due_at: datetime | None
    consultation_id: UUID | None
    number: str | None  # of the consultation, as people call it
    whose_turn_id: UUID
    whose_turn: str
    with_id: UUID | None
    with_name: str | None
    place_name: str | None
    place_name_en: str | None
    starts_at: datetime | None
    ends_at: datetime | None
    specialty_code: str | None
    name_en: str | None
    name_uk: str | None
    priority: str | None
    starts: Sequence[datetime]  # of what is offered or proposed to the actor: those that can still be taken

    @property
    def place(self) -> Place:
        """Where the list goes on behind it."""
        return Place(self.due_at or NEVER, self.kind, self.subject_id)

    @property
    def page(self) -> str:
        """The path of the page where it is done, below the service's own address."""
        if self.subject == "person":
            return "/people"
        if self.kind in _ON_THE_OFFERS_PAGE:
            return f"/offers/{self.subject_id}"
        return f"/consultations/{self.consultation_id}"


_OFFER: vocabulary.WorkSubject = "offer"
_ON_THE_OFFERS_PAGE = frozenset({"offer", "late_offer"})


async def entries(w: Work, actor: actors.Actor, *, limit: int, after: Place | None = None) -> Sequence[Entry]:
    """Give what waits for this person, in the order of deadlines, from behind `after`; one more than `limit` at most.

    Nothing waits for a system. Changes nothing, and reads no case text.
    """
    if actor.kind != "person":
        return []
    shape, ids = actors.shape(actor)
    place = after or _BEGINNING
    values = {
        "me": actor.person_id,
        "clinician_at": sorted(actor.institutions("clinician")),
        "places": sorted(actor.institutions("coordinator")),
        "programmes": sorted(actor.programmes("programme_admin")),
        "now": w.now,
        "soon": w.now + JOIN_WITHIN,
        "long_ago": w.now - STILL_TO_LOG,
        "begun": w.now - STILL_TO_LOG - LONGEST,
        "still_to_log": STILL_TO_LOG,
        "text_days": policy.DEFAULT.case_text_days,
        "never": NEVER,
        "after_at": place.due_at,
        "after_kind": place.kind,
        "after_id": place.subject_id,
        "most": limit + 1,
    }
    return [Entry(*row) for row in await w.fetch(_of(shape), values, ids)]


# The columns of each branch, in the order of `_COLUMNS`. Of a proposal the last time counts, as in the mail about it.
# Whoever answers in a mentor's place sees the offer and not the case, so no clinician is named to them.
_WAITING = """
SELECT 'offer' AS kind, 'offer' AS subject, o.id AS subject_id, o.answer_by AS due_at, o.consultation_id,
       o.mentor_id AS whose_turn_id, CASE WHEN o.mentor_id = :me THEN c.clinician_id END AS with_id,
       CASE WHEN o.mentor_id = :me THEN c.institution_id END AS place_id,
       CAST(NULL AS timestamptz) AS starts_at, CAST(NULL AS timestamptz) AS ends_at
FROM offer o JOIN consultation c ON c.id = o.consultation_id
WHERE o.mentor_id = :me AND o.state IN ('pending', 'countered') AND o.state = 'pending' AND o.answer_by > :now
UNION
SELECT 'offer', 'offer', o.id, o.answer_by, o.consultation_id, o.mentor_id,
       CASE WHEN o.mentor_id = :me THEN c.clinician_id END, CASE WHEN o.mentor_id = :me THEN c.institution_id END,
       NULL, NULL
FROM offer o JOIN consultation c ON c.id = o.consultation_id
WHERE o.institution_id = ANY(:places) AND o.state IN ('pending', 'countered') AND o.state = 'pending'
AND o.answer_by > :now
UNION
SELECT 'late_offer', 'offer', o.id, greatest(o.answer_by, c.answer_due_at), o.consultation_id, o.mentor_id,
       CASE WHEN o.mentor_id = :me THEN c.clinician_id END, CASE WHEN o.mentor_id = :me THEN c.institution_id END,
       NULL, NULL
FROM offer o JOIN consultation c ON c.id = o.consultation_id
WHERE (o.mentor_id = :me OR o.institution_id = ANY(:places)) AND o.is_late
UNION
SELECT 'counter', 'offer', o.id, (SELECT max(at) FROM unnest(o.counter_starts) AS at), c.id, c.clinician_id,
       o.mentor_id, o.institution_id, NULL, NULL
FROM consultation c JOIN offer o ON o.consultation_id = c.id AND o.state = 'countered'
WHERE c.clinician_id = :me AND c.institution_id = ANY(:clinician_at)
AND c.state IN ('draft', 'open', 'offered', 'scheduled', 'unmatched')
UNION
SELECT 'advice', 'consultation', c.id, c.advice_due_at, c.id, o.mentor_id, c.clinician_id, c.institution_id, NULL, NULL
FROM consultation c JOIN offer o ON o.consultation_id = c.id
WHERE c.state = 'scheduled' AND c.advice_due_at IS NOT NULL
AND o.mentor_id = :me AND o.state = 'accepted' AND o.ended_at IS NULL
UNION
SELECT CASE WHEN is_proposed THEN 'move' WHEN is_over THEN 'log' ELSE 'join' END, 'appointment', a.id,
       CASE WHEN is_proposed THEN proposed_until WHEN is_over THEN a.ends_at + CAST(:still_to_log AS interval)
       ELSE a.starts_at END,
       a.consultation_id, mine.person_id, other.person_id, other.institution_id, a.starts_at, a.ends_at
FROM participant mine
CROSS JOIN LATERAL (
  SELECT *, ends_at <= :now AS is_over, (SELECT max(at) FROM unnest(proposed_starts) AS at) AS proposed_until
  FROM appointment WHERE id = mine.appointment_id AND status = 'booked' AND ends_at > :long_ago OFFSET 0
) a
CROSS JOIN LATERAL (VALUES (false), (true)) AS way (is_proposed)
CROSS JOIN LATERAL (
  SELECT person_id, institution_id FROM participant
  WHERE appointment_id = a.id AND role IN ('clinician', 'mentor') AND role <> mine.role
  ORDER BY role DESC, person_id LIMIT 1
) other
WHERE mine.person_id = :me AND mine.starts_at > :begun
AND CASE WHEN is_proposed THEN NOT is_over AND proposed_until > :now AND EXISTS (
    SELECT FROM participant WHERE appointment_id = a.id AND person_id = a.proposed_by AND role = 'mentor'
  ) = (mine.role = 'clinician') AND mine.role IN ('clinician', 'mentor')
  AND (mine.role = 'mentor' OR a.case_institution_id = ANY(:clinician_at))
  WHEN is_over THEN mine.role IN ('clinician', 'mentor')
  ELSE a.starts_at <= :soon END
UNION
SELECT 'feedback', 'session', s.id, l.expires_at, s.consultation_id, l.person_id,
       CASE WHEN s.clinician_id = l.person_id THEN s.mentor_id ELSE s.clinician_id END,
       CASE WHEN s.clinician_id = l.person_id THEN s.partner_institution_id ELSE s.requesting_institution_id END,
       s.started_at, s.ended_at
FROM link l JOIN session s ON s.id = l.subject_id
WHERE l.person_id = :me AND l.purpose = 'feedback' AND l.used_at IS NULL AND l.expires_at > :now
AND l.person_id IN (s.clinician_id, s.mentor_id)
AND NOT EXISTS (
  SELECT FROM session e JOIN feedback f ON f.session_id = e.id
  WHERE e.consultation_id = s.consultation_id AND e.appointment_id IS NOT DISTINCT FROM s.appointment_id
  AND f.side = CASE WHEN s.clinician_id = l.person_id THEN 'requesting' ELSE 'partner' END
)
UNION
SELECT 'unmatched', 'consultation', c.id, c.answer_due_at, c.id, c.clinician_id, NULL, NULL, NULL, NULL
FROM consultation c
WHERE c.clinician_id = :me AND c.institution_id = ANY(:clinician_at)
AND c.state IN ('draft', 'open', 'offered', 'scheduled', 'unmatched') AND c.state = 'unmatched'
UNION
SELECT 'unmatched', 'consultation', c.id, c.answer_due_at, c.id, c.clinician_id, NULL, NULL, NULL, NULL
FROM consultation c
WHERE c.institution_id = ANY(:places) AND c.state = 'unmatched' AND c.state <> 'completed'
AND c.clinician_left_at IS NULL
UNION
SELECT 'draft', 'consultation', c.id, c.created_at + make_interval(
       days => coalesce(CAST(p.policy->>'case_text_days' AS int), :text_days)), c.id, c.clinician_id,
       NULL, NULL, NULL, NULL
FROM consultation c JOIN programme p ON p.id = c.programme_id
WHERE c.clinician_id = :me AND c.institution_id = ANY(:clinician_at)
AND c.state IN ('draft', 'open', 'offered', 'scheduled', 'unmatched') AND c.state = 'draft'
UNION
SELECT 'unattended', 'consultation', c.id, coalesce(
       (SELECT starts_at FROM appointment WHERE consultation_id = c.id AND status IN ('pending', 'booked')),
       c.advice_due_at, c.answer_due_at), c.id, CAST(:me AS uuid), NULL, NULL, NULL, NULL
FROM consultation c
WHERE c.clinician_left_at IS NOT NULL AND c.state IN ('draft', 'open', 'offered', 'scheduled', 'unmatched')
AND (c.institution_id = ANY(:places) OR c.programme_id = ANY(:programmes))
"""
_COLUMNS: Mapping[str, Any] = {
    "kind": sa.Text,
    "subject": sa.Text,
    "subject_id": PG_UUID(as_uuid=True),
    "due_at": sa.DateTime(timezone=True),
    "consultation_id": PG_UUID(as_uuid=True),
    "whose_turn_id": PG_UUID(as_uuid=True),
    "with_id": PG_UUID(as_uuid=True),
    "place_id": PG_UUID(as_uuid=True),
    "starts_at": sa.DateTime(timezone=True),
    "ends_at": sa.DateTime(timezone=True),
}


@lru_cache(maxsize=500)
def _of(actor: actors.Actor) -> sa.Executable:
    """Give the statement for actors of this shape: whoever oversees people is shown their addresses, too."""
    of_cases: sa.Select[Any] = sa.select(_given(_WAITING).columns(**_COLUMNS).subquery())
    parts = [of_cases, *([_addresses(actor)] if actor.holds(*vocabulary.OVERSEEING_PEOPLE) else [])]
    waiting = sa.union_all(*parts).subquery()
    order = (sa.func.coalesce(waiting.c.due_at, _value("never")), waiting.c.kind, waiting.c.subject_id)
    begins = sa.tuple_(_value("after_at"), _value("after_kind"), _value("after_id"))
    shown = sa.select(waiting).where(sa.tuple_(*order) > begins).order_by(*order).limit(_value("most"))
    page = shown.subquery("page")
    turn, other, place = orm.aliased(tables.Person), orm.aliased(tables.Person), orm.aliased(tables.Institution)
    case, offer = orm.aliased(tables.Consultation, name="c"), orm.aliased(tables.Offer, name="o")
    specialty = tables.Specialty
    return (
        sa.select(
            *(page.c[name] for name in ("kind", "subject", "subject_id", "due_at", "consultation_id")),
            col(case.number),
            page.c.whose_turn_id,
            col(turn.display_name),
            page.c.with_id,
            col(other.display_name),
            col(place.name),
            col(place.name_en),
            page.c.starts_at,
            page.c.ends_at,
            col(specialty.code),
            col(specialty.name_en),
            col(specialty.name_uk),
            col(case.priority),
            _given(_FREE_STARTS),
        )
        .join(turn, col(turn.id) == page.c.whose_turn_id)
        .outerjoin(other, col(other.id) == page.c.with_id)
        .outerjoin(place, col(place.id) == page.c.place_id)
        .outerjoin(case, col(case.id) == page.c.consultation_id)
        .outerjoin(specialty, col(specialty.code) == col(case.specialty_code))
        .outerjoin(offer, sa.and_(page.c.subject == _OFFER, col(offer.id) == page.c.subject_id))
        .order_by(sa.func.coalesce(page.c.due_at, _value("never")), page.c.kind, page.c.subject_id)
    )


# A time is gone as `offers.views` has it.
_FREE_STARTS = f"""ARRAY(
  SELECT at FROM unnest(CASE page.kind WHEN 'counter' THEN o.counter_starts ELSE o.starts END)
  WITH ORDINALITY AS t (at, place) WHERE at > :now AND NOT {offers.IS_OCCUPIED} ORDER BY place
)"""  # noqa: S608 - the text of `offers`


def _value(name: str, kind: Any = None) -> sa.BindParameter[Any]:  # noqa: ANN401 - SQLAlchemy's
    """Give a place for a value that comes with each asking."""
    return sa.bindparam(name, None, type_=kind)


def _given(text: str) -> sa.TextClause:
    """Give the text with places for its values."""
    return sa.text(text).bindparams(*(_value(name) for name in sorted(set(re.findall(r"(?<!:):(\w+)", text)))))


def _addresses(actor: actors.Actor) -> sa.Select[Any]:
    """Give those whose address needs somebody, as the columns of what waits."""
    people = address_cards.needing_somebody(actor).subquery()
    nothing: dict[str, Any] = {name: sa.cast(sa.null(), kind) for name, kind in _COLUMNS.items()}
    told = {
        "kind": sa.literal_column("'address'", sa.Text),
        "subject": sa.literal_column("'person'", sa.Text),
        "subject_id": people.c.id,
        "whose_turn_id": _value("me", PG_UUID(as_uuid=True)),
        "with_id": people.c.id,
    }
    return sa.select(*((nothing | told)[name].label(name) for name in _COLUMNS))
