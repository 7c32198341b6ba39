"""After a start the mentors are loaded in the background; who asks for some sooner loads those, as ever."""

import asyncio

import structlog

from integrations.runtime.world import World
from service.care import mentor_cache

_log = structlog.get_logger("pobratym.warming")


async def run(world: World, stop: asyncio.Event) -> None:
    """Load as many mentors as are kept, unless `stop` is set sooner; a failure costs the first requests some time."""
    try:
        count = await mentor_cache.warm(world.database, stop.is_set)
    except Exception as error:  # noqa: BLE001 - nothing depends on it
        _log.warning("warming_failed", exc_info=error)
    else:
        _log.info("mentors_warmed", count=count)
