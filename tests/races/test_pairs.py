"""Two at once about the same thing, in either order and with every small delay: one outcome, and nothing half done."""

# ruff: noqa: ANN401 - as crowd

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

import build
import crowd
import flow
import world as simulated
from integrations.runtime.world import World
from service import timers
from service.kernel import actor
from service.kernel.work import Work
from service.registry import agreements

pytestmark = [pytest.mark.races, pytest.mark.slow, pytest.mark.load(5)]

LEADS = (-0.2, -0.02, -0.005, 0.0, 0.005, 0.02, 0.2)
"""How many seconds the first call starts before the second; the outermost decide who wins."""


async def _after(seconds: float, call: Awaitable[Any]) -> Any:
    await asyncio.sleep(max(0.0, seconds))
    return await call


async def both(lead: float, first: Awaitable[Any], second: Awaitable[Any]) -> tuple[Any, Any]:
    """Do both at once, the first one `lead` seconds later than the second (earlier when negative)."""
    return tuple(await asyncio.gather(_after(lead, first), _after(-lead, second)))


def said(answer: httpx.Response) -> str:
    """Tell in one word what came back."""
    return "200" if answer.is_success else f"{answer.status_code} {answer.json()['type'].rpartition('/')[2]}"


async def asked(scene: flow.Scene, *mentors: str, **consultation: Any) -> tuple[str, list[str], str]:
    """Have one consultation with a pending offer to each mentor; gives it, the offers, and the one start of all."""
    async with scene.world.database.work(actor.TIMER) as w:
        clinician = await build.clinician(w, scene.asking)
        case = await build.consultation(w, clinician, scene.asking, state="offered", **consultation)
        start = w.now + timedelta(days=1)
        made = [
            await build.offer(
                w, case, scene.people[name], scene.memorandum, starts=[start], answer_by=w.now + timedelta(hours=4)
            )
            for name in mentors
        ]
        # The next round must not find these hours taken.
        await w.sql(sa.text("DELETE FROM seat"))
        await w.sql(
            sa.text("UPDATE appointment SET status = 'cancelled', held_until = NULL WHERE status <> 'cancelled'")
        )
        await w.sql(sa.text("UPDATE consultation SET state = 'cancelled' WHERE id <> :id"), {"id": case.id})
        await w.sql(sa.text("UPDATE offer SET state = 'withdrawn' WHERE consultation_id <> :id"), {"id": case.id})
    return str(case.id), [str(offer.id) for offer in made], flow.instant(start)


def accept(scene: flow.Scene, who: str, offer: str, start: str) -> Awaitable[httpx.Response]:
    return scene.call(who, "POST", f"/v1/offers/{offer}/accept", {"starts_at": start})


async def now_is(scene: flow.Scene, consultation: str) -> tuple[str, str | None]:
    """Give the state of the consultation and of its live or last appointment."""
    (row,) = await scene.rows(
        "SELECT c.state, (SELECT status FROM appointment WHERE consultation_id = c.id ORDER BY id DESC LIMIT 1) AS at"
        " FROM consultation c WHERE c.id = :id",
        id=consultation,
    )
    return row.state, row.at


def late(scene: flow.Scene, by: timedelta) -> World:
    """Give the same database as another machine sees it, whose clock is ahead."""
    ahead = simulated.TestClock()
    ahead.set(scene.clock.now() + by)
    return simulated.made(scene.world.settings, scene.world.engine, ahead)


async def test_of_two_mentors_who_accept_at_once_one_is_booked(scene: flow.Scene) -> None:
    for lead in LEADS:
        case, (mine, theirs), start = await asked(scene, "mentor", "rival")
        answers = await both(lead, accept(scene, "mentor", mine, start), accept(scene, "rival", theirs, start))
        assert sorted(said(answer) for answer in answers) == ["200", "409 offer-closed"]
        assert await now_is(scene, case) == ("scheduled", "booked")
    assert await crowd.faults(scene) == []


async def test_an_acceptance_and_a_withdrawal_at_once_leave_the_request_withdrawn(scene: flow.Scene) -> None:
    for lead in LEADS:
        case, (mine, _), start = await asked(scene, "mentor", "rival")
        accepted, cancelled = await both(
            lead,
            accept(scene, "mentor", mine, start),
            scene.call("coordinator", "POST", f"/v1/consultations/{case}/cancel", {"reason": "transferred"}),
        )
        assert said(cancelled) == "200"
        assert (said(accepted), await now_is(scene, case)) in [
            ("200", ("cancelled", "cancelled")),
            ("409 offer-closed", ("cancelled", None)),
        ]
        assert await scene.rows("SELECT 1 FROM seat") == []
    assert await crowd.faults(scene) == []


