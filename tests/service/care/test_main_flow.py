"""The spine, verb by verb: a request becomes an agreed, invited, logged consultation."""

from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

import build
import flow
from integrations.runtime import mail_delivery
from integrations.runtime.world import World
from service import tables, timers
from service.care import advice, answers, appointments, consultations, manual_offers, sessions
from service.kernel import actor, errors
from service.kernel.actor import Actor
from service.kernel.work import Work
from service.registry import memorandum_log
from service.rules import lifecycle
from world import TestClock


class Scene:
    """Chernihiv asks, Lille answers."""

    def __init__(self, world: World, clock: TestClock) -> None:
        self.world, self.clock = world, clock

    async def set_up(self) -> None:
        async with self.world.database.work(actor.TIMER) as w:
            self.asking = await build.institution(w)
            self.lille = await build.partner(w)
            self.clinician = await build.clinician(w, self.asking)
            self.coordinator = await build.coordinator(w, self.asking)
            self.mentor = await build.mentor(w, self.lille)
            self.rival = await build.mentor(w, self.lille)
            self.memorandum = await build.memorandum(w, self.asking, self.lille)
            self.actors = {
                p.id: await build.actor(w, p) for p in (self.clinician, self.coordinator, self.mentor, self.rival)
            }

    def act(self, person: tables.Person) -> Actor:
        return self.actors[person.id]

    async def do(self, who: tables.Person, verb: Callable[..., Awaitable[Any]], *args: object) -> Any:  # noqa: ANN401
        async with self.world.database.work(self.act(who)) as w:
            return await verb(w, *args)

    async def rows(self, statement: str, **values: object) -> list[Any]:
        async with self.world.database.work(actor.TIMER) as w:
            return list((await w.sql(sa.text(statement), values)).all())

    def wish(self, **fields: object) -> consultations.NewRequest:
        usual = {
            "specialty": "paediatrics",
            "priority": "urgent",
            "mode": "live",
            "question": "A child with a rare syndrome: which dose?",
            "languages": ("en",),
            "age_band": "child",
            "duration_minutes": 30,
            "consent": consultations.ConsentGiven("general", date(2026, 11, 16)),
        }
        return consultations.NewRequest(**usual | fields)  # type: ignore[arg-type]


@pytest.fixture
async def scene(world: World, test_clock: TestClock) -> Scene:
    made = Scene(world, test_clock)
    await made.set_up()
    return made


async def test_a_request_is_offered_accepted_booked_and_logged(scene: Scene) -> None:
    asked = await scene.do(scene.clinician, consultations.request, scene.wish())
    assert asked.state == "offered"
    sent = await scene.rows("SELECT id, mentor_id, starts, state FROM offer")
    assert {row.mentor_id for row in sent} == {scene.mentor.id, scene.rival.id}
    mine = next(row for row in sent if row.mentor_id == scene.mentor.id)
    accepted = await scene.do(scene.mentor, answers.accept, mine.id, mine.starts[0])
    assert accepted.appointment.status == "booked"
    assert [row.state for row in await scene.rows("SELECT state FROM offer ORDER BY state")] == [
        "accepted",
        "withdrawn",
    ]
    scene.clock.set(mine.starts[0] + timedelta(hours=1))
    logged = await scene.do(
        scene.mentor,
        sessions.log,
        accepted.appointment.id,
        sessions.SessionEntry(
            started_at=mine.starts[0], ended_at=mine.starts[0] + timedelta(minutes=25), outcome="advice_given"
        ),
    )
    assert logged.minutes == 25
    (row,) = await scene.rows("SELECT state FROM consultation")
    assert row.state == "completed"
    verified = await scene.do(scene.coordinator, memorandum_log.verification, scene.memorandum.id)
    assert (verified.ok, verified.entries) == (True, 1)


async def test_every_mail_of_the_flow_can_be_composed_and_delivered(scene: Scene) -> None:
    asked = await scene.do(scene.clinician, consultations.request, scene.wish())
    (first, _) = await scene.rows("SELECT id, mentor_id, starts FROM offer ORDER BY mentor_id")
    mentor = scene.mentor if first.mentor_id == scene.mentor.id else scene.rival
    accepted = await scene.do(mentor, answers.accept, first.id, first.starts[0])
    await scene.do(scene.clinician, appointments.cancel, accepted.appointment.id, "illness")
    assert asked.state == "offered"
    for row in await scene.rows("SELECT id FROM delivery ORDER BY id"):  # "no longer needed" waits for its offer
        await mail_delivery.deliver(scene.world, row.id)
    settled = await scene.rows("SELECT state, error, payload->>'template' AS template FROM delivery")
    assert {row.state for row in settled} <= {"delivered", "dropped"}, settled


