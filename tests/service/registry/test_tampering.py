"""Somebody who may write to the database changes the log by hand: found, whatever they do and wherever.

A thousand random edits are made to a loaded chain, of five kinds, and each must be found. A tail that is cut off, or
a chain that is written anew from some entry on, fits in itself: what was anchored elsewhere finds it.
"""

import dataclasses
import os
import random
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

import build
from integrations.runtime.world import World
from service import tables
from service.kernel import actor, clock
from service.kernel.work import Work
from service.registry import activities, memorandum_log
from service.rules import chain
from service.rules.chain import Entry

LENGTH = 90
EDITED = 1_000 if os.environ.get("DRILLS") == "1" else 100
Chain = list[Entry]
Edit = Callable[[random.Random, Chain], tuple[Chain, int]]
"""Gives the chain as it is after the edit, and the place of the first entry that must not hold any more."""


async def chained(w: Work, length: int) -> tuple[tables.Memorandum, Chain]:
    """Have a log of sessions, advices, activities and corrections."""
    asking, partner = await build.institution(w), await build.partner(w)
    memorandum = await build.memorandum(w, asking, partner)
    clinician, mentor = await build.clinician(w, asking), await build.mentor(w, partner)
    asked = await build.consultation(w, clinician, asking, state="completed")
    for number in range(length):
        if number % 5 == 0:
            row = tables.Activity(
                id=clock.new_id(), programme_id=memorandum.programme_id, memorandum_id=memorandum.id, kind="visit",
                people_op=">", people_count=number, created_at=w.now,
            )  # fmt: skip
            await activities.add(w, row, ["paediatrics"], [activities.Place(partner.id, "to")])
            continue
        started = w.now - timedelta(days=length - number)
        session = tables.Session(
            id=clock.new_id(), consultation_id=asked.id, memorandum_id=memorandum.id,
            programme_id=memorandum.programme_id, route="direct", mode=("live", "written")[number % 2],
            specialty_code="paediatrics", priority="routine", requesting_institution_id=asking.id,
            partner_institution_id=partner.id, clinician_id=clinician.id, mentor_id=mentor.id,
            participants=[clinician.id], started_at=started, ended_at=w.now, minutes=number,
            outcome="advice_given", is_civil_for_requester=True, is_civil_for_mentor=False,
        )  # fmt: skip
        w.add(session)
        await memorandum_log.append(
            w, memorandum.id, [memorandum_log.EntryFacts("session", session.id, memorandum_log.facts(session))]
        )
    return memorandum, memorandum_log.plain(await memorandum_log.links_of(w, memorandum.id))


