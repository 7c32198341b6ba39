"""Who hears of what concerns a hospital or a case, and who hears in their stead where there is nobody."""

from collections.abc import Iterable
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from service import tables
from service.kernel.work import Work


async def coordinators(w: Work, institution_ids: Iterable[UUID], programme_id: UUID) -> list[tables.Person]:
    """Load the active coordinators of these institutions.

    Where an institution has none whose address takes mail, because the last one has left, the programme's admins hear
    in their stead; without such an admin, those of every programme.
    """
    return await _hearing(w, set(institution_ids), {programme_id})


async def coordinators_of(w: Work, institution_id: UUID) -> list[tables.Person]:
    """Load who hears of what concerns an institution itself: as `coordinators`, of each programme it takes part in."""
    programme_ids = (await w.sql(_PROGRAMMES_OF, {"id": institution_id})).scalars()
    return await _hearing(w, {institution_id}, set(programme_ids))


async def _hearing(w: Work, places: set[UUID], programme_ids: set[UUID]) -> list[tables.Person]:
    grant, person = tables.RoleGrant, tables.Person
    is_coordinator = sa.and_(col(grant.role) == "coordinator", col(grant.institution_id).in_(places))
    rows = await w.sql(
        sa.select(person, col(grant.institution_id), col(grant.programme_id))
        .join(grant, col(grant.person_id) == col(person.id))
        .where(col(person.state) == "active", sa.or_(is_coordinator, col(grant.role) == "programme_admin"))
        .order_by(col(person.id)),
        after_changes=False,
    )
    holders = rows.all()
    reached = {row.institution_id or row.programme_id for row in holders if row.Person.mail_refused_at is None}
    told = [row for row in holders if row.institution_id]
    if not places <= reached:
        is_near = bool(programme_ids & reached)
        told += [row for row in holders if row.programme_id and (row.programme_id in programme_ids or not is_near)]
    return list({row.Person.id: row.Person for row in told}.values())


_PROGRAMMES_OF = sa.text("""
SELECT programme_id FROM consultation WHERE institution_id = :id
UNION
SELECT m.programme_id FROM memorandum m JOIN memorandum_party p ON p.memorandum_id = m.id
WHERE p.institution_id = :id
   OR p.institution_id IN (SELECT network_id FROM membership WHERE membership.institution_id = :id)
ORDER BY 1
""")


async def clinicians(w: Work, consultation: tables.Consultation) -> list[tables.Person]:
    """Load who hears of the case at the requesting hospital: its clinician, as long as they work there.

    Of a case whose clinician has left, the other clinicians of its department hear; without any, the coordinators.
    """
    places = {
        "clinician": consultation.clinician_id,
        "institution": consultation.institution_id,
        "department": consultation.department,
    }
    present = list((await w.sql(_CLINICIANS, places, after_changes=False)).scalars())
    own = [person for person in present if person.id == consultation.clinician_id]
    return own or present or await coordinators(w, [consultation.institution_id], consultation.programme_id)


_CLINICIANS = (
    sa.select(tables.Person)
    .join(tables.RoleGrant, col(tables.RoleGrant.person_id) == col(tables.Person.id))
    .where(col(tables.RoleGrant.role) == "clinician", col(tables.Person.state) == "active")
    .where(col(tables.RoleGrant.institution_id) == sa.bindparam("institution"))
    .where(
        sa.or_(
            col(tables.Person.id) == sa.bindparam("clinician"),
            col(tables.RoleGrant.department) == sa.bindparam("department", type_=sa.Text),
        )
    )
    .order_by(col(tables.Person.id))
)
