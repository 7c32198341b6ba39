"""Everybody wants the same mentor at the same time: one has it, the others read `slot-taken`.

The control takes away what keeps them apart and must find overlaps, or the storm tests nothing.
"""

import os
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
import sqlalchemy as sa

import crowd
import flow
from integrations.runtime.world import World

pytestmark = [pytest.mark.races, pytest.mark.slow, pytest.mark.load(8)]

CLIENTS = 64
WAVES = 20 if os.environ.get("DRILLS") == "1" else 4
OFFSETS = (0, 15, 30)


@dataclass
class Weather:
    """What came of a storm: winners of each wave, and how often each other answer was given."""

    winners: list[int] = field(default_factory=list)
    others: Counter[tuple[int, str]] = field(default_factory=Counter)


async def storm(scene: flow.Scene, waves: int) -> Weather:
    """Let all clients accept, wave after wave, each wave another hour of the same mentor."""
    monday = scene.clock.now().replace(minute=0) + timedelta(days=1)
    hours = [monday + timedelta(hours=2 * number) for number in range(waves)]
    starts = [hour + timedelta(minutes=offset) for hour in hours for offset in OFFSETS]
    waiting = await crowd.offers(scene, CLIENTS + waves, starts)
    headers = await crowd.bearer(scene, "mentor")
    weather = Weather()
    for hour in hours:
        trying = waiting[:CLIENTS]
        answers = await crowd.at_once(
            *(
                scene.client.post(
                    f"/v1/offers/{offer}/accept",
                    json={"starts_at": flow.instant(hour + timedelta(minutes=OFFSETS[place % 3]))},
                    headers=headers,
                )
                for place, offer in enumerate(trying)
            )
        )
        won = {offer for offer, answer in zip(trying, answers, strict=True) if answer.status_code == 200}
        weather.winners.append(len(won))
        weather.others.update(
            (answer.status_code, answer.json()["type"]) for answer in answers if answer.status_code != 200
        )
        waiting = [offer for offer in waiting if offer not in won]
    return weather


async def test_a_storm_on_one_mentors_hour_has_one_winner_a_wave_and_losers_read_slot_taken(scene: flow.Scene) -> None:
    weather = await storm(scene, WAVES)
    assert weather.winners == [1] * WAVES
    assert weather.others == {(409, "/problems/slot-taken"): WAVES * (CLIENTS - 1)}
    assert await crowd.overlaps(scene) == 0
    assert await crowd.faults(scene) == []


async def test_without_the_constraint_and_the_locks_the_same_storm_finds_overlaps(scene: flow.Scene) -> None:
    await defenceless(scene.world)
    await storm(scene, 1)
    assert await crowd.overlaps(scene) > 0


async def defenceless(world: World) -> None:
    """Take the exclusion constraint away, and let advisory locks do nothing, in this database only."""
    await world.engine.dispose()
    engine = world.engine.execution_options(isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        for statement in (
            "ALTER TABLE seat DROP CONSTRAINT ex_seat_occupied_once",
            "CREATE FUNCTION public.pg_advisory_xact_lock(bigint) RETURNS void LANGUAGE sql AS ''",
            f'ALTER DATABASE "{world.connector.address.database}" SET search_path TO public, pg_catalog',
        ):
            await connection.execute(sa.text(statement))
    await engine.dispose()