def other(dice: random.Random, value: Any) -> Any:  # noqa: ANN401 - a fact of any kind
    """Give another value that could stand there."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + dice.choice([-1, 1, 15])
    if isinstance(value, str):
        place = dice.randrange(len(value))
        return value[:place] + ("1" if value[place] != "1" else "0") + value[place + 1 :]
    if isinstance(value, list):
        return value[1:] if value else ["x"]
    return {"op": "=", "count": 1} if value is None or isinstance(value, dict) else None


def altered(entry: Entry, **members: Any) -> Entry:  # noqa: ANN401
    """The entry with other members in its body."""
    return dataclasses.replace(entry, body=dict(entry.body) | members)


def a_changed_fact(dice: random.Random, entries: Chain) -> tuple[Chain, int]:
    place = dice.randrange(len(entries))
    facts: Any = entries[place].body["facts"]
    key = dice.choice(sorted(facts))
    changed = altered(entries[place], facts=facts | {key: other(dice, facts[key])})
    return [*entries[:place], changed, *entries[place + 1 :]], place


def a_deleted_row(dice: random.Random, entries: Chain) -> tuple[Chain, int]:
    """The entry is gone, or only the session behind it."""
    place = dice.randrange(len(entries))
    if dice.random() < 0.5:
        return [*entries[:place], *entries[place + 1 :]], place
    return [*entries[:place], altered(entries[place], facts=None), *entries[place + 1 :]], place


def a_swapped_order(dice: random.Random, entries: Chain) -> tuple[Chain, int]:
    one, two = sorted(dice.sample(range(len(entries)), 2))
    found = list(entries)
    found[one] = altered(entries[two], position=one + 1)
    found[two] = altered(entries[one], position=two + 1)
    return found, one


def an_inserted_entry(dice: random.Random, entries: Chain) -> tuple[Chain, int]:
    """A forged entry that fits to the one before it; the next one cannot fit to it."""
    place = dice.randrange(len(entries))
    previous = entries[place].previous_hash
    id_ = str(clock.new_id())
    body = dict(entries[place].body) | {"id": id_}
    forged = Entry(id_, body, previous, chain.entry_hash(previous, body))
    moved = [altered(entry, position=number) for number, entry in enumerate(entries[place:], start=place + 2)]
    return [*entries[:place], forged, *moved], place + 1


def a_changed_hash(dice: random.Random, entries: Chain) -> tuple[Chain, int]:
    """A hash, the copy of it in the next entry, or both."""
    place, which = dice.randrange(len(entries) - 1), dice.choice(["hash", "copy", "both"])
    found, forged = list(entries), other(dice, entries[place].hash)
    if which != "copy":
        found[place] = dataclasses.replace(entries[place], hash=forged)
    if which != "hash":
        found[place + 1] = dataclasses.replace(entries[place + 1], previous_hash=forged)
    return found, place + (which == "copy")


EDITS: Sequence[Edit] = (a_changed_fact, a_deleted_row, a_swapped_order, an_inserted_entry, a_changed_hash)


def end_of(entries: Chain) -> chain.Head:
    return chain.Head(len(entries), entries[-1].hash if entries else chain.GENESIS)


@pytest.mark.load
async def test_many_edits_of_five_kinds_are_all_found_where_they_are(world: World) -> None:
    async with world.database.work(actor.TIMER) as w:
        _, entries = await chained(w, LENGTH)
    end = end_of(entries)
    assert chain.verify(entries, end=end).ok
    dice, missed = random.Random(11), []
    for number in range(EDITED):
        edit = EDITS[number % len(EDITS)]
        edited, place = edit(dice, entries)
        found = chain.verify(edited, end=end)
        expected = edited[place].id if place < len(edited) else "head"
        if found.ok or found.first_broken != expected or found.entries != place:
            missed.append((number, edit.__name__, place, found.first_broken))
    assert missed == []


async def test_a_cut_tail_is_found_by_the_head_and_when_that_is_moved_back_by_the_anchor(w: Work) -> None:
    _, entries = await chained(w, 20)
    anchored = end_of(entries)
    for kept in range(20):
        cut = entries[:kept]
        assert chain.verify(cut, end=anchored).first_broken == "head"
        assert chain.verify(cut, end=end_of(cut)).ok
        assert chain.verify(cut, end=end_of(cut), anchor=anchored).first_broken == "anchor"


async def test_a_chain_written_anew_is_found_by_the_anchor_alone(w: Work) -> None:
    _, entries = await chained(w, 20)
    facts: Any = entries[7].body["facts"]
    forged, head = entries[:7], entries[6].hash
    for entry in [altered(entries[7], facts=facts | {"minutes": 600}), *entries[8:]]:
        forged.append(dataclasses.replace(entry, previous_hash=head, hash=chain.entry_hash(head, entry.body)))
        head = forged[-1].hash

    assert chain.verify(forged, end=end_of(forged)).ok
    assert chain.verify(forged, end=end_of(forged), anchor=end_of(entries)).first_broken == "anchor"
    assert chain.verify(forged, end=end_of(forged), anchor=end_of(entries[:7])).ok


async def test_what_was_added_since_the_anchor_changes_nothing_about_it(w: Work) -> None:
    memorandum, entries = await chained(w, 12)
    assert (await memorandum_log.verify(w, memorandum.id, end_of(entries[:5]))).ok
    assert (await memorandum_log.verify(w, memorandum.id, chain.Head(0, chain.GENESIS))).ok


BY_HAND = {
    "changed fact": "UPDATE session SET minutes = minutes + 1 WHERE id = :id",
    "changed author": "UPDATE log_entry SET logged_by = id WHERE id = :id",
    "deleted row": "DELETE FROM session WHERE id = :id",
    "deleted entry": "DELETE FROM log_entry WHERE id = :id",
    "swapped order": "UPDATE log_entry SET position = CASE position WHEN 3 THEN -7 ELSE 3 END WHERE position IN (3, 7)",
    "inserted entry": (
        "INSERT INTO log_entry (id, memorandum_id, position, kind, logged_at, previous_hash, hash)"
        " SELECT gen_random_uuid(), memorandum_id, 999, kind, logged_at, hash, hash FROM log_entry WHERE id = :id"
    ),
    "inserted row": (
        "INSERT INTO session SELECT (jsonb_populate_record(s, jsonb_build_object('id', gen_random_uuid()))).*"
        " FROM session s WHERE id = :id"
    ),
    "changed hash": "UPDATE log_entry SET hash = previous_hash WHERE id = :id",
    "moved head": "UPDATE log_head SET position = position - 1",
    "hidden session": "UPDATE session SET is_corrected = true WHERE id = :id",
}


@pytest.mark.parametrize("kind", BY_HAND)
async def test_an_edit_by_sql_is_found(w: Work, kind: str) -> None:
    memorandum, entries = await chained(w, 10)
    session = UUID(entries[3].id)
    await w.sql(sa.text("SET LOCAL session_replication_role = replica"))  # what only a database administrator can
    statement = sa.text(BY_HAND[kind])
    await w.sql(statement, {"id": session} if ":id" in BY_HAND[kind] else {})
    assert not (await memorandum_log.verify(w, memorandum.id)).ok


async def test_a_log_that_is_gone_whole_is_found_by_the_anchor(w: Work) -> None:
    memorandum, _ = await chained(w, 5)
    anchors = await memorandum_log.anchors(w)
    await w.sql(sa.text("SET LOCAL session_replication_role = replica"))
    for table in ("activity", "session", "log_entry", "log_head"):
        await w.sql(sa.text(f"DELETE FROM {table}"))
    found = await memorandum_log.verify_all(w, anchors)
    assert (found[memorandum.id].ok, found[memorandum.id].first_broken) == (False, "anchor")