async def test_an_acceptance_and_a_decline_of_one_offer_at_once_count_once(scene: flow.Scene) -> None:
    for lead in LEADS:
        case, (mine,), start = await asked(scene, "mentor")
        accepted, declined = await both(
            lead,
            accept(scene, "mentor", mine, start),
            scene.call("partner", "POST", f"/v1/offers/{mine}/decline", {"reason": "busy"}),
        )
        assert sorted([said(accepted), said(declined)]) == ["200", "409 offer-closed"]
        booked = ("scheduled", "booked") if accepted.is_success else ("offered", None)
        assert await now_is(scene, case) == booked
    assert await crowd.faults(scene) == []


async def test_an_acceptance_in_time_and_the_sweep_that_makes_it_late_at_once_count_once(scene: flow.Scene) -> None:
    for lead in LEADS:
        case, (mine,), start = await asked(scene, "mentor")
        async with scene.world.database.work(actor.TIMER) as w:
            await w.sql(flow.OFFERS_LEFT)
        ahead = late(scene, timedelta(hours=4))
        accepted, _ = await both(lead, accept(scene, "mentor", mine, start), timers.once(ahead.database))
        assert said(accepted) == "200"  # the sweep makes it late, and an answer is taken all the same
        assert await now_is(scene, case) == ("scheduled", "booked")
    assert await crowd.faults(scene) == []


async def test_a_memorandum_that_ends_during_an_acceptance_is_never_silent(scene: flow.Scene) -> None:
    for lead in LEADS:
        case, (mine,), start = await asked(scene, "mentor")
        await scene.rows("UPDATE memorandum SET status = 'active' RETURNING 1")
        await scene.rows("DELETE FROM delivery RETURNING 1")
        body = {"to": "suspended", "on": scene.clock.now().date().isoformat(), "reason": "talks"}
        accepted, suspended = await both(
            lead,
            accept(scene, "mentor", mine, start),
            scene.call("admin", "POST", f"/v1/memoranda/{scene.memorandum.id}/transitions", body),
        )
        assert said(suspended) == "200"
        assert said(accepted) in {"200", "403 gate-refused"}
        await scene.sweep()
        told = await scene.rows("SELECT person_id FROM delivery WHERE payload->>'template' = 'memorandum_ended'")
        names = sorted(scene.name(row.person_id) for row in told)
        assert names == (["coordinator", "partner"] if accepted.is_success else [])
        assert (await now_is(scene, case))[1] == ("booked" if accepted.is_success else None)
    assert await crowd.faults(scene) == []


async def test_a_move_and_a_booking_of_the_same_time_at_once_leave_one_there(scene: flow.Scene) -> None:
    for lead in LEADS:
        case, (mine,), start = await asked(scene, "mentor")
        booked = (await accept(scene, "mentor", mine, start)).json()
        wanted = flow.read_instant(start) + timedelta(hours=3)
        (other,) = await crowd.offers(scene, 1, [wanted])
        moved, accepted = await both(
            lead,
            scene.call(
                "coordinator",
                "POST",
                f"/v1/appointments/{booked['id']}/reschedule",
                {"starts_at": flow.instant(wanted)},
            ),
            accept(scene, "mentor", other, flow.instant(wanted)),
        )
        is_moved = moved.is_success and moved.json()["starts_at"] == flow.instant(wanted)
        assert said(accepted) == ("409 slot-taken" if is_moved else "200")
        assert said(moved) in {"200", "409 slot-taken"}  # what is taken already when it is asked for is proposed
        assert await now_is(scene, case) == ("scheduled", "booked")
        assert await crowd.overlaps(scene) == 0
        await scene.rows("UPDATE consultation SET state = 'cancelled' WHERE id <> :id RETURNING 1", id=case)
    assert await scene.rows("SELECT 1 FROM appointment WHERE status = 'booked' AND dtstamp IS NULL") == []


async def hold(scene: flow.Scene) -> tuple[str, str, str]:
    """Have a time held for the mentor; gives the consultation, the offer and the start."""
    scene.clock.set(None)
    case, (mine,), start = await asked(scene, "mentor")
    await scene.post(
        "coordinator",
        f"/v1/consultations/{case}/holds",
        {"mentor_id": str(scene.people["mentor"].id), "starts_at": start},
        201,
    )
    return case, mine, start


