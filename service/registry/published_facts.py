"""Loads the programmes' published facts, and adds what a demo needs before somebody can walk through it.

What was published is loaded as it was published: what no source states stays NULL, nothing is merged, nobody real is
named. Loading a second time adds what is missing and changes nothing that is there.
"""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from functools import cache
from importlib import resources
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from service import tables, vocabulary
from service.kernel import clock, email_addresses
from service.kernel.work import Work
from service.people import demo_people
from service.registry import activities, memoranda
from service.rules import chain
from service.rules.time import availability

KIND_OF_MEMORANDUM: Mapping[str, vocabulary.MemorandumKind] = {"national": "bilateral"}
STATUS: Mapping[str, vocabulary.MemorandumStatus] = {"partnership_stated": "draft"}
KIND_OF_ACTIVITY: Mapping[str, vocabulary.ActivityKind] = {
    "joint_research": "research",
    "educational_event": "education",
    "grant_application": "grant",
    "equipment_support": "donation",
}
DEMO_ACTIVATED = ("m-2025-chern-lille", "m-2025-mech-kaunas")
_LOCK = 0x66616374
_ACTIVE_SINCE = timedelta(days=60)

Json = Mapping[str, Any]


@cache
def published() -> Json:
    """Give the published facts, as they lie beside this module."""
    facts: Json = json.loads(_data("facts.json"))
    return facts


