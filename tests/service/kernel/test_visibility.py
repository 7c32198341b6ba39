"""Who sees what is the same in every form: lists and single rows by `visibility`, beside one plain condition a kind."""

# ruff: noqa: ANN401 - lists and their rows are of any kind

import importlib
import os
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import sqlalchemy as sa
from sqlmodel import SQLModel, col

import made_up
import visibility_oracle as oracle
from integrations.runtime.world import World
from service import tables, vocabulary
from service.care import appointments, consultations, offers
from service.kernel import access, errors, paging, visibility
from service.kernel.actor import TIMER, Actor
from service.kernel.work import Work
from service.outbox import events
from service.people import mentors, people
from service.registry import memoranda
from service.worklists import first_page

IS_LONG = os.environ.get("DRILLS") == "1"
SEEDS = range(12) if IS_LONG else range(1)
ORDER = {
    tables.Appointment: ("starts_at", "id"),
    tables.Event: ("position",),
    tables.MentorProfile: ("person_id",),
    tables.Specialty: ("code",),
}


def order_of(kind: type[SQLModel]) -> tuple[str, ...]:
    return ORDER.get(kind, ("id",))


def key_of(kind: type[SQLModel]) -> Any:
    return col(getattr(kind, order_of(kind)[-1]))


async def expected(w: Work, kind: type[SQLModel], actor: Actor, *filters: Any) -> list[Any]:
    """The keys of all that the actor sees, by the plain condition, in the list's order."""
    order = (col(getattr(kind, name)) for name in order_of(kind))
    statement = sa.select(key_of(kind)).where(oracle.RULES[kind](actor), *filters).order_by(*order)
    return list((await w.sql(statement)).scalars())


async def in_pages(w: Work, kind: type[SQLModel], size: int) -> list[Any]:
    """The keys of all that the actor sees, as whoever follows the cursors reads them."""
    found: list[Any] = []
    after: tuple[object, ...] | None = None
    while True:
        rows = await paging.rows(w, kind, after=after, limit=size, order=order_of(kind))
        found += [getattr(row, order_of(kind)[-1]) for row in rows[:size]]
        if len(rows) <= size:
            return found
        after = tuple(getattr(rows[size - 1], name) for name in order_of(kind))


def sample(actors: Sequence[Actor], seed: int) -> list[Actor]:
    """All of them in the drill; else those with every role, and some others."""
    return list(actors) if IS_LONG else [*random.Random(seed).sample(actors[:-6], 3), *actors[-6:-3]]


@pytest.mark.parametrize("seed", SEEDS)
async def test_g1_a_list_shows_in_every_page_size_what_the_plain_condition_says(w: Work, seed: int) -> None:
    made = await made_up.installation(w, seed)
    seen = 0
    for w.actor in sample(made.actors, seed):
        for kind in visibility.RULES:
            keys = await expected(w, kind, w.actor)
            seen += len(keys)
            sizes = {3, max(1, len(keys) - 1), len(keys), len(keys) + 1} if IS_LONG else {max(1, len(keys) - 1)}
            for size in sorted(sizes - {0}):
                assert await in_pages(w, kind, size) == keys, (kind, size, w.actor)
    assert seen > 200


@pytest.mark.parametrize("seed", SEEDS)
async def test_g1_a_row_is_seen_by_its_id_where_the_plain_condition_says_so(w: Work, seed: int) -> None:
    made = await made_up.installation(w, seed)
    everybody = made.actors if IS_LONG else sample(made.actors, seed)
    for actor in everybody:
        for kind in visibility.RULES:
            statement = sa.select(key_of(kind)).where(visibility.is_seen(kind, actor), key_of(kind).is_not(None))
            assert set((await w.sql(statement)).scalars()) == set(await expected(w, kind, actor)), (kind, actor)
        read = sa.select(col(tables.Consultation.id))
        by_rule = set((await w.sql(read.where(visibility.case_text_is_read(actor)))).scalars())
        plainly = set((await w.sql(read.where(oracle.case_text_read(actor)))).scalars())
        assert by_rule == plainly, actor


DOORS: dict[type[SQLModel], Callable[..., Awaitable[Any]]] = {
    tables.Consultation: access.visible_consultation,
    tables.Offer: access.visible_offer,
    tables.Appointment: access.visible_appointment,
    tables.Memorandum: access.visible_memorandum,
    tables.Activity: access.visible_activity,
    tables.Person: access.visible_person,
    tables.MentorProfile: access.visible_mentor,
    tables.Client: access.visible_client,
    tables.WebhookEndpoint: access.visible_webhook_endpoint,
}


