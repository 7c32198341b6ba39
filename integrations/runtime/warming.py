"""What a server needs for requests, but not to be ready, is loaded after its start.

Whoever asks sooner has it loaded, as ever.
"""

import asyncio
import importlib

import structlog

from integrations.runtime.world import World
from service.care import mentor_cache

LATER = ("jose.jws", "service.rules.deidentify", "pgqueuer.adapters.persistence.queries")
"""Modules imported where they are needed: for the first token that is shown, text that is checked, mail that is due."""
_log = structlog.get_logger("pobratym.warming")


async def run(world: World, stop: asyncio.Event) -> None:
    """Load as many mentors as are kept, unless `stop` is set sooner; a failure costs the first requests some time."""
    try:
        count = await mentor_cache.warm(world.database, stop.is_set)
    except Exception as error:  # noqa: BLE001 - nothing depends on it
        _log.warning("warming_failed", exc_info=error)
    else:
        _log.info("mentors_warmed", count=count)
    for name in LATER:
        if not stop.is_set():
            importlib.import_module(name)  # in no thread: modules that import each other break if two threads do
            await asyncio.sleep(0)  # requests come in between
