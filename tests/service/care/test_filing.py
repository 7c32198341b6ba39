"""For whom a request may be filed, beside the plain form of the question, over rows that fit together by chance."""

import itertools
import os
import random
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.dialects.postgresql import UUID as PG_UUID
from sqlmodel import col

import made_up
from service import tables
from service.care import filing
from service.kernel import clock
from service.kernel.actor import Actor, Grant
from service.kernel.work import Work

SEEDS = range(20) if os.environ.get("DRILLS") == "1" else range(1, 3)
_PROGRAMME = (
    sa.text("""
SELECT m.programme_id FROM memorandum m JOIN memorandum_party p ON p.memorandum_id = m.id AND p.side = 'requesting'
WHERE p.institution_id = role_grant.institution_id
   OR EXISTS (SELECT 1 FROM membership s JOIN unnest(:days, :programmes) AS today (day, programme_id)
              ON today.programme_id = m.programme_id AND s.from_on <= day AND (s.until_on IS NULL OR s.until_on > day)
              WHERE s.institution_id = role_grant.institution_id AND s.network_id = p.institution_id)
ORDER BY (m.status = 'active') DESC, (p.institution_id = role_grant.institution_id) DESC, m.id LIMIT 1
""")
    .bindparams(sa.bindparam("days", type_=ARRAY(sa.Date)), sa.bindparam("programmes", type_=ARRAY(PG_UUID)))
    .columns(programme_id=sa.Uuid)
    .scalar_subquery()
)
"""The first programme in which an institution may ask, with one OR over what its memoranda are found by."""


def days_of(actor: Actor) -> dict[str, Any]:
    days, programmes = zip(*actor.days, strict=True) if actor.days else ((), ())
    return {"days": days, "programmes": programmes}


async def grants_plainly(w: Work, clinician: UUID, places: Sequence[UUID]) -> list[tuple[Any, ...]]:
    grant, person = tables.RoleGrant, tables.Person
    statement = (
        sa.select(col(person.id), col(grant.institution_id), col(grant.department), _PROGRAMME)
        .join(grant, col(grant.person_id) == col(person.id))
        .where(col(person.id) == clinician, col(person.state) == "active", col(grant.role) == "clinician")
        .where(col(grant.institution_id).in_(places))
        .order_by(col(grant.id))
    )
    return [tuple(row) for row in await w.sql(statement, days_of(w.actor))]


async def may_file_plainly(w: Work) -> bool:
    grant, person, actor = tables.RoleGrant, tables.Person, w.actor
    of_own, of_others = (
        col(grant.institution_id).in_(actor.institutions(role)) for role in ("clinician", "coordinator")
    )
    is_own = sa.and_(col(grant.person_id) == actor.person_id, of_own)
    statement = (
        sa.select(col(grant.id))
        .join(person, col(person.id) == col(grant.person_id))
        .where(col(grant.role) == "clinician", col(person.state) == "active", sa.or_(is_own, of_others))
        .where(_PROGRAMME.is_not(None))
        .limit(1)
    )
    return (await w.sql(statement, days_of(actor))).first() is not None


async def clinics(w: Work, made: made_up.MadeUp, seed: int) -> list[UUID]:
    """Give hospitals at each of which one person is a clinician, few of them under one memorandum or another today.

    Only their memberships are of this day or not by a day, and the memoranda of them and of their networks are few: so
    that it shows which memorandum comes first, and on which day.
    """
    chance, today, who = random.Random(f"clinics {seed}"), w.now.date(), made.ids[tables.Person][0]
    ids = [UUID(int=chance.getrandbits(128), version=4) for _ in range(40)]
    w.add(*(tables.Institution(id=id_, kind="hospital", country="UA", created_at=w.now) for id_ in ids))
    await w.sql(sa.update(tables.Person).where(col(tables.Person.id) == who).values(state="active"))
    for place in ids[10:]:
        grant: dict[str, Any] = {"person_id": who, "role": "clinician", "institution_id": place, "created_at": w.now}
        w.add(tables.RoleGrant(id=clock.new_id(), **grant))
        for network in chance.sample(ids[:10], chance.randint(0, 2)):
            from_on = today + timedelta(days=chance.randint(-2, 1))
            until_on = chance.choice([None, from_on + timedelta(days=chance.randint(1, 2))])
            places = {"institution_id": place, "network_id": network}
            w.add(tables.Membership(id=clock.new_id(), from_on=from_on, until_on=until_on, **places))
    for place in (*ids[:10], *ids[:10], *chance.sample(ids[10:], 12)):
        row = tables.Memorandum(
            id=UUID(int=chance.getrandbits(128), version=4),
            programme_id=chance.choice(made.ids[tables.Programme]),
            kind="bilateral",
            status=chance.choice(["active", "suspended"]),
            signed_precision="on",
            created_at=w.now,
        )
        side: Any = chance.choice(["requesting", "requesting", "partner"])
        w.add(row, tables.MemorandumParty(memorandum_id=row.id, institution_id=place, side=side))
    await w.flush()
    return ids[10:]


@pytest.mark.parametrize("seed", SEEDS)
async def test_g1_who_is_asked_to_file_is_who_was_by_the_plain_condition(w: Work, seed: int) -> None:
    made = await made_up.installation(w, seed)
    places = await clinics(w, made, seed)
    who = [Grant("clinician", place) for place in places], [Grant("coordinator", place) for place in places]
    alone = [Actor("person", made.ids[tables.Person][0], frozenset([grant])) for grant in itertools.chain(*who)]
    days = made.actors[0].days
    found = []
    for each in (*made.actors, *(replace(actor, days=days) for actor in alone), *alone):
        w.actor = each
        found.append(await filing.may_file(w))
        assert found[-1] == await may_file_plainly(w), each
    assert set(found) == {True, False}


@pytest.mark.parametrize("seed", SEEDS)
async def test_g1_the_grants_a_request_is_filed_by_are_those_of_the_plain_condition(w: Work, seed: int) -> None:
    made = await made_up.installation(w, seed)
    everywhere = made.actors[made_up.PEOPLE + 3]
    found: set[UUID | None] = set()
    of_clinics = await clinics(w, made, seed)
    for actor in (everywhere, replace(everywhere, days=frozenset())):
        w.actor = actor
        for clinician in made.ids[tables.Person]:
            for places in ([*made.ids[tables.Institution], *of_clinics], of_clinics[:3]):
                parameters = {"clinician": clinician, "places": places, **days_of(w.actor)}
                rows = (await w.sql(filing._GRANTS, parameters | {"files": False})).all()
                grants = [(row.Person.id, row.institution_id, row.department, row.programme_id) for row in rows]
                assert grants == await grants_plainly(w, clinician, places), (actor.days, clinician, places)
                found |= {row.programme_id for row in rows}
    assert found == {None, *made.ids[tables.Programme]}
