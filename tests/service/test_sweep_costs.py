"""What a sweep reads: the live rows, however long the past is. Counted in rows and pages' plans, not in time."""

import json
import os
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlmodel import SQLModel

import build
from integrations.runtime.world import World
from service import tables, timers
from service.kernel import actor

PAST = int(os.environ.get("PAST_APPOINTMENTS", "12000"))
NEVER_LOGGED = PAST // 50
LIVE = 40
MOST_ROWS = 20 * LIVE
"""That a sweep may read, each of its tables counted; those that were never logged are live as well, for some sweeps."""


def copies(
    case: UUID, offer: UUID, appointment: UUID, count: int, state: str, status: str, apart: str
) -> Iterator[str]:
    """Give the SQL that copies one case so often, each with its time `apart` from the one before."""
    yield (
        "CREATE TEMP TABLE copied AS SELECT gen_random_uuid() AS new_c, gen_random_uuid() AS new_o,"
        f" gen_random_uuid() AS new_a, n * interval '{apart}' AS shift FROM generate_series(1, {count}) n"
    )
    closed = "created_at" if state == "completed" else "NULL"
    changes: list[tuple[type[SQLModel], str, dict[str, str]]] = [
        (
            tables.Consultation,
            f"id = '{case}'",
            {"id": "new_c", "number": "NULL", "state": f"'{state}'", "closed_at": closed},
        ),
        (tables.Offer, f"id = '{offer}'", {"id": "new_o", "consultation_id": "new_c"}),
        (
            tables.Appointment,
            f"id = '{appointment}'",
            {"id": "new_a", "consultation_id": "new_c", "status": f"'{status}'", "route": "'network'"}
            | {"starts_at": "starts_at + shift", "ends_at": "ends_at + shift", "remind_at": "NULL"},
        ),
        (tables.Participant, f"appointment_id = '{appointment}'", {"appointment_id": "new_a"}),
    ]
    for table, which, changed in changes:
        names = [column.name for column in table.__table__.columns]  # type: ignore[attr-defined]
        values = ", ".join(changed.get(name, f'"{name}"') for name in names)
        columns = ", ".join(f'"{name}"' for name in names)
        yield (
            f"INSERT INTO {table.__tablename__} ({columns}) SELECT {values}"
            f" FROM copied CROSS JOIN {table.__tablename__} row WHERE row.{which}"
        )
    yield "DROP TABLE copied"


def scans(plan: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """Each scan of a plan: what it read, and how many rows, those that it threw away too."""
    if "Relation Name" in plan:
        rows = (
            plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0) + plan.get("Rows Removed by Index Recheck", 0)
        )
        yield f"{plan['Node Type']} {plan['Relation Name']} {plan.get('Index Name', '')}", rows * plan["Actual Loops"]
    for below in plan.get("Plans", ()):
        yield from scans(below)


@pytest.mark.races
async def test_ft_01_a_sweep_reads_what_is_live_and_not_the_past(world: World) -> None:
    async with world.database.work(actor.TIMER) as w:
        at, partner = await build.institution(w), await build.partner(w)
        who, mentor = await build.clinician(w, at), await build.mentor(w, partner)
        agreed = await build.memorandum(w, at, partner)
        case = await build.consultation(w, who, at, state="scheduled", next_wave_at=None, alert_at=None)
        offer = await build.offer(w, case, mentor, agreed, state="accepted")
        booked = await build.appointment(w, case, mentor, agreed, starts_at=w.now - timedelta(days=1))
        await w.sql(sa.text("SET LOCAL session_replication_role = replica"))  # no triggers, for speed
        for count, state, status, apart in (
            (PAST, "completed", "fulfilled", "-20 minutes"),
            (NEVER_LOGGED, "scheduled", "booked", "-1 day"),
            (LIVE, "scheduled", "booked", "1 day"),
        ):
            for statement in copies(case.id, offer.id, booked.id, count, state, status, apart):
                await w.sql(sa.text(statement))
    async with world.database.work(actor.TIMER) as w:
        for table in ("consultation", "offer", "appointment", "participant"):
            await w.sql(sa.text(f"ANALYZE {table}"))
    read = {}
    async with world.database.work(actor.TIMER) as w:
        for timer in timers.TIMERS:
            explain = sa.text(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {timers.batch_of(timer)}")
            (explained,) = (await w.sql(explain, timers._instants(w, timer.due))).scalars()
            (plan,) = json.loads(explained) if isinstance(explained, str) else explained
            read[timer.name] = list(scans(plan["Plan"]))
    most = {name: sum(rows for _, rows in found) for name, found in read.items()}
    if os.environ.get("PAST_APPOINTMENTS"):
        print({name: (most[name], read[name]) for name in most if most[name] > LIVE})  # noqa: T201 - figures
    allowed = {name: MOST_ROWS + (8 * NEVER_LOGGED if name in READ_ALL_LIVE else 0) for name in most}
    assert {name: (rows, read[name]) for name, rows in most.items() if rows > allowed[name]} == {}


@pytest.mark.races
async def test_a_sweep_reads_a_batch_of_what_is_due_however_much_that_is(world: World) -> None:
    async with world.database.work(actor.TIMER) as w:
        at, partner = await build.institution(w), await build.partner(w)
        who, mentor = await build.clinician(w, at), await build.mentor(w, partner)
        agreed = await build.memorandum(w, at, partner)
        case = await build.consultation(w, who, at, state="offered", next_wave_at=w.now, alert_at=w.now)
        offer = await build.offer(w, case, mentor, agreed, state="pending", answer_by=w.now)
        booked = await build.appointment(w, case, mentor, agreed, starts_at=w.now - timedelta(days=1))
        await w.sql(sa.text("SET LOCAL session_replication_role = replica"))  # no triggers, for speed
        for statement in copies(case.id, offer.id, booked.id, 50 * timers.BATCH, "offered", "booked", "-1 second"):
            await w.sql(sa.text(statement))
    async with world.database.work(actor.TIMER) as w:
        for table in ("consultation", "offer", "appointment"):
            await w.sql(sa.text(f"ANALYZE {table}"))
        read = {}
        for timer in (timer for timer in timers.TIMERS if timer.name in {"offer", "wave", "alert"}):
            explain = sa.text(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {timers.batch_of(timer)}")
            (explained,) = (await w.sql(explain, timers._instants(w, timer.due))).scalars()
            (plan,) = json.loads(explained) if isinstance(explained, str) else explained
            read[timer.name] = sum(rows for _, rows in scans(plan["Plan"]))
    assert read == dict.fromkeys(("offer", "wave", "alert"), timers.BATCH)


READ_ALL_LIVE = {"clinician_left"}
"""They ask of each live case whether its clinician is still there."""
