"""Notices that the database was restored, before anything leaves it (decision 0060).

A worker looks when it starts, when it has connected anew, and each minute. What it has seen is remembered outside of
the database, as files that were copied and put back have the original's identity: here, whence its beat tells the other
workers (`process.loops`), and in a file of the data directory.
"""

import asyncio
import contextlib
import json
from datetime import datetime

import structlog

from integrations.runtime.world import World
from service.kernel import actor, clock, errors, installation, partitions
from service.kernel.work import Work
from service.registry import restores
from service.rules.restores import Identity, Seen

SECONDS = 60.0
CONNECTED_ANEW_SECONDS = 1.0
_log = structlog.get_logger("pobratym.restore")


class Watch:
    """What one worker has seen of the database."""

    def __init__(self, world: World) -> None:
        """Begin with what an earlier process on this machine has seen."""
        self._world = world
        self._seen = _read(world)

    async def look(self) -> installation.Look:
        """Look once; whatever is new is in the log. One that is held must still take rows of the months that come."""
        look = await self._world.database.run(actor.TIMER, self._look)
        if look.is_newly_held:
            _log.error("restored_held", reason=look.held_reason)
        elif look.held_reason:
            _log.warning("still_held", reason=look.held_reason)
        if look.begun:
            epoch = look.begun.epoch
            _log.warning("event_epoch_begun", epoch=epoch.number, position=epoch.floor)
        if look.held_reason is None:
            self._remember(look.seen)
        else:
            await self._make_room()
        self._world.presence.worked(installation.LOOP)
        return look

    async def _make_room(self) -> None:
        """Have the parts of the next months, as the housekeeper rests: a look that found a restore has not failed."""
        try:
            await self._world.database.run(actor.TIMER, partitions.make_all)
        except errors.Unavailable as error:
            _log.error("partitions_not_made", exc_info=error)

    async def run(self, stop: asyncio.Event) -> None:
        """Look until `stop` is set: each minute, and once a connection was made, as a restore breaks them all."""
        while not stop.is_set():
            await self.look()
            connections, until = self._world.connector.made, clock.monotonic() + SECONDS
            while not stop.is_set() and clock.monotonic() < until and self._world.connector.made == connections:
                self._world.presence.moved(installation.LOOP)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(CONNECTED_ANEW_SECONDS):
                        await stop.wait()

    async def _look(self, w: Work) -> installation.Look:
        holds = self._world.settings.on_promotion == "hold"
        look = await installation.look(w, remembered=self._seen, holds_on_promotion=holds)
        if look.begun:
            await restores.tell(w, look.begun)
        return look

    def _remember(self, seen: Seen) -> None:
        if self._seen and (self._seen.identity, self._seen.position) == (seen.identity, seen.position):
            return
        self._seen = seen
        self._world.presence.said[installation.LOOP] = {"position": seen.position}
        written = {
            "system_identifier": seen.identity.system_identifier,
            "database_oid": seen.identity.database_oid,
            "position": seen.position,
            "at": seen.at.isoformat(),
        }
        path = self._world.settings.position_path
        with contextlib.suppress(OSError):  # a container may have no folder that it can write
            unfinished = path.with_suffix(".new")
            unfinished.write_text(json.dumps(written))
            unfinished.replace(path)


def _read(world: World) -> Seen | None:
    """Give what an earlier process has seen; its timeline may be an old one, which is no restore."""
    try:
        seen = json.loads(world.settings.position_path.read_text())
        system = seen["system_identifier"]
        identity = Identity(None if system is None else int(system), int(seen["database_oid"]), None)
        return Seen(identity, int(seen["position"]), datetime.fromisoformat(seen["at"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
