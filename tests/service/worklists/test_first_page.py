"""The first page lists offers and meetings in one statement each: the same as is made of whole rows, in that order."""

import random
from collections.abc import Sequence
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import Range
from sqlmodel import col

import build
from service import tables, vocabulary
from service.care import appointments, offers
from service.kernel.work import Work
from service.worklists import page_views

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


async def listed_offers(w: Work, *conditions: sa.ColumnElement[bool]) -> list[dict[str, object]]:
    """The oracle: rows as the ORM loads them, and their free times as any other list of offers tells them."""
    offer, case = tables.Offer, tables.Consultation
    rows = (
        await w.sql(
            sa.select(offer)
            .join(case, col(case.id) == col(offer.consultation_id))
            .where(*conditions)
            .order_by(col(offer.answer_by), col(offer.id))
            .limit(page_views.MOST)
        )
    ).scalars()
    people = {row.id: row for row in (await w.sql(sa.select(tables.Person))).scalars()}
    return [
        {
            "id": view.row.id,
            "state": view.row.state,
            "kind": view.row.kind,
            "answer_by": view.row.answer_by,
            "mentor_id": view.row.mentor_id,
            "mentor": people[view.row.mentor_id].display_name,
            "consultation_id": view.consultation.id,
            "priority": view.consultation.priority,
            "advice_due_at": view.consultation.advice_due_at,
            "clinician_zone": people[view.consultation.clinician_id].zone,
            "starts": list(view.starts),
        }
        for view in await offers.views(w, list(rows))
    ]


def shown(cards: Sequence[page_views.AskedCard]) -> list[dict[str, object]]:
    left_out = {"is_promised", "name_en", "name_uk"}
    return [{name: getattr(card, name) for name in card.__dataclass_fields__ if name not in left_out} for card in cards]


async def meetings(w: Work) -> list[tuple[object, ...]]:
    row = tables.Appointment
    rows = await w.sql(
        sa.select(row)
        .join(tables.Participant, col(tables.Participant.appointment_id) == col(row.id))
        .where(col(tables.Participant.person_id) == w.actor.person_id, col(row.status).in_(vocabulary.LIVE_APPOINTMENT))
        .where(col(row.ends_at) > w.now - page_views.STILL_TO_LOG)
        .order_by(col(row.starts_at), col(row.id))
        .limit(page_views.MOST)
    )
    return [
        (view.row.consultation_id, view.row.status, view.row.starts_at, [each.zone for each in view.participants])
        for view in await appointments.views(w, list(rows.scalars()))
    ]


async def test_the_first_page_lists_offers_and_meetings_as_their_rows_are(w: Work) -> None:
    offer, case = tables.Offer, tables.Consultation
    seen = set()
    for seed in SEEDS:
        for who in await made_up(w, random.Random(seed)):
            w.actor = await build.actor(w, who)
            home = await page_views.home(w)
            mine = col(offer.mentor_id) == who.id
            theirs = sa.or_(mine, col(offer.institution_id).in_(w.actor.institutions("coordinator")))
            is_open = sa.and_(col(offer.state) == "pending", col(offer.answer_by) > w.now)
            waiting = await listed_offers(w, theirs, sa.or_(is_open, col(offer.state) == "countered"))
            promised = await listed_offers(
                w,
                mine,
                col(offer.state) == "accepted",
                col(offer.ended_at).is_(None),
                col(case.state) == "scheduled",
                col(case.advice_due_at).is_not(None),
            )
            assert shown(home.offers) == waiting
            assert shown(home.to_write) == promised
            assert [(m.consultation_id, m.status, m.starts_at, list(m.zones)) for m in home.meetings] == (
                await meetings(w)
            )
            seen |= {bool(waiting), (bool(promised), "promised"), (bool(home.meetings), "met")}
            seen |= {len(card["starts"]) for card in waiting}  # type: ignore[arg-type]
    assert seen >= {True, False, (True, "promised"), (True, "met"), 2}
