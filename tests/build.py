"""Rows for tests, with defaults that are right together: Chernihiv asks, Lille answers, paediatrics, a memorandum.

Each builder inserts and gives the row back; what a test does not name, it does not care about. Rows go in directly:
no verb runs, no event is recorded.
"""

# ruff: noqa: ANN401 - a builder takes what the columns take

import itertools
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import Range
from sqlmodel import SQLModel, col

from integrations.runtime.world import World
from service import tables, vocabulary
from service.kernel import clock
from service.kernel.actor import STRANGER, Actor, Grant
from service.kernel.work import Work
from service.rules.time import availability
from service.vocabulary import SCOPES

Row = TypeVar("Row", bound=SQLModel)
TREE = {
    "medicine": None,
    "paediatrics": "medicine",
    "neonatology": "paediatrics",
    "oncology": "medicine",
    "surgery": None,
    "neurosurgery": "surgery",
    "urology": "surgery",
}
WORKING_WEEK = [(day, 9 * 60, 17 * 60) for day in range(5)]
_serial = itertools.count(1)


async def add(w: Work, *rows: Row) -> Row:
    """Insert, and give the first one back."""
    w.add(*rows)
    await w.flush()
    return rows[0]


async def specialty(w: Work, code: str = "paediatrics", parent: str | None = None, **fields: Any) -> str:
    """Have the specialty and its parents; codes of TREE know theirs."""
    if await w.find(tables.Specialty, code):
        return code
    parent = parent or TREE.get(code)
    if parent:
        await specialty(w, parent)
    defaults: dict[str, Any] = {"name_en": code.title(), "name_uk": code, "is_bookable": True}
    await add(w, tables.Specialty(code=code, parent_code=parent, **(defaults | fields)))
    return code


async def programme(w: Work, **fields: Any) -> tables.Programme:
    """Give the one programme of the test; another one when its `code` is named."""
    code = fields.pop("code", "ua-partnership")
    found = await _first(w, tables.Programme, col(tables.Programme.code) == code)
    if found:
        return found
    defaults: dict[str, Any] = {
        "name": "Програма",
        "name_en": "Programme",
        "country": "UA",
        "zone": "Europe/Kyiv",
        "created_at": w.now,
    }
    return await add(w, tables.Programme(id=clock.new_id(), code=code, **(defaults | fields)))


async def institution(w: Work, **fields: Any) -> tables.Institution:
    """Make a Ukrainian hospital, unless told otherwise."""
    number = next(_serial)
    defaults: dict[str, Any] = {
        "name": f"Лікарня {number}",
        "name_en": f"Hospital {number}",
        "kind": "hospital",
        "country": "UA",
        "zone": "Europe/Kyiv",
        "city": "Chernihiv",
        "created_at": w.now,
    }
    return await add(w, tables.Institution(id=clock.new_id(), **(defaults | fields)))


async def partner(w: Work, **fields: Any) -> tables.Institution:
    """Make a French hospital."""
    return await institution(w, **({"country": "FR", "zone": "Europe/Paris", "city": "Lille"} | fields))


async def person(w: Work, **fields: Any) -> tables.Person:
    """Make a person without any role."""
    number = next(_serial)
    defaults: dict[str, Any] = {
        "id": clock.new_id(),
        "email": f"person{number}@hospital.example",
        "display_name": f"Person {number}",
        "locale": "uk",
        "zone": "Europe/Kyiv",
        "created_at": w.now,
    }
    return await add(w, tables.Person(**(defaults | fields)))


async def grant(
    w: Work,
    who: tables.Person,
    role: vocabulary.Role,
    place: tables.Institution | tables.Programme,
    department: str | None = None,
) -> tables.RoleGrant:
    """Let the person hold the role there."""
    where: dict[str, Any] = {"programme_id" if isinstance(place, tables.Programme) else "institution_id": place.id}
    return await add(
        w,
        tables.RoleGrant(
            id=clock.new_id(), person_id=who.id, role=role, department=department, created_at=w.now, **where
        ),
    )


