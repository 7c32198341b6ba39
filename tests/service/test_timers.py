"""The sweep: one poisoned row must not stop the others, and every programme's own numbers count."""

import asyncio
from datetime import timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa

import build
from integrations.runtime.world import World
from service import tables, timers
from service.kernel import actor, clock
from service.kernel.work import Work
from service.registry import published_facts
from world import TestClock


async def test_a_row_that_fails_is_told_and_does_not_stop_the_others(
    world: World, test_clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.database.work(actor.TIMER) as w:
        at = await build.institution(w)
        who = await build.clinician(w, at)
        poison, healthy = [
            await build.consultation(w, who, at, alert_at=test_clock.now(), next_wave_at=None) for _ in range(2)
        ]

    async def act(w: Work, row_id: object) -> None:
        if row_id == poison.id:
            raise LookupError
        (await w.read(tables.Consultation, row_id)).alert_at = None

    made = [timers.Timer("alert", "SELECT id FROM consultation WHERE alert_at <= :now", act)]
    monkeypatch.setattr(timers, "TIMERS", made)
    failed = await timers.once(world.database)
    assert [(failure.timer, failure.row_id, type(failure.error)) for failure in failed] == [
        ("alert", poison.id, LookupError)
    ]
    async with world.database.work(actor.TIMER) as w:
        assert (await w.read(tables.Consultation, healthy.id)).alert_at is None


async def test_case_text_is_forgotten_after_the_programmes_own_days(world: World, test_clock: TestClock) -> None:
    async with world.database.work(actor.TIMER) as w:
        await build.programme(w, policy={"case_text_days": 10})
        at = await build.institution(w)
        who = await build.clinician(w, at)
        closed = await build.consultation(w, who, at, state="completed", closed_at=test_clock.now())
    for days, is_kept in ((9, True), (2, False)):
        test_clock.set(test_clock.now() + timedelta(days=days))
        assert await timers.once(world.database) == []
        async with world.database.work(actor.TIMER) as w:
            row = (await w.sql(sa.text("SELECT question FROM consultation WHERE id = :id"), {"id": closed.id})).one()
            assert (row.question is not None) is is_kept


async def test_the_first_admin_is_made_once_and_holds_every_programme(w: Work) -> None:
    await published_facts.load(w)
    for _ in range(2):
        await published_facts.make_admin(w, "first@ministry.example")
        await w.flush()
    rows = (
        await w.sql(
            sa.text(
                "SELECT count(*) AS grants, count(DISTINCT person_id) AS people,"
                " (SELECT count(*) FROM programme) AS programmes FROM role_grant WHERE role = 'programme_admin'"
            )
        )
    ).one()
    assert (rows.grants, rows.people) == (rows.programmes, 1)


async def test_a_draft_without_consent_lapses_and_its_question_is_forgotten(
    world: World, test_clock: TestClock
) -> None:
    async with world.database.work(actor.TIMER) as w:
        at = await build.institution(w)
        who = await build.clinician(w, at)
        draft = await build.consultation(w, who, at, state="draft", answer_due_at=None, opened_at=None)
    test_clock.forward(days=91)
    assert await timers.once(world.database) == []
    async with world.database.work(actor.TIMER) as w:
        row = (await w.sql(sa.text("SELECT state, question FROM consultation WHERE id = :id"), {"id": draft.id})).one()
        assert (row.state, row.question) == ("cancelled", None)


async def test_the_longest_due_come_first_and_the_rest_with_the_next_sweep(
    world: World, test_clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timers, "BATCH", 2)
    async with world.database.work(actor.TIMER) as w:
        at = await build.institution(w)
        who = await build.clinician(w, at)
        due = [
            await build.consultation(
                w, who, at, alert_at=test_clock.now() - timedelta(minutes=minutes), next_wave_at=None
            )
            for minutes in (1, 3, 2)
        ]
    acted: list[UUID] = []

    async def act(w: Work, row_id: UUID) -> None:
        acted.append(row_id)
        (await w.read(tables.Consultation, row_id)).alert_at = None

    alert = timers.Timer("alert", "SELECT id FROM consultation WHERE alert_at <= :now", act, since="alert_at")
    monkeypatch.setattr(timers, "TIMERS", [alert])
    await timers.once(world.database)
    assert acted == [due[1].id, due[2].id]
    await timers.once(world.database)
    assert acted == [due[1].id, due[2].id, due[0].id]


@pytest.mark.races
async def test_rows_of_a_timer_are_dealt_with_side_by_side_but_not_more_than_it_allows(
    world: World, test_clock: TestClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with world.database.work(actor.TIMER) as w:
        at = await build.institution(w)
        who = await build.clinician(w, at)
        for _ in range(6):
            await build.consultation(w, who, at, alert_at=test_clock.now(), next_wave_at=None)
    inside, most = 0, 0
    both_are_here = asyncio.Barrier(2)

    async def act(w: Work, row_id: UUID) -> None:
        nonlocal inside, most
        row = await w.read(tables.Consultation, row_id)
        inside, most = inside + 1, max(most, inside + 1)
        async with asyncio.timeout(30):  # one alone would wait for ever
            await both_are_here.wait()
        row.alert_at = None
        inside -= 1

    due = "SELECT id FROM consultation WHERE alert_at <= :now"
    monkeypatch.setattr(timers, "TIMERS", [timers.Timer("alert", due, act, at_once=2)])
    assert (await timers.once(world.database), most, timers.acted(world.database)) == ([], 2, 6)


@pytest.mark.parametrize("off", [timedelta(hours=1), -timedelta(hours=1)])
async def test_ops_08_a_worker_whose_clock_is_far_off_leaves_the_timers_to_others(
    world: World, test_clock: TestClock, monkeypatch: pytest.MonkeyPatch, off: timedelta
) -> None:
    async with world.database.work(actor.TIMER) as w:
        at = await build.institution(w)
        who = await build.clinician(w, at)
        case = await build.consultation(w, who, at, alert_at=test_clock.now(), next_wave_at=None)

    async def act(w: Work, row_id: UUID) -> None:
        (await w.read(tables.Consultation, row_id)).alert_at = None

    alert = timers.Timer("alert", "SELECT id FROM consultation WHERE alert_at <= :now", act, since="alert_at")
    monkeypatch.setattr(timers, "TIMERS", [alert])

    async def is_alerted() -> bool:
        async with world.database.work(actor.TIMER) as w:
            return (await w.read(tables.Consultation, case.id)).alert_at is None

    right = clock.wall
    with monkeypatch.context() as wrong:
        wrong.setattr(clock, "wall", lambda: right() + off)
        assert await timers.once(world.database) == []
        assert not await is_alerted()
    await timers.once(world.database)
    assert await is_alerted()
