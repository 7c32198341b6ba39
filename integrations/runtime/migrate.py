"""Brings an older schema up to this program's while everything runs; several processes may start it at once.

A statement that waits for a lock makes every later one wait behind it. So a version of the schema waits a tenth of a
second (`migrations/env.py`), gives back what it has, and is tried again after a pause. Each version is a transaction of
its own, so none is half done.
"""

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path

import sqlalchemy as sa
import structlog
from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from integrations.runtime import database_faults, schema_version
from service.kernel import clock

PATIENCE_SECONDS = 300.0
_PAUSE_SECONDS = 0.5  # five times as long as others may have to wait: so they get through what had piled up
_GIVES_WAY = {"55P03", "40P01"}  # the lock was not available; a deadlock
logging.getLogger("alembic").setLevel(logging.WARNING)  # it logs its dialect at each look
_log = structlog.get_logger("pobratym.migrate")
_ONE_AT_A_TIME = 0x706F6272  # "pobr"


class InUse(database_faults.Unusable):
    """Others held what the migration needs, for too long; the message says what to do."""


async def upgrade(
    engine: AsyncEngine, patience_seconds: float = PATIENCE_SECONDS, folder: Path = schema_version.FOLDER
) -> None:
    """The database has the folder's newest schema. Gives way to other sessions; a second process finds it done.

    Raises Unusable for a version that is not in the folder, and InUse when the patience is over: the versions that
    were reached stay, the next one was not begun.
    """
    until, attempt = clock.monotonic() + patience_seconds, 0
    while not await _tried(engine, folder):
        if clock.monotonic() >= until:
            msg = (
                f"The schema is not {schema_version.head(folder)} yet: for {patience_seconds:.0f} s somebody held what"
                " the next version needs, or another migration ran. Nothing is half done: try again, longer or in a"
                " quieter hour."
            )
            raise InUse(msg)
        attempt += 1
        if attempt.bit_count() == 1:  # the 1st, 2nd, 4th …: seen soon, and not hundreds of lines
            _log.warning("migration_gives_way", attempt=attempt)
        await asyncio.sleep(_PAUSE_SECONDS * (1 + clock.jitter()))


async def keep_at_role(engine: AsyncEngine, settings: Mapping[str, str]) -> None:
    """Each new session of this role in this database has these settings: through a pooler nobody else can give them."""
    statement = sa.text("""
SELECT format('ALTER ROLE CURRENT_USER IN DATABASE %I SET %I = %L', current_database(), CAST(:name AS text),
              CAST(:value AS text))
""")
    async with engine.begin() as connection:
        for name, value in settings.items():
            sql = (await connection.execute(statement, {"name": name, "value": value})).scalar_one()
            await connection.exec_driver_sql(sql)


def config(folder: Path = schema_version.FOLDER) -> Config:
    """Tell Alembic where the versions are."""
    alembic_config = Config()
    alembic_config.set_main_option("script_location", str(folder).replace("%", "%%"))
    alembic_config.set_main_option("path_separator", "os")
    return alembic_config


async def _tried(engine: AsyncEngine, folder: Path) -> bool:
    """Migrate until another session is in the way; tells whether the newest version was reached."""
    async with engine.connect() as connection:
        try:
            return await _is_alone(connection) and await connection.run_sync(_upgrade, config(folder))
        except CommandError as error:
            msg = "The database's schema is not known to this program: was it migrated by a newer one?"
            raise database_faults.Unusable(msg) from error
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) not in _GIVES_WAY:
                raise
            return False
        finally:
            await connection.invalidate()  # its lock and its timeouts end with it


async def _is_alone(connection: AsyncConnection) -> bool:
    """Tell whether this connection is the one that migrates, which it is until it ends.

    The lock is tried and not waited for: a session that waits is in a transaction, and CREATE INDEX CONCURRENTLY waits
    for every one of those.
    """
    result = await connection.execute(sa.text("SELECT pg_try_advisory_lock(:key)"), {"key": _ONE_AT_A_TIME})
    is_alone = bool(result.scalar_one())
    await connection.commit()
    return is_alone


def _upgrade(connection: sa.Connection, versions: Config) -> bool:
    versions.attributes["connection"] = connection
    command.upgrade(versions, "head")
    return True
