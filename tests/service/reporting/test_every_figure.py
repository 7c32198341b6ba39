"""Every figure of every report equals the one that is computed a second time from the exported rows."""

import dataclasses
import random
from collections.abc import AsyncIterator
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import sqlalchemy as sa

import generator
import secondly
from integrations.runtime.world import World
from service.kernel import actor
from service.reporting import reports, rollups
from service.rules.figures import figures
from world import MONDAY, TestClock

pytestmark = [pytest.mark.races, pytest.mark.load(10)]
SMALL = generator.Size(memoranda=40, institutions=120, people=300, sessions=1_500, activities=120, days=400)
PERIODS = [
    (date(2024, 1, 1), date(2026, 11, 17), "Europe/Kyiv"),
    (date(2026, 7, 1), date(2026, 10, 1), "Europe/Kyiv"),
    (date(2026, 10, 24), date(2026, 11, 17), "Asia/Kolkata"),
    (date(2026, 3, 1), date(2026, 4, 1), "America/Toronto"),
]
_MAKERS = {"memorandum": reports.memorandum, "programme": reports.programme, "institution": reports.institution}


class Generated:
    """A database that was filled, and its rows as they were exported."""

    def __init__(self, world: World, connection: asyncpg.Connection) -> None:
        self.world, self.connection = world, connection
        self.rows = secondly.Export()

    async def fill(self, size: generator.Size) -> None:
        await generator.load(self.connection, generator.generate(MONDAY, size))
        await self.connection.execute("ANALYZE")
        await self.export()

    async def export(self) -> None:
        self.rows = await secondly.export(self.connection)

    async def wrong(
        self, kind: str, subject: UUID, period: tuple[date, date, str], now: datetime = MONDAY
    ) -> list[Any]:
        """Name the figures that are not what they should be."""
        from_on, until_on, zone = period
        async with self.world.database.work(actor.TIMER) as w:
            made = await _MAKERS[kind](w, subject, from_on, until_on, zone)
        expected = secondly.Second(self.rows, kind, subject, (from_on, until_on), zone, now).all()
        found = {figure.name: _said(figure) for figure in made.figures}
        names = [("names", found.keys() ^ expected.keys())] if found.keys() != expected.keys() else []
        return names + [
            (kind, name, found[name], said)
            for name, said in expected.items()
            if found.get(name) != (_near(said.value), {key: _near(value) for key, value in said.parts.items()})
        ]

    def busiest(self, table: str, column: str, count: int) -> list[UUID]:
        """Name the memoranda or institutions with the most sessions, and one with few."""
        used: dict[UUID, int] = {}
        for row in self.rows["session"]:
            used[row[column]] = used.get(row[column], 0) + 1
        known = {row["id"] for row in self.rows[table]}
        ordered = sorted(used, key=lambda key: (-used[key], key))
        unused = sorted(known - used.keys())[:1]
        return [*ordered[:count], ordered[-1], *unused]


def _near(value: Any) -> Any:  # noqa: ANN401 - a number, several, or none
    if isinstance(value, tuple):
        return tuple(_near(each) for each in value)
    return value if value is None else pytest.approx(value, rel=1e-9, abs=1e-9)


def _said(figure: figures.Figure) -> tuple[Any, dict[str, Any]]:
    if figure.name.startswith("hours_to_"):
        parts: dict[str, Any] = {
            part.key: (part.lower_quartile, part.value, part.upper_quartile, part.rows) for part in figure.parts
        }
        return figure.value, parts
    return figure.value, {part.key: part.value for part in figure.parts}


@pytest.fixture
async def generated(world: World) -> AsyncIterator[Generated]:
    url = world.connector.address.text
    connection = await asyncpg.connect(url)
    yield Generated(world, connection)
    await connection.close()


async def everything_is_right(generated: Generated, subjects: int, periods: list[tuple[date, date, str]]) -> None:
    (ours, other) = [row["id"] for row in sorted(generated.rows["programme"], key=lambda row: row["code"])]
    wanted = [("programme", ours), ("programme", other)]
    wanted += [("memorandum", id_) for id_ in generated.busiest("memorandum", "memorandum_id", subjects)]
    for side in ("requesting", "partner"):
        wanted += [("institution", id_) for id_ in generated.busiest("institution", f"{side}_institution_id", subjects)]
    found = [wrong for kind, id_ in wanted for period in periods for wrong in await generated.wrong(kind, id_, period)]
    assert found == []


async def test_every_figure_is_the_same_when_it_is_computed_from_the_exported_rows(generated: Generated) -> None:
    await generated.fill(SMALL)
    await everything_is_right(generated, 1, PERIODS)


async def test_every_figure_is_the_same_when_the_past_was_folded_and_changed_since(
    generated: Generated, test_clock: TestClock
) -> None:
    await generated.fill(dataclasses.replace(SMALL, days=100))
    programme = min(generated.rows["programme"], key=lambda row: row["code"])["id"]
    assert await rollups.fold(generated.world.database) > 50
    dice, edits = random.Random(5), _edits()
    for number in range(3):
        for period in PERIODS[:2]:
            assert await generated.wrong("programme", programme, period, test_clock.now()) == []
        assert [each.differing for each in await rollups.compare(generated.world.database)] == [[], []]
        async with generated.world.database.work(actor.TIMER) as w:
            for statement in edits:
                table = statement.split()[1] if statement.startswith("UPDATE") else statement.split()[2]
                victim = dice.choice(generated.rows[table])
                await w.sql(sa.text(statement), {"id": victim.get("id") or victim["appointment_id"]})
        if number == 1:
            test_clock.forward(days=3)
            await rollups.fold(generated.world.database)
        await generated.export()


def _edits() -> list[str]:
    """Everything that can happen to a row that reports count."""
    return [
        "UPDATE session SET minutes = minutes + 7 WHERE id = :id",
        "UPDATE session SET is_corrected = NOT is_corrected WHERE id = :id",
        "UPDATE session SET started_at = started_at - interval '40 days' WHERE id = :id",
        "UPDATE session SET specialty_code = 'area1.s7' WHERE id = :id",
        "UPDATE offer SET state = 'declined', decline_reason = 'wrong_specialty' WHERE id = :id",
        "UPDATE offer SET state = 'expired', is_undelivered = true WHERE id = :id",
        "UPDATE offer SET sent_at = sent_at - interval '10 days' WHERE id = :id",
        "UPDATE consultation SET state = 'cancelled' WHERE id = :id",
        "UPDATE consultation SET priority = 'stat' WHERE id = :id",
        "UPDATE consultation SET answer_due_at = answer_due_at - interval '3 days' WHERE id = :id",
        "UPDATE feedback SET is_useful = NOT is_useful WHERE id = :id",
        "DELETE FROM feedback WHERE id = :id",
        "UPDATE participant SET offer_id = NULL WHERE appointment_id = :id",
    ]


@pytest.mark.drill
async def test_every_figure_of_fifty_thousand_sessions_is_the_same(generated: Generated) -> None:
    await generated.fill(generator.Size())
    assert len(generated.rows["session"]) >= 50_000
    periods = [PERIODS[0], (MONDAY.date() - timedelta(days=300), MONDAY.date() - timedelta(days=100), "Pacific/Apia")]
    await everything_is_right(generated, 2, periods)
    await rollups.fold(generated.world.database)
    await everything_is_right(generated, 0, periods)
