"""For whom and for which hospital a request is filed."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlmodel import col

from service import tables
from service.care import candidates
from service.kernel import actor as actors
from service.kernel import errors
from service.kernel.work import Work
from service.registry import agreements
from service.rules.sentences import Sentence

ACTIVITY = "teleconsultation"


class Wish(Protocol):
    """What is read of a request that is filed: `consultations.NewRequest` has it."""

    @property
    def clinician_id(self) -> UUID | None:
        """The clinician, if somebody files for them."""

    @property
    def institution_id(self) -> UUID | None:
        """The hospital, if one is named."""

    @property
    def department(self) -> str | None:
        """The department, if one is named."""

    @property
    def specialty(self) -> str:
        """What is asked about."""


class Requester(NamedTuple):
    """Who asks, for which hospital and in which programme; the case's short number, empty where nothing is filed."""

    clinician_id: UUID
    institution_id: UUID
    programme_id: UUID
    department: str | None
    number: str


async def requester(w: Work, wish: Wish, *, is_filed: bool) -> Requester:
    """Give who asks; draw the case's number if it `is_filed` now: the database would, but too late for the mails.

    A clinician of several hospitals files for the one that is named, else for the one whose memorandum covers the case
    now. Raises Invalid when several do, and when the named one is not theirs or not the actor's to file for.
    """
    clinician_id = wish.clinician_id or w.actor.person_id
    acting = clinician_id != w.actor.person_id
    places = sorted(w.actor.institutions("coordinator" if acting else "clinician"))
    if not places:
        raise errors.Forbidden
    days, programmes = zip(*w.actor.days, strict=True) if w.actor.days else ((), ())
    asked: dict[str, Any] = {"clinician": clinician_id, "places": places, "files": is_filed}
    grants = (await w.sql(_GRANTS, asked | {"days": days, "programmes": programmes}, after_changes=False)).all()
    if not grants:
        raise errors.Invalid("/clinician_id", "not a clinician of your institution")
    grants = await _of_one_place(w, wish, grants)
    grant = next((grant for grant in grants if grant.department == wish.department), grants[0])
    if grant.programme_id is None:
        raise errors.GateRefused(["no_memorandum"])
    w.keep(grant.Person)
    department = wish.department or grant.department
    return Requester(grant.Person.id, grant.institution_id, grant.programme_id, department, grant.number)


_CHOOSE = "memoranda of several hospitals cover this case, choose one: {names}"


async def _of_one_place(w: Work, wish: Wish, grants: Sequence[Any]) -> Sequence[Any]:
    """Give the grants at the hospital for which the request is filed."""
    if wish.institution_id is not None:
        chosen = [grant for grant in grants if grant.institution_id == wish.institution_id]
        if not chosen:
            raise errors.Invalid("/institution_id", "not a hospital for which this clinician may ask here")
        return chosen
    places = dict.fromkeys(grant.institution_id for grant in grants)
    if len(places) == 1:
        return grants
    covering = [place for place in places if await _covers(w, wish, place, grants)]
    if len(covering) > 1:
        institutions = await w.read_all(tables.Institution, covering)
        names = "; ".join(f"{row.name_en or row.name or row.code} ({row.id})" for row in institutions.values())
        raise errors.Invalid("/institution_id", Sentence(_CHOOSE, names=names))
    if covering:
        return [grant for grant in grants if grant.institution_id == covering[0]]
    return [grant for grant in grants if grant.programme_id is not None] or grants  # the first one, with the reasons


async def _covers(w: Work, wish: Wish, place: UUID, grants: Sequence[Any]) -> bool:
    """Tell whether a memorandum of this hospital covers the specialty and the activity, and is in force now."""
    programme_id = next(grant.programme_id for grant in grants if grant.institution_id == place)
    if programme_id is None:
        return False
    tree = (await candidates.rulebook(w, programme_id)).tree
    agreed = await agreements.agreed(w, place, None, programme_id)
    return any(
        link.is_valid(w.now)
        and tree.covers(link.areas, wish.specialty)
        and (not link.activities or ACTIVITY in link.activities)
        for links in agreed.links.values()
        for link in links
    )


async def may_file(w: Work) -> bool:
    """Tell whether there is anybody for whom the actor may file: themself, or a clinician of their institution."""
    if not w.actor.institutions("clinician", "coordinator"):
        return False
    days, programmes = zip(*w.actor.days, strict=True) if w.actor.days else ((), ())
    shape, ids = actors.shape(w.actor)
    ((may,),) = await w.fetch(_has_somebody(shape), {"days": days, "programmes": programmes}, ids)
    return bool(may)


@lru_cache(maxsize=500)
def _has_somebody(actor: actors.Actor) -> sa.Executable:
    grant = tables.RoleGrant
    of_places = {"clinician": col(grant.person_id) == actor.person_id, "coordinator": sa.true()}
    # One EXISTS for each, not one with OR: each is answered by an index, and ends with the first that it finds.
    ways = [
        sa.exists(
            sa.select(col(grant.id))
            .join(tables.Person, col(tables.Person.id) == col(grant.person_id))
            .where(col(grant.role) == "clinician", of_places[role])
            .where(col(grant.institution_id) == sa.any_(sa.literal(sorted(places), ARRAY(PG_UUID(as_uuid=True)))))
            .where(col(tables.Person.state) == "active", _PROGRAMME.is_not(None))
        )
        for role, places in ((role, actor.institutions(role)) for role in of_places)
        if places
    ]
    return sa.select(sa.or_(*ways))


# A network's memorandum counts while the institution belongs to the network, by the day of the programme.
_PROGRAMME = (
    sa.text("""
SELECT programme_id FROM (
  SELECT m.programme_id, m.status, true AS is_own, m.id
  FROM memorandum_party p JOIN memorandum m ON m.id = p.memorandum_id
  WHERE p.institution_id = role_grant.institution_id AND p.side = 'requesting'
  UNION ALL
  SELECT m.programme_id, m.status, false, m.id
  FROM membership s JOIN memorandum_party p ON p.institution_id = s.network_id AND p.side = 'requesting'
  JOIN memorandum m ON m.id = p.memorandum_id
  JOIN unnest(:days, :programmes) AS today (day, programme_id)
    ON today.programme_id = m.programme_id AND s.from_on <= day AND (s.until_on IS NULL OR s.until_on > day)
  WHERE s.institution_id = role_grant.institution_id
) AS agreed
ORDER BY (status = 'active') DESC, is_own DESC, id LIMIT 1
""")
    .bindparams(sa.bindparam("days", type_=ARRAY(sa.Date)), sa.bindparam("programmes", type_=ARRAY(PG_UUID)))
    .columns(programme_id=sa.Uuid)
    .scalar_subquery()
)
_DRAWN = (  # by a subquery: once, however many grants there are
    sa.select(sa.func.new_consultation_number()).where(sa.bindparam("files", type_=sa.Boolean)).scalar_subquery()
)
_GRANTS = (
    sa.select(
        tables.Person,
        col(tables.RoleGrant.institution_id),
        col(tables.RoleGrant.department),
        _PROGRAMME.label("programme_id"),
        sa.func.coalesce(_DRAWN, "").label("number"),
    )
    .join(tables.RoleGrant, col(tables.RoleGrant.person_id) == col(tables.Person.id))
    .where(col(tables.Person.id) == sa.bindparam("clinician"), col(tables.Person.state) == "active")
    .where(col(tables.RoleGrant.role) == "clinician")
    .where(col(tables.RoleGrant.institution_id) == sa.any_(sa.bindparam("places", type_=ARRAY(PG_UUID))))
    .order_by(col(tables.RoleGrant.id))
)