async def test_a_hold_confirmed_just_before_it_expires_is_booked_or_released_never_both(scene: flow.Scene) -> None:
    for lead in LEADS:
        case, mine, start = await hold(scene)
        ahead = late(scene, timedelta(minutes=15))
        scene.clock.forward(minutes=15, microseconds=-1)
        accepted, _ = await both(lead, accept(scene, "mentor", mine, start), timers.once(ahead.database))
        rows = await scene.rows("SELECT status FROM appointment WHERE consultation_id = :id ORDER BY id", id=case)
        assert said(accepted) == "200"
        assert [row.status for row in rows] in [["booked"], ["cancelled", "booked"]]
        seats = await scene.rows("SELECT held_until FROM seat")
        assert [row.held_until for row in seats] == [None, None]
    assert await crowd.faults(scene) == []


async def test_without_a_sweep_a_hold_confirmed_just_before_it_expires_wins(scene: flow.Scene) -> None:
    case, mine, start = await hold(scene)
    scene.clock.forward(minutes=15, microseconds=-1)
    assert said(await accept(scene, "mentor", mine, start)) == "200"
    assert await now_is(scene, case) == ("scheduled", "booked")


async def test_a_hold_confirmed_at_its_expiry_loses(scene: flow.Scene) -> None:
    for lead in LEADS:
        case, mine, start = await hold(scene)
        scene.clock.forward(minutes=15)
        accepted, _ = await both(lead, accept(scene, "mentor", mine, start), scene.sweep())
        rows = await scene.rows("SELECT status FROM appointment WHERE consultation_id = :id ORDER BY id", id=case)
        # Once the sweep has released it, the time is an offered one like any other.
        assert (said(accepted), [row.status for row in rows]) in [
            ("409 hold-expired", ["cancelled"]),
            ("200", ["cancelled", "booked"]),
        ]
    assert await crowd.faults(scene) == []


async def test_the_same_idempotency_key_fifty_times_at_once_makes_one_row(scene: flow.Scene) -> None:
    headers = await crowd.bearer(scene, "clinician") | {"Idempotency-Key": "one-request"}
    body = scene.wish()
    answers = await crowd.at_once(
        *(scene.client.post("/v1/consultations", json=body, headers=headers) for _ in range(50))
    )
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1
    assert len(await scene.rows("SELECT id FROM consultation")) == 1
    assert sum("idempotency-replayed" in answer.headers for answer in answers) == 49


# --- a budget ----------------------------------------------------------------------------------------------------


async def spend_at_once(scene: flow.Scene) -> list[str]:
    """Let two mentors be booked at once for 30 minutes each, under a budget of 30 minutes; tell what they hear."""
    await scene.rows("UPDATE memorandum SET budget_minutes = 30, budget_per = 'total' RETURNING 1")
    start = scene.clock.now() + timedelta(days=1)
    (mine,) = await crowd.offers(scene, 1, [start], "mentor")
    (theirs,) = await crowd.offers(scene, 1, [start], "rival")
    answers = await both(
        0.0,
        accept(scene, "mentor", mine, flow.instant(start)),
        accept(scene, "rival", theirs, flow.instant(start)),
    )
    return sorted(said(answer) for answer in answers)


async def minutes_booked(scene: flow.Scene) -> int:
    (row,) = await scene.rows(
        "SELECT coalesce(sum(extract(epoch FROM ends_at - starts_at) / 60), 0)::int AS n FROM appointment"
        " WHERE status = 'booked'"
    )
    return int(row.n)


async def test_a_budget_of_thirty_minutes_is_not_overspent_by_two_bookings_at_once(scene: flow.Scene) -> None:
    assert await spend_at_once(scene) == ["200", "403 gate-refused"]
    assert await minutes_booked(scene) == 30


async def test_without_its_lock_the_same_budget_is_overspent(
    scene: flow.Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    meeting = asyncio.Barrier(2)

    async def meet(_w: Work, _memorandum_id: object) -> None:
        async with asyncio.timeout(30):
            await meeting.wait()

    monkeypatch.setattr(agreements, "lock_budget", meet)
    assert await spend_at_once(scene) == ["200", "200"]
    assert await minutes_booked(scene) == 60


# --- the measure itself ------------------------------------------------------------------------------------------


@pytest.mark.provoked
async def test_a_deadlock_would_be_counted(scene: flow.Scene) -> None:
    ready = asyncio.Barrier(2)

    async def lock(first: int, second: int) -> None:
        async with scene.world.engine.connect() as connection:
            await connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": first})
            await ready.wait()
            await connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": second})

    results = await asyncio.gather(lock(1, 2), lock(2, 1), return_exceptions=True)
    assert sum(isinstance(result, sa.exc.DBAPIError) for result in results) == 1
    assert await crowd.deadlocks(scene.world) == 1