async def test_written_advice_completes_the_consultation(scene: Scene) -> None:
    asked = await scene.do(scene.clinician, consultations.request, scene.wish(mode="written"))
    (offer, _) = await scene.rows("SELECT id, mentor_id FROM offer")
    mentor = scene.mentor if offer.mentor_id == scene.mentor.id else scene.rival
    accepted = await scene.do(mentor, answers.accept, offer.id, None)
    assert accepted.consultation.advice_due_at is not None
    await scene.do(mentor, advice.give, asked.id, "Give half the dose.", 20)
    _, text = await scene.do(scene.clinician, advice.read, asked.id)
    assert text == "Give half the dose."
    with pytest.raises(errors.AlreadyLogged):
        await scene.do(mentor, advice.give, asked.id, "Again.", 20)


async def test_silence_leads_to_the_next_wave_and_then_to_unmatched(scene: Scene) -> None:
    await scene.do(scene.clinician, consultations.request, scene.wish(priority="routine"))
    for _ in range(2):
        (row,) = await scene.rows("SELECT next_wave_at FROM consultation")
        async with scene.world.database.work(actor.TIMER) as w:
            await w.sql(flow.OFFERS_LEFT)
        scene.clock.set(row.next_wave_at)
        await timers.once(scene.world.database)
    states = await scene.rows("SELECT state, wave FROM offer ORDER BY wave")
    assert [(row.state, row.wave) for row in states] == [("expired", 1), ("expired", 2)]
    (row,) = await scene.rows("SELECT state FROM consultation")
    assert row.state == "unmatched"
    told = await scene.rows("SELECT person_id FROM delivery WHERE payload->>'template' = 'unmatched'")
    assert [row.person_id for row in told] == [scene.coordinator.id]


async def test_a_counter_is_taken_by_the_requesting_side(scene: Scene) -> None:
    await scene.do(scene.clinician, consultations.request, scene.wish())
    (mine,) = await scene.rows("SELECT id, starts FROM offer WHERE mentor_id = :m", m=scene.mentor.id)
    other = mine.starts[-1] + timedelta(hours=1)
    await scene.do(scene.mentor, answers.counter, mine.id, [other])
    taken = await scene.do(scene.clinician, answers.accept_counter, mine.id, other)
    assert (taken.appointment.starts_at, taken.appointment.status) == (other, "booked")


async def test_a_mentors_cancel_opens_the_consultation_again(scene: Scene) -> None:
    await scene.do(scene.clinician, consultations.request, scene.wish(priority="routine"))
    (mine,) = await scene.rows("SELECT id, mentor_id, starts FROM offer")
    mentor = scene.mentor if mine.mentor_id == scene.mentor.id else scene.rival
    accepted = await scene.do(mentor, answers.accept, mine.id, mine.starts[0])
    await scene.do(mentor, appointments.cancel, accepted.appointment.id, "emergency")
    (row,) = await scene.rows("SELECT state FROM consultation")
    assert row.state in lifecycle.SEEKING
    assert await scene.rows("SELECT * FROM seat") == []
    await timers.once(scene.world.database)
    waves = await scene.rows("SELECT mentor_id, state FROM offer ORDER BY wave")
    assert [row.state for row in waves] == ["accepted", "pending"]


async def test_a_coordinator_holds_a_time_and_the_mentors_acceptance_books_it(scene: Scene) -> None:
    asked = await scene.do(scene.clinician, consultations.request, scene.wish(priority="routine"))
    ranking, _ = await scene.do(scene.coordinator, consultations.candidates_of, asked.id)
    chosen = ranking.candidates[0]
    held = await scene.do(scene.coordinator, manual_offers.hold, asked.id, chosen.mentor.person_id, chosen.starts[0])
    assert (held.status, held.sequence) == ("pending", 0)
    mentor = scene.mentor if chosen.mentor.person_id == scene.mentor.id else scene.rival
    (mine,) = await scene.rows("SELECT id FROM offer WHERE mentor_id = :m", m=mentor.id)
    accepted = await scene.do(mentor, answers.accept, mine.id, chosen.starts[0])
    assert (accepted.appointment.id, accepted.appointment.status, accepted.appointment.sequence) == (
        held.id,
        "booked",
        1,
    )


