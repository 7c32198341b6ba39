"""Behind PgBouncer in transaction mode: requests go through it, whatever needs a session goes past it."""

import asyncio
import base64
from collections.abc import AsyncIterator

import asyncpg
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

import pooler
import postoffice
from integrations.runtime import database_faults, doctor, migrate, settings
from integrations.runtime import world as worlds
from integrations.runtime.world import World
from service.kernel import actor

pytestmark = [
    pytest.mark.races,
    pytest.mark.skipif(not pooler.is_there(), reason="PgBouncer is not installed"),
]
TRANSACTIONS = 96


@pytest.fixture
async def pooled(world: World) -> AsyncIterator[str]:
    """The address of a pooler that was started after `pobratym migrate` had written the timeouts to the role."""
    here = told(world, world.connector.address.text)
    async with worlds.opened(here, purpose="migrate", migrating=False) as opened:
        await migrate.keep_at_role(opened.engine, worlds.session_settings(here))
    with pooler.before(world.connector.address) as address:
        await postoffice.until(lambda: answers(address))
        yield address


async def answers(address: str) -> bool:
    try:
        connection = await asyncpg.connect(address, statement_cache_size=0)
    except (OSError, asyncpg.PostgresError):
        return False
    await connection.close()
    return True


def told(world: World, address: str, **more: object) -> settings.Settings:
    key = base64.urlsafe_b64encode(bytes(range(32))).decode().rstrip("=")
    values = {
        "database_url": SecretStr(address),
        "database_direct_url": SecretStr(world.connector.address.text),
        "database_pooler": "transaction",
        "statement_cache": "off",  # Debian's PgBouncer keeps no statements
        "secret_keys": SecretStr(f"test:{key}"),
        "data_dir": world.settings.data_dir,
        "pool_timeout_ms": 60_000,
        "lock_timeout_ms": 1_234,
        **more,
    }
    return settings.Settings.model_validate(values)


async def test_ops_04_requests_work_through_a_pooler_under_the_timeouts_of_the_settings(
    world: World, pooled: str
) -> None:
    here = told(world, pooled)
    async with worlds.opened(here) as opened:

        async def ask(number: int) -> tuple[str, int]:
            async with opened.database.work(actor.TIMER) as w:
                timeout = (await w.sql(sa.text("SHOW lock_timeout"))).scalar_one()
                (row,) = await w.sql(sa.text("SELECT CAST(:number AS int) AS number"), {"number": number})
                return timeout, row.number

        answered = await asyncio.gather(*(ask(number) for number in range(TRANSACTIONS)))
    assert answered == [("1234ms", number) for number in range(TRANSACTIONS)]
    findings = {finding.subject: finding for finding in await doctor.examine(here)}
    assert findings["pooler"].is_well, findings["pooler"]
    assert findings["notices"].is_well
    differing = await doctor.examine(told(world, pooled, lock_timeout_ms=999))
    assert [finding.detail for finding in differing if finding.subject == "pooler"] == ["lock_timeout is 1234"]


async def test_ops_04_a_pooler_that_was_not_named_is_named_in_the_refusal(world: World, pooled: str) -> None:
    unaware = settings.Settings(database_url=SecretStr(pooled), data_dir=world.settings.data_dir)
    with pytest.raises(database_faults.Unusable, match="set POBRATYM_DATABASE_POOLER=transaction"):
        async with worlds.opened(unaware):
            pass


@pytest.mark.parametrize("purpose", ["worker", "migrate", "api with worker"])
async def test_ops_04_what_needs_a_session_asks_for_a_way_past_the_pooler(purpose: str) -> None:
    here = settings.Settings(database_url=SecretStr("postgresql://pooler/d?pgbouncer=true"))
    with pytest.raises(settings.BadSettings, match="POBRATYM_DATABASE_DIRECT_URL must name the database"):
        async with worlds.opened(here, purpose=purpose):
            pass
    (finding,) = [found for found in await doctor.examine(here) if found.subject == "pooler"]
    assert not finding.is_well