async def load(w: Work) -> None:
    """Add the specialties and the published facts that are missing; repeating it changes nothing."""
    await w.sql(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    await _load_specialties(w)
    facts = published()
    programmes = await _load_all(w, tables.Programme, facts["programmes"], "code", _programme)
    by_source = {source: programmes[row["code"]] for row in facts["programmes"] for source in row["sources"]}
    institutions = await _load_all(w, tables.Institution, facts["institutions"], "id", _institution)
    countries = {row["id"]: row["country"] for row in facts["institutions"]}
    memorandum_codes = await _codes(w, tables.Memorandum)
    for row in facts["memoranda"]:
        if row["id"] not in memorandum_codes:
            _add_memorandum(w, row, by_source[row["source"]], institutions, countries, facts["programmes"])
    await w.flush()
    memorandum_ids = await _codes(w, tables.Memorandum)
    activity_codes = await _codes(w, tables.Activity)
    for row in facts["activities"]:
        if row["id"] not in activity_codes:
            await _add_activity(w, row, by_source[row["source"]], memorandum_ids, institutions)
    await _load_milestones(w, facts, by_source)
    await _load_statistics(w, facts, by_source)


async def load_demo(w: Work) -> None:
    """Add the demo's people, and activate the two memoranda that they work under; repeating it changes nothing.

    `load` comes first. The activation is marked `demo`: no source states it.
    """
    institutions = await _codes(w, tables.Institution)
    programmes = await _codes(w, tables.Programme)
    emails = set((await w.sql(sa.select(sa.func.lower(col(tables.Person.email))))).scalars())
    for demo in demo_people.DEMO_PEOPLE:
        if demo.email not in emails:
            demo_people.add(w, demo, institutions, programmes)
    await w.flush()
    rows = await w.sql(sa.select(tables.Memorandum).where(col(tables.Memorandum.code).in_(DEMO_ACTIVATED)))
    for row in rows.scalars().all():
        if row.status == "signed":
            programme = await w.read(tables.Programme, row.programme_id)
            since = availability.local_date(w.now - _ACTIVE_SINCE, programme.zone)
            await memoranda.transition(w, row, "active", since, "For the demo; no source states it", is_demo=True)


async def make_admin(w: Work, email: str) -> None:
    """Make the person with this address, known or new, an admin of every programme; raises Unmailable."""
    email = email_addresses.requires_carried("/email", email, utf8=w.carries_utf8)
    result = await w.sql(sa.select(tables.Person).where(sa.func.lower(col(tables.Person.email)) == email.lower()))
    person = result.scalar_one_or_none()
    if person is None:
        admin = demo_people.DemoPerson(email=email, name=email.partition("@")[0], role="programme_admin")
        demo_people.add(w, admin, {}, await _codes(w, tables.Programme))
        return
    granted = await w.sql(
        sa.select(col(tables.RoleGrant.programme_id)).where(
            col(tables.RoleGrant.person_id) == person.id, col(tables.RoleGrant.role) == "programme_admin"
        )
    )
    missing = set((await _codes(w, tables.Programme)).values()) - set(granted.scalars())
    w.add(
        *(
            tables.RoleGrant(
                id=clock.new_id(),
                person_id=person.id,
                role="programme_admin",
                programme_id=programme_id,
                created_at=w.now,
            )
            for programme_id in sorted(missing)
        )
    )


def _data(name: str) -> str:
    return resources.files("service").joinpath("data", name).read_text(encoding="utf-8")


async def _codes(w: Work, kind: Any) -> dict[str, UUID]:  # noqa: ANN401 - a table with a code
    rows = await w.sql(sa.select(col(kind.code), col(kind.id)).where(col(kind.code).is_not(None)))
    return {row.code: row.id for row in rows}


async def _load_all(
    w: Work,
    kind: Any,  # noqa: ANN401 - as above
    rows: Sequence[Json],
    key: str,
    make: Callable[[Work, Json], Any],
) -> dict[str, UUID]:
    codes = await _codes(w, kind)
    w.add(*(make(w, row) for row in rows if row[key] not in codes))
    await w.flush()
    return await _codes(w, kind)


async def _load_specialties(w: Work) -> None:
    rows = list(csv.DictReader(_data("specialties.csv").splitlines()))
    codes = set((await w.sql(sa.select(col(tables.Specialty.code)))).scalars())
    new = [row for row in rows if row["code"] not in codes]
    for row in sorted(new, key=lambda row: int(row["level"])):  # parents first
        w.add(
            tables.Specialty(
                code=row["code"],
                parent_code=row["parent"] or None,
                name_en=row["name_en"],
                name_uk=row["name_uk"],
                snomed_ct=row["snomed_ct"] or None,
                is_bookable=row["bookable"] == "yes",
            )
        )
    w.add(
        *(
            tables.SpecialtyParent(code=row["code"], also_parent_code=parent)
            for row in new
            for parent in row["also_parents"].replace(";", " ").split()
        )
    )
    await w.flush()


def _programme(w: Work, row: Json) -> tables.Programme:
    return tables.Programme(
        id=clock.new_id(),
        code=row["code"],
        name=row["name"],
        name_en=row["name_en"],
        country=row["country"],
        zone=row["timezone"],
        created_at=w.now,
    )


def _institution(w: Work, row: Json) -> tables.Institution:
    return tables.Institution(
        id=clock.new_id(),
        code=row["id"],
        name=row["name"],
        name_en=row["name_en"],
        kind=row["kind"],
        country=row["country"],
        region=row["region_iso"],
        city=row["city"],
        zone=row["timezone"],
        sources=row["sources"],
        note=row["note"],
        created_at=w.now,
    )


def _add_memorandum(
    w: Work,
    row: Json,
    programme_id: UUID,
    institutions: Mapping[str, UUID],
    countries: Mapping[str, str],
    programmes: Sequence[Json],
) -> None:
    """Add a published memorandum; its requesting side is the one in the programme's country."""
    home_country = next(programme["country"] for programme in programmes if row["source"] in programme["sources"])
    is_signed = row["status"] == "signed"
    signed_on = row["signed_date"] or row["signed_by"]
    notes = [row["note"]] if is_signed else [row["note"], f"Published as {row['status']}, by {signed_on}."]
    memorandum_id = clock.new_id()
    w.add(
        tables.Memorandum(
            id=memorandum_id,
            code=row["id"],
            programme_id=programme_id,
            kind=KIND_OF_MEMORANDUM.get(row["kind"], row["kind"]),
            status=STATUS.get(row["status"], row["status"]),
            signed_on=date.fromisoformat(signed_on) if is_signed and signed_on else None,
            signed_precision=row["date_precision"] if is_signed and signed_on else "unknown",
            activities=row["activities"],
            source=row["source"],
            note=" ".join(filter(None, notes)) or None,
            created_at=w.now,
        ),
        tables.LogHead(memorandum_id=memorandum_id, position=0, hash=chain.GENESIS),
    )
    for code in row["parties"]:
        side: vocabulary.Side = "requesting" if countries[code] == home_country else "partner"
        w.add(tables.MemorandumParty(memorandum_id=memorandum_id, institution_id=institutions[code], side=side))
    w.add(*(tables.MemorandumArea(memorandum_id=memorandum_id, specialty_code=code) for code in row["areas"]))


async def _add_activity(
    w: Work, row: Json, programme_id: UUID, memorandum_ids: Mapping[str, UUID], institutions: Mapping[str, UUID]
) -> None:
    """Add a published activity; one that names a memorandum is an entry of its chain."""
    kind = KIND_OF_ACTIVITY.get(row["kind"], row["kind"])
    is_known = kind in vocabulary.ACTIVITY_KINDS
    activity_id = clock.new_id()
    activity = tables.Activity(
        id=activity_id,
        code=row["id"],
        programme_id=programme_id,
        memorandum_id=memorandum_ids[row["memorandum"]] if row["memorandum"] else None,
        kind=kind if is_known else "other",
        published_kind=row["kind"] if not is_known or kind != row["kind"] else None,
        period=row["period"],
        from_on=date.fromisoformat(row["start"]) if row["start"] else None,
        until_on=date.fromisoformat(row["end"]) + timedelta(days=1) if row["end"] else None,
        days=row["duration_days"],
        people_count=row["people"],
        people_op="=" if row["people"] is not None else None,
        note=w.seal(row["description"], activity_id),
        source=row["source"],
        created_at=w.now,
    )
    places = [
        activities.Place(institutions[code], direction)
        for direction in vocabulary.DIRECTIONS
        for code in row[f"{direction}_institutions"]
    ]
    await activities.add(w, activity, row["specialties"], places)


async def _load_statistics(w: Work, facts: Json, by_source: Mapping[str, UUID]) -> None:
    """Add the published counts with their operators, each with its source."""
    rows = await w.sql(
        sa.select(
            col(tables.Statistic.programme_id), col(tables.Statistic.key), sa.func.coalesce(tables.Statistic.as_of, "")
        )
    )
    existing = {tuple(row) for row in rows}
    for row in facts["statistics"]:
        programme_id = by_source[row["source"]]
        if (programme_id, row["key"], row["as_of"] or "") not in existing:
            w.add(
                tables.Statistic(
                    id=clock.new_id(),
                    programme_id=programme_id,
                    key=row["key"],
                    op=row["op"],
                    value=row["value"],
                    as_of=row["as_of"],
                    source=row["source"],
                    citation=_citation(facts, [row["source"]]),
                )
            )


def _citation(facts: Json, sources: Sequence[str]) -> str:
    """Name the publications: publisher, title, date, as far as they state them."""
    publications = {row["id"]: row for row in facts["sources"]}
    return "; ".join(
        ", ".join(
            filter(
                None, (row["publisher"] or row["attribution"], row["title"], row["published"] and row["published"][:10])
            )
        )
        for row in (publications[source] for source in sources)
    )


async def _load_milestones(w: Work, facts: Json, by_source: Mapping[str, UUID]) -> None:
    rows = await w.sql(sa.select(col(tables.Milestone.programme_id), col(tables.Milestone.on_text)))
    existing = {tuple(row) for row in rows}
    for row in facts["programme_milestones"]:
        programme_id = by_source[row["sources"][0]]
        if (programme_id, row["date"]) not in existing:
            w.add(
                tables.Milestone(
                    id=clock.new_id(),
                    programme_id=programme_id,
                    on_text=row["date"],
                    precision=row["precision"],
                    total_memoranda=row["total_memoranda"],
                    added=row["added"],
                    event=row["event"],
                    sources=",".join(row["sources"]),
                    citation=_citation(facts, row["sources"]),
                )
            )