@pytest.mark.parametrize("seed", SEEDS)
async def test_g1_the_door_to_a_row_opens_locked_or_not_to_those_alone(w: Work, seed: int) -> None:
    made = await made_up.installation(w, seed)
    chance = random.Random(seed)
    for kind, door in DOORS.items():
        for w.actor in chance.sample(made.actors, 6 if IS_LONG else 2):
            keys = await expected(w, kind, w.actor)
            for row_id in chance.sample(made.ids[kind], 2):
                is_open = True
                try:
                    await door(w, row_id, lock=chance.random() < 0.5)
                except errors.NotFound:
                    is_open = False
                assert is_open == (row_id in keys), (kind, row_id, w.actor)


async def _lists(w: Work, chance: random.Random, limit: int) -> list[tuple[Any, type[SQLModel], list[Any]]]:
    """Each list of the API with filters by chance: what it gives, its kind, and its filters as plain conditions."""
    case, offer, visit, event = tables.Consultation, tables.Offer, tables.Appointment, tables.Event
    state, priority = chance.choice(vocabulary.CONSULTATION_STATES), chance.choice(vocabulary.PRIORITIES)
    specialty, asked = chance.choice(made_up.SPECIALTIES), chance.choice(vocabulary.OFFER_STATES)
    status, types = chance.choice(vocabulary.MEMORANDUM_STATUSES), chance.sample(vocabulary.EVENT_TYPES, 9)
    role = chance.choice(vocabulary.ROLES)
    holders = sa.select(col(tables.RoleGrant.person_id)).where(col(tables.RoleGrant.role) == role)
    active = sa.select(col(tables.Person.id)).where(col(tables.Person.state) == "active")
    page: dict[str, Any] = {"after": None, "limit": limit}
    return [
        (await consultations.page(w, **page, state=state), case, [col(case.state) == state]),
        (
            await consultations.page(w, **page, priority=priority, specialty=specialty),
            case,
            [col(case.priority) == priority, col(case.specialty_code) == specialty],
        ),
        (
            await offers.page(w, **page, state=asked),
            offer,
            [sa.case((col(offer.is_late), "late"), else_=col(offer.state)) == asked],
        ),
        (
            await appointments.page(w, **page, from_at=w.now),
            visit,
            [col(visit.starts_at) >= w.now],
        ),
        (await appointments.page(w, **page, until_at=w.now), visit, [col(visit.starts_at) < w.now]),
        (
            await appointments.page(w, **page, from_at=w.now - timedelta(days=9), until_at=w.now),
            visit,
            [col(visit.starts_at) >= w.now - timedelta(days=9), col(visit.starts_at) < w.now],
        ),
        (
            await events.feed(w, after=40, limit=limit, types=types),
            event,
            [col(event.position) > 40, col(event.type).in_(types)],
        ),
        (
            await memoranda.page(w, **page, status=status),
            tables.Memorandum,
            [col(tables.Memorandum.status) == status],
        ),
        (await people.page(w, **page, role=role), tables.Person, [col(tables.Person.id).in_(holders)]),
        (await mentors.page(w, **page), tables.MentorProfile, [col(tables.MentorProfile.person_id).in_(active)]),
    ]


@pytest.mark.parametrize("seed", SEEDS)
async def test_g1_filters_leave_what_the_plain_condition_leaves(w: Work, seed: int) -> None:
    made = await made_up.installation(w, seed)
    chance = random.Random(seed)
    for w.actor in made.actors[:-2] if IS_LONG else chance.sample(made.actors[:-2], 3):
        for limit in (1, 200):
            for given, kind, filters in await _lists(w, chance, limit):
                keys = [getattr(getattr(each, "row", each), order_of(kind)[-1]) for each in given]
                assert keys == (await expected(w, kind, w.actor, *filters))[: limit + 1], (kind, limit, w.actor)


async def _home_plainly(w: Work, actor: Actor) -> list[UUID]:
    row = tables.Consultation
    of_side = sa.or_(
        col(row.clinician_id) == actor.person_id,
        col(row.institution_id).in_(actor.institutions("clinician", "coordinator")),
        col(row.programme_id).in_(actor.programmes("programme_admin")),
    )
    statement = (
        sa.select(col(row.id))
        .where(oracle.consultations_seen(actor), of_side)
        .order_by(col(row.closed_at).is_not(None), col(row.id).desc())
        .limit(first_page.MOST)
    )
    return list((await w.sql(statement)).scalars())


@pytest.mark.parametrize("most", [3, 50])
@pytest.mark.parametrize("seed", SEEDS)
async def test_g1_the_first_page_shows_unclosed_cases_first_and_no_others_than_before(
    w: Work, seed: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_page, "MOST", most)  # so that unclosed cases alone fill it
    made = await made_up.installation(w, seed)
    for w.actor in made.actors[:-2]:
        shown = [card.id for card in (await first_page.read(w)).consultations]
        assert shown == await _home_plainly(w, w.actor), w.actor