async def test_an_unused_hold_is_let_go_by_the_sweep(scene: Scene) -> None:
    asked = await scene.do(scene.clinician, consultations.request, scene.wish(priority="routine"))
    ranking, _ = await scene.do(scene.coordinator, consultations.candidates_of, asked.id)
    chosen = ranking.candidates[0]
    held = await scene.do(scene.coordinator, manual_offers.hold, asked.id, chosen.mentor.person_id, chosen.starts[0])
    scene.clock.forward(minutes=15)
    await timers.once(scene.world.database)
    (row,) = await scene.rows("SELECT status, cancel_reason FROM appointment WHERE id = :id", id=held.id)
    assert (row.status, row.cancel_reason) == ("cancelled", "hold_expired")
    assert await scene.rows("SELECT * FROM seat") == []


async def test_another_mentor_takes_over_the_same_appointment(scene: Scene) -> None:
    asked = await scene.do(scene.clinician, consultations.request, scene.wish(priority="routine"))
    (mine,) = await scene.rows("SELECT id, mentor_id, starts FROM offer")
    first, second = (scene.mentor, scene.rival) if mine.mentor_id == scene.mentor.id else (scene.rival, scene.mentor)
    accepted = await scene.do(first, answers.accept, mine.id, mine.starts[0])
    offer = await scene.do(scene.coordinator, manual_offers.choose, asked.id, second.id, None, None)
    replaced = await scene.do(second, answers.accept, offer.id, offer.starts[0])
    assert replaced.appointment.id == accepted.appointment.id
    seats = await scene.rows("SELECT person_id FROM seat ORDER BY person_id")
    assert [row.person_id for row in seats] == sorted([scene.clinician.id, second.id])


async def test_a_move_to_a_bookable_time_moves_and_to_another_is_proposed(scene: Scene) -> None:
    await scene.do(scene.clinician, consultations.request, scene.wish(priority="routine"))
    (mine,) = await scene.rows("SELECT id, mentor_id, starts FROM offer")
    mentor = scene.mentor if mine.mentor_id == scene.mentor.id else scene.rival
    booked = (await scene.do(mentor, answers.accept, mine.id, mine.starts[0])).appointment
    later = mine.starts[0] + timedelta(minutes=15)
    moved = await scene.do(scene.clinician, appointments.move, booked.id, later)
    assert (moved.starts_at, moved.sequence) == (later, 1)
    night = later.replace(hour=3) + timedelta(days=1)
    proposed = await scene.do(scene.clinician, appointments.move, booked.id, night)
    assert (proposed.starts_at, proposed.proposed_starts) == (later, [night])
    agreed = await scene.do(mentor, appointments.move, booked.id, night)
    assert (agreed.starts_at, agreed.proposed_starts) == (night, [])


async def test_withdrawing_the_request_frees_the_time(scene: Scene) -> None:
    asked = await scene.do(scene.clinician, consultations.request, scene.wish(priority="routine"))
    (mine,) = await scene.rows("SELECT id, mentor_id, starts FROM offer")
    mentor = scene.mentor if mine.mentor_id == scene.mentor.id else scene.rival
    await scene.do(mentor, answers.accept, mine.id, mine.starts[0])
    await scene.do(scene.clinician, consultations.cancel, asked.id, "resolved_locally")
    assert await scene.rows("SELECT * FROM seat") == []
    (row,) = await scene.rows("SELECT status FROM appointment")
    assert row.status == "cancelled"


