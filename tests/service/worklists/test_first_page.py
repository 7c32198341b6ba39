"""The first page lists calls and proposals in one statement each: the same as is made of whole rows, in that order."""

import random
from collections.abc import Sequence
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import Range
from sqlmodel import col

import build
from service import tables, vocabulary
from service.care import appointments
from service.kernel.work import Work
from service.worklists import first_page, waiting

SEEDS = range(2)


async def made_up(w: Work, dice: random.Random) -> Sequence[tables.Person]:
    """A few dozen offers and booked times of two mentors of one hospital and one of another; gives who looks."""
    asking, lille, other = await build.institution(w), await build.partner(w), await build.partner(w)
    clinicians = [await build.clinician(w, asking, zone=zone) for zone in ("Europe/Kyiv", "Europe/Uzhgorod")]
    mentors = [await build.mentor(w, lille), await build.mentor(w, lille), await build.mentor(w, other)]
    memorandum = await build.memorandum(w, asking, lille)
    both = await build.coordinator(w, lille)
    await build.grant(w, mentors[0], "coordinator", lille)
    for number in range(40):
        state = dice.choice(["open", "offered", "scheduled", "scheduled", "completed"])
        due = w.now + timedelta(hours=5 + number) if state == "scheduled" and dice.random() < 0.7 else None
        case = await build.consultation(
            w,
            dice.choice(clinicians),
            asking,
            state=state,
            priority=dice.choice(vocabulary.PRIORITIES),
            advice_due_at=due,
            closed_at=w.now if state == "completed" else None,
        )
        starts = [w.now + timedelta(minutes=30 * dice.randrange(-20, 200)) for _ in range(dice.randrange(4))]
        offer_state = dice.choice(["pending", "pending", "countered", "accepted", "accepted", "declined"])
        await build.offer(
            w,
            case,
            dice.choice(mentors),
            memorandum,
            state=offer_state,
            starts=starts,
            counter_starts=[w.now + timedelta(days=2)] if offer_state == "countered" else [],
            answer_by=w.now + timedelta(hours=dice.randrange(-9, 30)),
            ended_at=w.now if offer_state == "accepted" and dice.random() < 0.3 else None,
        )
        if dice.random() < 0.5:
            await _booked(w, dice, case, dice.choice(mentors), memorandum)
    await w.flush()
    return [*mentors, *clinicians, both]


async def _booked(
    w: Work, dice: random.Random, case: tables.Consultation, mentor: tables.Person, memorandum: tables.Memorandum
) -> None:
    """Seats of two people must not overlap, so each appointment has a time of its own, and a seat anywhere."""
    at = w.now + timedelta(minutes=30 * dice.randrange(-1500, 200), seconds=dice.randrange(9))
    status = dice.choice(["booked", "cancelled", "pending", "fulfilled"])
    held_until = w.now + timedelta(minutes=dice.choice((-5, 5))) if status == "pending" else None
    row = await build.appointment(
        w, case, mentor, memorandum, starts_at=at, status="cancelled", minutes=dice.choice((15, 90))
    )
    row.status, row.held_until = status, held_until
    await w.flush()
    during = Range(row.starts_at, row.ends_at + timedelta(minutes=10))
    overlaps = col(tables.Seat.during).op("&&")(during)
    if not (await w.sql(sa.select(tables.Seat).where(col(tables.Seat.person_id) == mentor.id, overlaps))).first():
        w.add(tables.Seat(appointment_id=row.id, person_id=mentor.id, during=during, held_until=held_until))
        await w.flush()


async def calls(w: Work) -> list[tuple[object, ...]]:
    """The oracle: rows as the ORM loads them, and who takes part as any other list of appointments tells it."""
    row = tables.Appointment
    rows = await w.sql(
        sa.select(row)
        .join(tables.Participant, col(tables.Participant.appointment_id) == col(row.id))
        .where(col(tables.Participant.person_id) == w.actor.person_id, col(row.status).in_(vocabulary.LIVE_APPOINTMENT))
        .where(col(row.ends_at) > w.now)
        .order_by(col(row.starts_at), col(row.id))
        .limit(first_page.MOST)
    )
    return [
        (view.row.id, view.row.status, view.row.starts_at, [each.zone for each in view.participants])
        for view in await appointments.views(w, list(rows.scalars()))
    ]


async def proposals(w: Work) -> list[tuple[object, ...]]:
    row = tables.Offer
    is_theirs = col(row.institution_id).in_(w.actor.institutions("coordinator"))
    rows = await w.sql(
        sa.select(row)
        .where(col(row.state) == "countered", sa.or_(col(row.mentor_id) == w.actor.person_id, is_theirs))
        .order_by(col(row.answered_at), col(row.id))
    )
    return [(offer.id, offer.mentor_id, offer.counter_starts) for offer in rows.scalars()]


async def test_the_first_page_lists_calls_and_proposals_as_their_rows_are(w: Work) -> None:
    seen = set()
    for seed in SEEDS:
        for who in await made_up(w, random.Random(seed)):
            w.actor = await build.actor(w, who)
            page = await first_page.read(w)
            assert [(call.id, call.status, call.starts_at, list(call.zones)) for call in page.calls] == await calls(w)
            assert [(each.id, each.mentor_id, list(each.counter_starts)) for each in page.proposals] == (
                await proposals(w)
            )
            assert list(page.waiting) == list(await waiting.entries(w, w.actor, limit=first_page.MOST))
            seen |= {(bool(page.calls), "calls"), (bool(page.proposals), "proposals")}
    assert seen == {(has, what) for has in (True, False) for what in ("calls", "proposals")}
