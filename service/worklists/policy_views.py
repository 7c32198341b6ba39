"""What the pages about a programme's numbers show: those in force, and what rehearsals of others came to."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from service import tables
from service.kernel import access
from service.kernel.work import Work
from service.reporting import rehearsals

MOST = 10


@dataclass(frozen=True, slots=True)
class PolicyPage:
    """A programme with its numbers, the version that they were saved as (None: by an older program), and rehearsals."""

    programme: tables.Programme
    saved: tables.PolicyVersion | None
    saved_by: tables.Person | None
    rehearsals: Sequence[tables.Rehearsal]


@dataclass(frozen=True, slots=True)
class RehearsalPage:
    """A rehearsal and its programme as it is now."""

    programme: tables.Programme
    row: tables.Rehearsal


async def administered(w: Work) -> Sequence[tables.Programme]:
    """Give the programmes whose numbers the actor may change; raises Forbidden if there are none."""
    access.requires_admin(w)
    row = tables.Programme
    theirs = sa.select(row).where(col(row.id).in_(sorted(w.actor.programmes("programme_admin"))))
    return list((await w.sql(theirs.order_by(col(row.id)))).scalars())


async def policy(w: Work, programme_id: UUID) -> PolicyPage:
    """Give what the page of a programme's numbers shows to its admins; raises NotFound, Forbidden."""
    programme = await access.visible_programme(w, programme_id)
    access.requires_admin(w, programme.id)
    version = tables.PolicyVersion
    newest = sa.select(version).where(col(version.programme_id) == programme.id)
    order = (sa.desc(col(version.valid_from)), sa.desc(col(version.id)))
    saved = (await w.sql(newest.order_by(*order).limit(1))).scalar_one_or_none()
    is_of_now = saved is not None and saved.body == programme.policy  # an older program saves no version
    saved_by = await w.find(tables.Person, saved.by) if saved and saved.by else None
    return PolicyPage(programme, saved if is_of_now else None, saved_by, await rehearsals.latest(w, programme.id, MOST))


async def rehearsal(w: Work, programme_id: UUID, rehearsal_id: UUID) -> RehearsalPage:
    """Give a rehearsal of the programme to its admins; raises NotFound, Forbidden."""
    row = await rehearsals.read(w, programme_id, rehearsal_id)
    return RehearsalPage(await access.visible_programme(w, programme_id), row)
