"""The way from an older schema to this one; several processes may ask for it at once."""

import functools
import logging
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy.ext.asyncio import AsyncEngine

FOLDER = Path(__file__).resolve().parent.parent / "migrations"
logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells at each look which dialect it speaks
_ONE_AT_A_TIME = 0x706F6272  # "pobr"


async def upgrade(engine: AsyncEngine) -> None:
    """Have the newest schema; whoever comes second waits and finds it done."""
    async with engine.connect() as connection:
        await connection.run_sync(_upgrade)


async def present(engine: AsyncEngine) -> str | None:
    """Tell the database's version; None when nothing was ever migrated."""
    async with engine.connect() as connection:
        return await connection.run_sync(lambda c: MigrationContext.configure(c).get_current_revision())


@functools.cache
def head() -> str | None:
    """Tell the version that this program needs."""
    return ScriptDirectory.from_config(config()).get_current_head()


def config() -> Config:
    """Tell Alembic where the versions are."""
    found = Config()
    found.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    found.set_main_option("path_separator", "os")
    return found


def _upgrade(connection: sa.Connection) -> None:
    connection.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ONE_AT_A_TIME})
    found = config()
    found.attributes["connection"] = connection
    command.upgrade(found, "head")
    connection.commit()