async def clinician(w: Work, at: tables.Institution, *, department: str | None = None, **fields: Any) -> tables.Person:
    """Make a clinician of the institution, of no recorded department."""
    who = await person(w, **fields)
    await grant(w, who, "clinician", at, department)
    return who


async def coordinator(w: Work, at: tables.Institution, **fields: Any) -> tables.Person:
    """Make a coordinator of the institution."""
    return await _with_role(w, "coordinator", at, **fields)


async def admin(w: Work, of: tables.Programme | None = None, **fields: Any) -> tables.Person:
    """Make an admin of the programme."""
    return await _with_role(w, "programme_admin", of or await programme(w), **fields)


async def mentor(
    w: Work,
    at: tables.Institution | None = None,
    *,
    specialties: Iterable[str] = ("paediatrics",),
    languages: Mapping[str, vocabulary.LanguageLevel] = {"en": "C1"},
    weekly: Iterable[tuple[int, int, int]] = WORKING_WEEK,
    verified_until: datetime | None = datetime(2028, 1, 1, tzinfo=UTC),
    profile: Mapping[str, Any] = {},
    **fields: Any,
) -> tables.Person:
    """Make a verified mentor with working hours Monday to Friday, 09 to 17 in their own zone.

    `weekly` is (weekday, from minute, until minute); `profile` overrides columns of the mentor's profile.
    """
    at = at or await partner(w)
    who = await _with_role(w, "mentor", at, **({"locale": "en", "zone": at.zone or "Europe/Paris"} | fields))
    for code in specialties:
        await specialty(w, code)
    of_profile: dict[str, Any] = {
        "person_id": who.id,
        "institution_id": at.id,
        "verified_until": verified_until,
        "availability_zone": who.zone,
        "treats_children": True,
        "created_at": w.now,
    }
    await add(w, tables.MentorProfile(**(of_profile | dict(profile))))
    hours = [
        tables.WeeklyHours(id=clock.new_id(), person_id=who.id, weekday=day, from_minute=start, until_minute=end)
        for day, start, end in weekly
    ]
    await _add_all(w, [tables.MentorSpecialty(person_id=who.id, specialty_code=code) for code in specialties])
    await _add_all(
        w,
        [tables.PersonLanguage(person_id=who.id, code=code, level=level) for code, level in languages.items()],
    )
    await _add_all(w, hours)
    return who


async def memorandum(
    w: Work,
    requesting: tables.Institution | Iterable[tables.Institution],
    partners: tables.Institution | Iterable[tables.Institution],
    *,
    areas: Iterable[str] = (),
    **fields: Any,
) -> tables.Memorandum:
    """Make an active memorandum, valid from 2026 until 2029, without a budget."""
    defaults: dict[str, Any] = {
        "kind": "bilateral",
        "status": "active",
        "signed_on": date(2025, 12, 1),
        "signed_precision": "on",
        "valid_from": date(2026, 1, 1),
        "valid_until": date(2029, 1, 1),
        "activities": ["teleconsultation"],
        "created_at": w.now,
    }
    if "programme_id" not in fields:
        defaults["programme_id"] = (await programme(w)).id
    made = await add(w, tables.Memorandum(id=clock.new_id(), **(defaults | fields)))
    sides: tuple[tuple[vocabulary.Side, Any], ...] = (("requesting", requesting), ("partner", partners))
    await _add_all(
        w,
        [
            tables.MemorandumParty(memorandum_id=made.id, institution_id=party.id, side=side)
            for side, parties in sides
            for party in ([parties] if isinstance(parties, tables.Institution) else parties)
        ],
    )
    for code in areas:
        await specialty(w, code)
    await _add_all(w, [tables.MemorandumArea(memorandum_id=made.id, specialty_code=code) for code in areas])
    return made


