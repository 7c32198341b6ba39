"""How long is kept what only shows who did what."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from integrations.runtime.world import World
from service import housekeeping
from service.kernel import actor, clock
from service.kernel.work import Work

KEPT = 1827


async def actions(w: Work) -> list[str]:
    return list((await w.sql(sa.text("SELECT action FROM audit ORDER BY at"))).scalars())


async def test_rows_of_the_audit_end_with_their_retention_and_not_a_day_before(world: World) -> None:
    async with world.database.work(actor.TIMER) as w:
        for action, age in (("created", KEPT + 1), ("changed", KEPT - 1)):
            at = clock.wall() - timedelta(days=age)
            values = {"id": clock.least_id(at), "at": at, "action": action}
            await w.sql(
                sa.text(
                    "INSERT INTO audit (id, at, actor_kind, action, subject, details)"
                    " VALUES (:id, :at, 'system', :action, 'person', '{}')"
                ),
                values,
            )
    await housekeeping.run(world.database, housekeeping.Kept(KEPT))
    async with world.database.work(actor.TIMER) as w:
        assert await actions(w) == ["changed"]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM audit",
        "UPDATE audit SET action = 'else'",
        "TRUNCATE audit",
        "DELETE FROM log_entry",
        "UPDATE log_entry SET hash = ''",
    ],
)
async def test_nothing_else_changes_the_audit_or_the_log(w: Work, statement: str) -> None:
    with pytest.raises(sa.exc.DBAPIError, match="append-only"):
        async with w.savepoint():
            await w.sql(sa.text(statement))


async def test_the_end_of_the_audits_retention_is_not_the_logs(w: Work) -> None:
    await w.sql(sa.text("SELECT set_config('pobratym.retention', 'over', true)"))
    with pytest.raises(sa.exc.DBAPIError, match="append-only"):
        async with w.savepoint():
            await w.sql(sa.text("DELETE FROM log_entry"))


@pytest.mark.races
async def test_retention_lasts_for_its_own_transaction_only(world: World) -> None:
    await housekeeping.run(world.database, housekeeping.Kept(KEPT))
    async with world.database.work(actor.TIMER) as w:
        with pytest.raises(sa.exc.DBAPIError, match="append-only"):
            async with w.savepoint():
                await w.sql(sa.text("DELETE FROM audit"))