async def _copies(w: Work) -> list[tuple[Any, ...]]:
    """Whose case each offer and appointment is of, and whose its consultation says that it is."""
    found: list[tuple[Any, ...]] = []
    for kind in (tables.Offer, tables.Appointment):
        case, theirs = tables.Consultation, col(kind.consultation_id)
        copied = (kind.case_programme_id, kind.case_institution_id, kind.case_clinician_id, kind.case_department)
        own = (case.programme_id, case.institution_id, case.clinician_id, case.department)
        statement = sa.select(*map(col, copied), *map(col, own)).join_from(kind, case, col(case.id) == theirs)
        found += [(tuple(row[:4]), tuple(row[4:])) for row in await w.sql(statement)]
    return found


async def test_g1_offers_and_appointments_follow_their_consultation_to_another_clinician_or_hospital(w: Work) -> None:
    made = await made_up.installation(w, 1)
    for column in ("clinician_id", "institution_id", "programme_id"):
        kind = tables.Consultation
        other = sa.select(getattr(kind, column)).where(col(kind.id) == made.ids[kind][0]).scalar_subquery()
        moved = sa.update(kind).where(col(kind.id).in_(made.ids[kind][1:20])).values({column: other})
        await w.sql(moved)
        assert all(copy == own for copy, own in await _copies(w)), column
    assert len(await _copies(w)) > 60


async def _starts(w: Work) -> list[tuple[Any, Any]]:
    """When each participant's row says that the appointment starts, and when it does."""
    copied, own = col(tables.Participant.starts_at), col(tables.Appointment.starts_at)
    theirs = col(tables.Participant.appointment_id) == col(tables.Appointment.id)
    return [
        (row[0], row[1])
        for row in await w.sql(sa.select(copied, own).join_from(tables.Participant, tables.Appointment, theirs))
    ]


async def test_g1_participants_follow_their_appointment_to_another_time_and_another_appointment(w: Work) -> None:
    made = await made_up.installation(w, 1)
    visit, participant = tables.Appointment, tables.Participant
    assert len(await _starts(w)) > 60
    assert all(copy == own for copy, own in await _starts(w))
    later = col(visit.starts_at) + timedelta(hours=1)
    await w.sql(sa.update(visit).values(starts_at=later, ends_at=col(visit.ends_at) + timedelta(hours=1)))
    assert all(copy == own for copy, own in await _starts(w))
    first, second = made.ids[visit][:2]
    await w.sql(sa.delete(participant).where(col(participant.appointment_id) == second))
    await w.sql(sa.update(participant).where(col(participant.appointment_id) == first).values(appointment_id=second))
    assert all(copy == own for copy, own in await _starts(w))


@pytest.mark.races  # a database of its own: each lot commits
async def test_g1_participants_from_before_get_their_start_when_the_schema_is_filled_in(world: World) -> None:
    async with world.database.work(TIMER) as w:
        await made_up.installation(w, 1)
        await w.sql(sa.text("UPDATE participant SET starts_at = NULL"))
        assert {copy for copy, _ in await _starts(w)} == {None}
    version = importlib.import_module("migrations.versions.2026_11_30_fill_starts")
    connection = await asyncpg.connect(world.connector.address.text)
    await connection.execute(version._FILL)
    await connection.close()
    async with world.database.work(TIMER) as w:
        assert sum(copy != own for copy, own in await _starts(w)) == 0


@pytest.mark.races  # a database of its own: each lot commits
async def test_g1_what_an_older_program_left_wrong_is_set_right_when_the_schema_is_filled_in(world: World) -> None:
    async with world.database.work(TIMER) as w:
        await made_up.installation(w, 1)
        await w.sql(sa.text("ALTER TABLE consultation DISABLE TRIGGER tg_consultation_case"))
        await w.sql(sa.text("UPDATE consultation SET department = 'another'"))
        await w.sql(sa.text("ALTER TABLE consultation ENABLE TRIGGER tg_consultation_case"))
        assert not any(copy == own for copy, own in await _copies(w))
    version = importlib.import_module("migrations.versions.2026_11_30_fill_cases")
    connection = await asyncpg.connect(world.connector.address.text)
    for table in ("offer", "appointment"):
        await connection.execute(version._FILL.format(table=table))
    await connection.close()
    async with world.database.work(TIMER) as w:
        assert sum(copy != own for copy, own in await _copies(w)) == 0


async def test_g1_a_department_that_is_forgotten_with_the_text_is_forgotten_everywhere(w: Work) -> None:
    made = await made_up.installation(w, 2)
    await w.sql(sa.update(tables.RoleGrant).values(department=None))  # no role names one any more
    before = {copy[3] for copy, _ in await _copies(w)}
    for row_id in made.ids[tables.Consultation]:
        await consultations.forget(w, row_id)
    assert (before, {copy[3] for copy, _ in await _copies(w)}) == (set(made_up.DEPARTMENTS), {None})
