"""Many requests for one mentor, made as rows: what a storm needs and no flow would bring about in time."""

# ruff: noqa: ANN401 - builders take what columns take, and answers are JSON

import asyncio
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import httpx
import sqlalchemy as sa

import build
import flow
from integrations.runtime.world import World
from service.kernel import actor


async def offers(
    scene: flow.Scene, count: int, starts: Iterable[datetime], mentor: str = "mentor", **consultation: Any
) -> list[str]:
    """Have that many consultations, each of a clinician of its own, pending with the mentor for these starts."""
    made: list[str] = []
    async with scene.world.database.work(actor.TIMER) as w:
        for _ in range(count):
            clinician = await build.clinician(w, scene.asking)
            asked = await build.consultation(w, clinician, scene.asking, state="offered", **consultation)
            offer = await build.offer(
                w,
                asked,
                scene.people[mentor],
                scene.memorandum,
                starts=list(starts),
                answer_by=w.now + timedelta(days=6),
            )
            made.append(str(offer.id))
    return made


async def bearer(scene: flow.Scene, who: str) -> dict[str, str]:
    """Give that person's headers."""
    return await build.bearer(scene.world, scene.people[who])


async def at_once(*calls: Any) -> list[httpx.Response]:
    """Make all calls at the same time, and give their answers in the same order."""
    return list(await asyncio.gather(*calls))


async def deadlocks(world: World) -> int:
    """Count the deadlocks of this database; a backend reports its own when it ends."""
    await world.engine.dispose()
    async with world.engine.connect() as connection:
        own = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        while (await connection.execute(sa.text(own))).scalar_one():  # noqa: ASYNC110 - another process tells
            await asyncio.sleep(0.05)
        statement = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()"
        return int((await connection.execute(sa.text(statement))).scalar_one())


async def overlaps(scene: flow.Scene) -> int:
    """Count the pairs of live appointments in which one person is at the same time, buffers included."""
    (row,) = await scene.rows("""
        SELECT count(*) AS pairs FROM
          (SELECT t.person_id, a.id, tstzrange(a.starts_at, a.ends_at + make_interval(mins => p.buffer_minutes)) AS at
           FROM appointment a JOIN participant t ON t.appointment_id = a.id JOIN person p ON p.id = t.person_id
           WHERE a.status IN ('booked', 'pending')) AS one
        JOIN
          (SELECT t.person_id, a.id, tstzrange(a.starts_at, a.ends_at + make_interval(mins => p.buffer_minutes)) AS at
           FROM appointment a JOIN participant t ON t.appointment_id = a.id JOIN person p ON p.id = t.person_id
           WHERE a.status IN ('booked', 'pending')) AS other
        ON one.person_id = other.person_id AND one.id < other.id AND one.at && other.at""")
    return int(row.pairs)


async def faults(scene: flow.Scene) -> list[Any]:
    """Name every row that contradicts another one: nothing half done is left by whatever happened."""
    found: list[Any] = []
    for name, statement in _FAULTS.items():
        found += [(name, *row) for row in await scene.rows(statement)]
    return found


_FAULTS = {
    "a seat of no live appointment": """
        SELECT s.appointment_id FROM seat s JOIN appointment a ON a.id = s.appointment_id
        WHERE a.status NOT IN ('pending', 'booked', 'fulfilled')""",
    "somebody booked without a seat": """
        SELECT t.appointment_id, t.person_id FROM participant t
        JOIN appointment a ON a.id = t.appointment_id AND a.status = 'booked'
        WHERE NOT EXISTS (SELECT 1 FROM seat s WHERE s.appointment_id = a.id AND s.person_id = t.person_id
                          AND s.held_until IS NULL AND lower(s.during) = a.starts_at)""",
    "scheduled live without a booking": """
        SELECT c.id FROM consultation c WHERE c.state = 'scheduled' AND c.advice_due_at IS NULL
        AND NOT EXISTS (SELECT 1 FROM appointment a WHERE a.consultation_id = c.id AND a.status = 'booked')""",
    "booked but not scheduled": """
        SELECT c.id, c.state FROM consultation c JOIN appointment a ON a.consultation_id = c.id
        WHERE a.status = 'booked' AND c.state <> 'scheduled'
        AND EXISTS (SELECT 1 FROM participant t WHERE t.appointment_id = a.id AND t.role = 'mentor')""",
    "two acceptances": """
        SELECT consultation_id FROM offer WHERE state = 'accepted' AND ended_at IS NULL
        GROUP BY consultation_id HAVING count(*) > 1""",
    "an offer that waits for nothing": """
        SELECT o.id, o.state, c.state FROM offer o JOIN consultation c ON c.id = o.consultation_id
        WHERE o.state IN ('pending', 'countered') AND c.state NOT IN ('offered', 'unmatched', 'open', 'scheduled')""",
    "a version told twice": """
        SELECT subject_id, subject_version FROM event GROUP BY subject_id, subject_version HAVING count(*) > 1""",
    "a version that rose without a word": """
        SELECT e.subject_id FROM event e WHERE e.type LIKE 'appointment.%'
        GROUP BY e.subject_id HAVING max(e.subject_version) <> count(*)""",
}
