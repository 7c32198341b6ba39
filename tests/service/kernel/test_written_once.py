"""A row is written once in a transaction: what is inserted or changed is not changed again before the commit.

The database itself tells: a trigger notes each row that an UPDATE finds written by the same transaction.
"""

from collections.abc import Awaitable, Callable

import httpx
import pytest
import sqlalchemy as sa

import flow
from integrations.runtime.world import World
from service.kernel import actor
from world import TestClock

pytestmark = [pytest.mark.races, pytest.mark.slow]

_NOTING = (
    "CREATE TABLE written_again (number serial, name text, statement text)",
    """
CREATE FUNCTION note_written_again() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.xmin = CAST(pg_current_xact_id() AS xid) THEN
        INSERT INTO written_again (name, statement) VALUES (TG_TABLE_NAME, current_query());
    END IF;
    RETURN NULL;
END $$""",
    """
DO $$ DECLARE name text;
BEGIN
    FOR name IN SELECT relname FROM pg_class
        WHERE relkind = 'r' AND relnamespace = CAST('public' AS regnamespace) AND relname <> 'written_again'
    LOOP
        EXECUTE format(
            'CREATE TRIGGER zz_again AFTER UPDATE ON %I FOR EACH ROW EXECUTE FUNCTION note_written_again()', name);
    END LOOP;
END $$""",
)
KNOWN = {"idempotency_key"}
"""An Idempotency-Key's row is its lock: it is there before the work, and has the answer afterwards.

A case that is handed over is left out: a trigger writes the new clinician into its offers and its appointment.
"""
BY_TRIGGER = {"_moved": {"participant"}}
"""What a step's trigger writes beside the step itself: the start of an appointment stands with those who take part."""


@pytest.fixture
async def scene(world: World, test_clock: TestClock, client: httpx.AsyncClient) -> flow.Scene:
    made = flow.Scene(world, test_clock, client)
    await made.set_up()
    async with world.database.work(actor.TIMER) as w:
        for statement in _NOTING:
            await w.sql(sa.text(statement))
    return made


async def _filed(scene: flow.Scene) -> None:
    windows = [{"from": flow.instant(scene.clock.now()), "until": "2026-11-18T00:00:00Z"}]
    await scene.request(windows=windows)


async def _filed_with_a_key(scene: flow.Scene) -> None:
    headers = {"Idempotency-Key": "one"}
    await scene.call("clinician", "POST", "/v1/consultations", scene.wish(), status=201, headers=headers)


async def _filed_for_nobody(scene: flow.Scene) -> None:
    await scene.request(languages=["ja"])


async def _filed_as_a_draft(scene: flow.Scene) -> None:
    draft = await scene.request(consent=None)
    await scene.post("clinician", f"/v1/consultations/{draft}/consent", scene.wish()["consent"])


async def _filed_as_one_of_many(scene: flow.Scene) -> None:
    headers = {"Prefer": "respond-async"}
    await scene.call("clinician", "POST", "/v1/consultations", scene.wish(), status=201, headers=headers)
    await scene.sweep()


async def _asked_again(scene: flow.Scene) -> None:
    await scene.request()
    await scene.next_wave()


async def _accepted(scene: flow.Scene) -> None:
    await scene.booked()


async def _declined(scene: flow.Scene) -> None:
    await scene.request()
    for mentor in ("mentor", "rival"):
        offer = await scene.offer(mentor)
        await scene.post(mentor, f"/v1/offers/{offer['id']}/decline", {"reason": "busy"})
    await scene.sweep()


async def _countered(scene: flow.Scene) -> None:
    await scene.request()
    offer = await scene.offer()
    times = [flow.instant(flow.read_instant(offer["starts"][0]).replace(hour=13, minute=0))]
    await scene.post("mentor", f"/v1/offers/{offer['id']}/counter", {"starts": times})
    await scene.post("clinician", f"/v1/offers/{offer['id']}/counter/accept", {"starts_at": times[0]})


async def _held(scene: flow.Scene) -> None:
    case = await scene.request()
    offer = await scene.offer()
    body = {"mentor_id": str(scene.people["mentor"].id), "starts_at": offer["starts"][0]}
    await scene.post("coordinator", f"/v1/consultations/{case}/holds", body, 201)


async def _moved(scene: flow.Scene) -> None:
    appointment = await scene.booked()
    body = {"starts_at": await scene.later_start(appointment, 60)}
    await scene.post("coordinator", f"/v1/appointments/{appointment['id']}/reschedule", body)


async def _called_off(scene: flow.Scene) -> None:
    appointment = await scene.booked()
    await scene.post("mentor", f"/v1/appointments/{appointment['id']}/cancel", {"reason": "busy"})
    await scene.sweep()


async def _replaced(scene: flow.Scene) -> None:
    appointment = await scene.booked()
    offer = await scene.post(
        "coordinator", f"/v1/consultations/{appointment['consultation_id']}/offers",
        {"mentor_id": str(scene.people["rival"].id), "starts": [appointment["starts_at"]]}, 201,
    )  # fmt: skip
    await scene.post("rival", f"/v1/offers/{offer['id']}/accept", {"starts_at": appointment["starts_at"]})


async def _withdrawn(scene: flow.Scene) -> None:
    case = await scene.request()
    await scene.post("clinician", f"/v1/consultations/{case}/cancel", {"reason": "resolved_locally"})


@pytest.mark.parametrize(
    "step",
    [
        _filed,
        _filed_with_a_key,
        _filed_for_nobody,
        _filed_as_a_draft,
        _filed_as_one_of_many,
        _asked_again,
        _accepted,
        _declined,
        _countered,
        _held,
        _moved,
        _called_off,
        _replaced,
        _withdrawn,
    ],
)
async def test_no_row_is_written_twice_in_one_transaction(
    scene: flow.Scene, step: Callable[[flow.Scene], Awaitable[None]]
) -> None:
    await step(scene)
    again = await scene.rows("SELECT name, statement FROM written_again ORDER BY number")
    known = KNOWN | BY_TRIGGER.get(step.__name__, set())
    assert [tuple(row) for row in again if row.name not in known] == []