async def test_reminders_go_out_a_day_and_an_hour_before(scene: Scene, w: Work) -> None:
    del w
    await scene.do(scene.clinician, consultations.request, scene.wish(priority="routine"))
    (mine,) = await scene.rows("SELECT id, mentor_id, starts FROM offer")
    mentor = scene.mentor if mine.mentor_id == scene.mentor.id else scene.rival
    start = mine.starts[-1]
    await scene.do(mentor, answers.accept, mine.id, start)
    sent = []
    for before in (
        timedelta(hours=24, seconds=1),
        timedelta(hours=24),
        timedelta(hours=1, seconds=1),
        timedelta(hours=1),
    ):
        scene.clock.set(start - before)
        await timers.once(scene.world.database)
        (row,) = await scene.rows("SELECT count(*) AS mails FROM delivery WHERE payload->>'template' = 'reminder'")
        sent.append(row.mails)
    assert sent == [0, 2, 2, 4]


async def test_a_mentor_with_one_session_a_week_can_take_that_one(scene: Scene) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        await w.sql(sa.text("UPDATE mentor_profile SET sessions_per_week = 1"))
    await scene.do(scene.clinician, consultations.request, scene.wish(priority="routine"))
    (mine,) = await scene.rows("SELECT id, mentor_id, starts FROM offer")
    mentor = scene.mentor if mine.mentor_id == scene.mentor.id else scene.rival
    accepted = await scene.do(mentor, answers.accept, mine.id, mine.starts[0])
    assert accepted.appointment.status == "booked"


async def test_written_advice_handed_back_is_asked_of_another_mentor(scene: Scene) -> None:
    await scene.do(scene.clinician, consultations.request, scene.wish(mode="written", priority="routine"))
    (mine,) = await scene.rows("SELECT id, mentor_id FROM offer")
    mentor = scene.mentor if mine.mentor_id == scene.mentor.id else scene.rival
    await scene.do(mentor, answers.accept, mine.id, None)
    await scene.do(mentor, answers.decline, mine.id, "busy")
    await timers.once(scene.world.database)
    states = await scene.rows("SELECT state, ended_at IS NULL AS is_on FROM offer ORDER BY wave")
    assert [(row.state, row.is_on) for row in states] == [("accepted", False), ("pending", True)]


async def test_overdue_advice_goes_to_the_coordinator_who_may_choose_another_mentor(scene: Scene) -> None:
    asked = await scene.do(scene.clinician, consultations.request, scene.wish(mode="written", priority="routine"))
    (mine,) = await scene.rows("SELECT id, mentor_id FROM offer")
    first, second = (scene.mentor, scene.rival) if mine.mentor_id == scene.mentor.id else (scene.rival, scene.mentor)
    await scene.do(first, answers.accept, mine.id, None)
    scene.clock.forward(days=7, minutes=1)
    await timers.once(scene.world.database)
    told = await scene.rows("SELECT person_id FROM delivery WHERE payload->>'template' = 'advice_overdue'")
    assert [row.person_id for row in told] == [scene.coordinator.id]
    offer = await scene.do(scene.coordinator, manual_offers.choose, asked.id, second.id, None, None)
    accepted = await scene.do(second, answers.accept, offer.id, None)
    assert accepted.consultation.state == "scheduled"


async def test_a_time_that_somebody_else_has_is_taken_not_unbookable(scene: Scene) -> None:
    first = await scene.do(scene.clinician, consultations.request, scene.wish())
    (mine,) = await scene.rows("SELECT id, starts FROM offer WHERE mentor_id = :m", m=scene.mentor.id)
    await scene.do(scene.mentor, answers.accept, mine.id, mine.starts[0])
    second = await scene.do(scene.clinician, consultations.request, scene.wish())
    assert first.id != second.id
    with pytest.raises(errors.SlotTaken):
        await scene.do(scene.coordinator, manual_offers.hold, second.id, scene.rival.id, mine.starts[0])


async def test_a_narrower_consent_withdraws_the_offers_to_countries_it_no_longer_names(scene: Scene) -> None:
    asked = await scene.do(scene.clinician, consultations.request, scene.wish())
    narrower = consultations.ConsentGiven("countries", date(2026, 11, 16), ("LT",))
    await scene.do(scene.clinician, consultations.consent, asked.id, narrower)
    states = await scene.rows("SELECT state FROM offer")
    assert {row.state for row in states} == {"withdrawn"}


async def test_a_consultation_follows_only_one_of_the_same_side(scene: Scene) -> None:
    asked = await scene.do(scene.clinician, consultations.request, scene.wish())
    with pytest.raises(errors.DomainError):
        await scene.do(scene.mentor, consultations.request, scene.wish(follows_id=asked.id))
