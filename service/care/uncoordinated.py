"""A hospital whose last coordinator has left is followed: the programme's admins hear of it, and of what waits there.

As in `departures` it is seen in the rows, whatever changed them. Until somebody coordinates it again its mails
go to the admins (`hearers.coordinators`).
"""

from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from service import tables
from service.kernel.work import Work
from service.outbox import notices

_COORDINATED = """EXISTS (
  SELECT FROM role_grant g JOIN person p ON p.id = g.person_id AND p.state = 'active'
  WHERE g.institution_id = i.id AND g.role = 'coordinator')"""
CHANGED = f"SELECT i.id FROM institution i WHERE i.has_coordinator <> {_COORDINATED}"  # noqa: S608 - our own words
_IS_COORDINATED = sa.text(f"SELECT {_COORDINATED} FROM institution i WHERE i.id = :id")  # noqa: S608 - our own words
_INSTITUTION = (
    sa.select(tables.Institution)
    .where(col(tables.Institution.id) == sa.bindparam("id"))
    .with_for_update(key_share=True)
    .execution_options(populate_existing=True)
)

_CALLS = """
FROM appointment a JOIN participant t ON t.appointment_id = a.id AND t.institution_id = :id
WHERE a.status IN ('pending', 'booked') AND a.ends_at > :now"""
_DEPENDS = sa.text(f"""
SELECT
  (SELECT count(*) FROM consultation c WHERE c.institution_id = :id
   AND c.state IN ('draft', 'open', 'offered', 'scheduled', 'unmatched')) AS cases,
  (SELECT count(*) FROM consultation c WHERE c.institution_id = :id AND c.clinician_left_at IS NOT NULL
   AND c.state IN ('draft', 'open', 'offered', 'scheduled', 'unmatched')) AS unattended,
  (SELECT count(DISTINCT a.id) {_CALLS}) AS calls,
  (SELECT count(*) FROM offer o WHERE o.institution_id = :id AND (o.state IN ('pending', 'countered') OR o.is_late))
  AS offers,
  (SELECT count(DISTINCT a.id) {_CALLS} AND (a.unlinked_at IS NOT NULL OR a.told_end_id IS NOT NULL)) AS unlinked
""")  # noqa: S608 - our own words


async def follow(w: Work, institution_id: UUID) -> None:
    """It is remembered whether anybody coordinates it; when nobody does any more, the admins are told once."""
    institution: tables.Institution = (await w.sql(_INSTITUTION, {"id": institution_id})).scalar_one()
    is_coordinated = (await w.sql(_IS_COORDINATED, {"id": institution_id})).scalar_one()
    if institution.has_coordinator == is_coordinated:
        return
    institution.has_coordinator = is_coordinated
    if not is_coordinated:
        depending = (await w.sql(_DEPENDS, {"id": institution_id, "now": w.now})).mappings().one()
        await notices.uncoordinated(w, institution, dict(depending))