async def consultation(
    w: Work, by: tables.Person, at: tables.Institution, *, question: str = "What next?", **fields: Any
) -> tables.Consultation:
    """Make an open live consultation of the clinician, routine, due in seven days; no offers are out."""
    id_ = clock.new_id()
    code = await specialty(w, str(fields.pop("specialty_code", "paediatrics")))
    defaults: dict[str, Any] = {
        "institution_id": at.id,
        "clinician_id": by.id,
        "created_by": by.id,
        "priority": "routine",
        "mode": "live",
        "state": "open",
        "question": w.seal(question, id_),
        "languages": ["en"],
        "age_band": "child",
        "duration_minutes": 30,
        "consent_scope": "general",
        "consent_given_on": w.now.date(),
        "opened_at": w.now,
        "answer_due_at": w.now + timedelta(days=7),
        "created_at": w.now,
    }
    if "programme_id" not in fields:
        defaults["programme_id"] = (await programme(w)).id
    return await add(w, tables.Consultation(id=id_, specialty_code=code, **(defaults | fields)))


async def offer(
    w: Work,
    consultation: tables.Consultation,
    mentor: tables.Person,
    memorandum: tables.Memorandum,
    **fields: Any,
) -> tables.Offer:
    """Make a pending offer of wave 1 with one start, tomorrow at 10:00Z, to be answered within a day."""
    profile = await w.find(tables.MentorProfile, mentor.id)
    if profile is None:
        raise LookupError(mentor.id)
    tomorrow = (w.now + timedelta(days=1)).replace(hour=10, minute=0, second=0, microsecond=0)
    defaults: dict[str, Any] = {
        "consultation_id": consultation.id,
        "mentor_id": mentor.id,
        "institution_id": profile.institution_id,
        "memorandum_id": memorandum.id,
        "route": "direct",
        "kind": consultation.mode,
        "state": "pending",
        "wave": 1,
        "starts": [tomorrow],
        "sent_at": w.now,
        "answer_by": w.now + timedelta(days=1),
        "created_at": w.now,
    }
    return await add(w, tables.Offer(id=clock.new_id(), **(defaults | fields)))


async def appointment(
    w: Work,
    consultation: tables.Consultation,
    mentor: tables.Person,
    memorandum: tables.Memorandum,
    *,
    starts_at: datetime | None = None,
    minutes: int = 30,
    **fields: Any,
) -> tables.Appointment:
    """Make a booked appointment, tomorrow at 10:00Z, with its participants and seats; the consultation is untouched."""
    starts_at = starts_at or (w.now + timedelta(days=1)).replace(hour=10, minute=0, second=0, microsecond=0)
    ends_at = starts_at + timedelta(minutes=minutes)
    defaults: dict[str, Any] = {
        "consultation_id": consultation.id,
        "memorandum_id": memorandum.id,
        "route": "direct",
        "status": "booked",
        "starts_at": starts_at,
        "ends_at": ends_at,
        "tzdata_version": "2026c",
        "dtstamp": w.now,
        "created_at": w.now,
    }
    offers = {"mentor": fields.pop("offer_id", None)}
    made = await add(w, tables.Appointment(id=clock.new_id(), **(defaults | fields)))
    profile = await w.read(tables.MentorProfile, mentor.id)
    sides = (
        (consultation.clinician_id, "clinician", consultation.institution_id, "Europe/Kyiv"),
        (mentor.id, "mentor", profile.institution_id, "Europe/Paris"),
    )
    for who, role, place, zone in sides:
        wall = availability.to_wall(starts_at, zone)
        taking_part: dict[str, Any] = {
            "person_id": who,
            "role": role,
            "institution_id": place,
            "zone": zone,
            "wall": wall,
            "offer_id": offers.get(role),
        }
        await add(w, tables.Participant(appointment_id=made.id, status="accepted", **taking_part))
        if made.status in ("pending", "booked"):
            await seat(w, made, who)
    return made


