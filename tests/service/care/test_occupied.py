"""Which times of offers are taken by something else, beside the plain form of the question, over made-up rows."""

import os
import random
from datetime import timedelta

import pytest
import sqlalchemy as sa

import made_up
from service import tables
from service.care import offers
from service.kernel.actor import Actor, Grant
from service.kernel.work import Work
from service.worklists import waiting

SEEDS = range(12) if os.environ.get("DRILLS") == "1" else range(1)
IS_OCCUPIED = """
EXISTS (SELECT FROM seat JOIN person p ON p.id = seat.person_id WHERE seat.person_id IN (o.mentor_id, c.clinician_id)
AND seat.during && tstzrange(at, at + make_interval(mins => c.duration_minutes + p.buffer_minutes))
AND (seat.held_until IS NULL OR seat.held_until > :now)
AND seat.appointment_id NOT IN (SELECT id FROM appointment WHERE consultation_id = c.id))
"""
_SEAT = sa.text("""
INSERT INTO seat (appointment_id, person_id, during, held_until)
VALUES (:appointment, :person, tstzrange(:begin, :end), :held_until)
""")


def plainly(statement: sa.TextClause) -> sa.TextClause:
    text = statement.text
    assert offers.IS_OCCUPIED in text
    made = sa.text(text.replace(offers.IS_OCCUPIED, IS_OCCUPIED))
    made._bindparams.update(statement._bindparams)
    return made


async def seats(w: Work, made: made_up.MadeUp, seed: int) -> None:
    """Occupy people around full hours, at which the offers' times are: until shortly before, over them, or held."""
    chance = random.Random(f"seats {seed}")
    kind = tables.Appointment
    for person in made.ids[tables.Person]:
        taken = chance.sample(made.ids[kind], len(made.ids[kind]) * 3 // 4)
        for hour, appointment in zip(chance.sample(range(-60, 61), len(taken)), taken, strict=True):
            begin = w.now + timedelta(hours=hour, minutes=chance.randint(-25, 5))
            held_until = chance.choice([None, None, w.now + timedelta(hours=1), w.now - timedelta(hours=1)])
            times = {"begin": begin, "end": begin + timedelta(minutes=chance.randint(5, 25)), "held_until": held_until}
            await w.sql(_SEAT, {"appointment": appointment, "person": person, **times})
    for change in (
        "UPDATE person SET buffer_minutes = (ARRAY[0, 10, 30])[1 + abs(hashtext(email)) % 3]",
        "UPDATE offer SET state = 'pending', ended_at = NULL, answer_by = answer_by + interval '90 h'",
        "UPDATE offer SET counter_starts = ARRAY[starts[1] + interval '1 h'] WHERE hashtext(id::text) % 2 = 0",
        # Some ask for a time that the mentor has for the same case.
        """
        UPDATE offer SET starts = ARRAY[starts[1], lower(s.during)] FROM seat s JOIN appointment a
        ON a.id = s.appointment_id WHERE a.consultation_id = offer.consultation_id AND s.person_id = offer.mentor_id
        """,
    ):
        await w.sql(sa.text(change))


@pytest.mark.parametrize("seed", SEEDS)
async def test_g1_a_time_of_an_offer_is_gone_where_the_plain_condition_says_so(w: Work, seed: int) -> None:
    made = await made_up.installation(w, seed)
    await seats(w, made, seed)
    values = {"ids": made.ids[tables.Offer], "now": w.now}
    found = {(row.id, row.at) for row in await w.sql(offers._GONE, values)}
    assert found == {(row.id, row.at) for row in await w.sql(plainly(offers._GONE), values)}
    assert len({id_ for id_, at in found if at > w.now}) > 5


@pytest.mark.parametrize("seed", SEEDS)
async def test_g1_what_waits_has_the_times_of_offers_that_the_plain_condition_leaves(
    w: Work, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await made_up.installation(w, seed)
    await seats(w, made, seed)
    everywhere = frozenset(Grant("coordinator", place) for place in made.ids[tables.Institution])
    people = enumerate(made.ids[tables.Person])
    readers = [Actor("person", person, everywhere if number % 2 else frozenset()) for number, person in people]
    found = [await waiting.entries(w, reader, limit=50) for reader in readers]
    monkeypatch.setattr(waiting, "_FREE_STARTS", waiting._FREE_STARTS.replace(offers.IS_OCCUPIED, IS_OCCUPIED))
    waiting._of.cache_clear()
    assert found == [await waiting.entries(w, reader, limit=50) for reader in readers]
    waiting._of.cache_clear()
    assert sum(len(entry.starts) for entries in found for entry in entries) > 50