async def seat(w: Work, appointment: tables.Appointment, person_id: UUID, buffer_minutes: int = 10) -> tables.Seat:
    """Occupy the person for the appointment and the buffer behind it."""
    until = appointment.ends_at + timedelta(minutes=buffer_minutes)
    return await add(
        w,
        tables.Seat(
            appointment_id=appointment.id,
            person_id=person_id,
            during=Range(appointment.starts_at, until),
            held_until=appointment.held_until,
        ),
    )


async def webhook(w: Work, place: tables.Institution, **fields: Any) -> tuple[tables.WebhookEndpoint, tables.Delivery]:
    """Make an endpoint of this institution, with a delivery that is due."""
    defaults: dict[str, Any] = {"url": "https://hospital.example/in", "created_at": w.now}
    endpoint = tables.WebhookEndpoint(id=clock.new_id(), institution_id=place.id, **(defaults | fields))
    await add(w, endpoint)
    delivery = tables.Delivery(
        id=clock.new_id(),
        kind="webhook",
        endpoint_id=endpoint.id,
        body='{"type": "webhook_endpoint.test"}',
        next_attempt_at=w.now,
        created_at=w.now,
    )
    return endpoint, await add(w, delivery)


async def rehearsal(w: Work, programme: tables.Programme, **fields: Any) -> tables.Rehearsal:
    """Add a rehearsal that is done."""
    columns: dict[str, Any] = {
        "id": clock.new_id(), "programme_id": programme.id, "from_at": w.now - timedelta(days=30), "until_at": w.now,
        "state": "done", "decisions": 0, "created_at": w.now, "settled_at": w.now, **fields,
    }  # fmt: skip
    return await add(w, tables.Rehearsal(**columns))


async def actor(w: Work, who: tables.Person) -> Actor:
    """Give the person as whoever acts, with the grants they hold now."""
    rows = (await w.sql(sa.select(tables.RoleGrant).where(col(tables.RoleGrant.person_id) == who.id))).scalars()
    grants = frozenset(Grant(row.role, row.institution_id, row.programme_id, row.department) for row in rows)
    programmes = (await w.sql(sa.select(tables.Programme))).scalars()
    days = frozenset((availability.local_date(w.now, programme.zone), programme.id) for programme in programmes)
    return Actor("person", who.id, grants, days=days)


async def system(w: Work, at: tables.Institution, **fields: Any) -> tables.Client:
    """Make a partner system of the institution, with every scope and without a secret."""
    row_id = clock.new_id()
    defaults: dict[str, Any] = {
        "name": "System",
        "scopes": sorted(SCOPES),
        "token_endpoint_auth_method": "client_secret_basic",
        "created_at": w.now,
    }
    who = await person(w, id=row_id, kind="system", email=f"{row_id}@systems.invalid", display_name="System")
    await grant(w, who, "partner_system", at)
    return await add(w, tables.Client(id=row_id, institution_id=at.id, **(defaults | fields)))


async def bearer(
    world: World, who: tables.Person | tables.Client, scopes: Iterable[str] | None = None
) -> dict[str, str]:
    """Give the headers of a request by the person or system, who was committed before; a system has all its scopes."""
    if isinstance(who, tables.Client):
        scopes = who.scopes if scopes is None else scopes
    async with world.database.work(STRANGER) as w:
        token, _ = await world.tokens.issue(w, who.id, clock.new_id(), None if scopes is None else sorted(scopes))
    return {"Authorization": f"Bearer {token}"}


async def _with_role(
    w: Work, role: vocabulary.Role, place: tables.Institution | tables.Programme, **fields: Any
) -> tables.Person:
    who = await person(w, **fields)
    await grant(w, who, role, place)
    return who


async def _add_all(w: Work, rows: Iterable[SQLModel]) -> None:
    w.add(*rows)
    await w.flush()


async def _first(w: Work, kind: type[Row], rule: sa.ColumnElement[bool]) -> Row | None:
    found: Row | None = (await w.sql(sa.select(kind).where(rule))).scalars().first()
    return found
