"""Notices that the database was restored, before anything leaves it (decision 0060).

A worker looks when it starts, when it has connected anew, and each minute. What it has seen is remembered outside of
the database, as files that were copied and put back have the original's identity: here, whence its beat tells the other
workers (`process.loops`), and in a file of the data directory.
"""

import asyncio
import contextlib
import json

import structlog

from integrations.runtime.world import World
from service.kernel import actor, clock, installation
from service.kernel.work import Work
from service.rules import restores

SECONDS = 60.0
CONNECTED_ANEW_SECONDS = 1.0
_log = structlog.get_logger("pobratym.restore")


class Watch:
    """What one worker has seen of the database."""

    def __init__(self, world: World) -> None:
        """Begin with what an earlier process on this machine has seen."""
        self._world = world
        self._identity, self._position = _read(world)

    async def look(self) -> installation.Look:
        """Look once; whatever is new is in the log."""
        look = await self._world.database.run(actor.TIMER, self._look)
        if look.is_newly_held:
            _log.error("restored_held", reason=look.held_reason)
        elif look.held_reason:
            _log.warning("still_held", reason=look.held_reason)
        if look.new_epoch:
            _log.warning("event_epoch_begun", epoch=look.new_epoch.number, position=look.new_epoch.floor)
        if look.held_reason is None:
            self._remember(look)
        return look

    async def run(self, stop: asyncio.Event) -> None:
        """Look until `stop` is set: each minute, and once a connection was made, as a restore breaks them all."""
        while not stop.is_set():
            await self.look()
            self._world.presence.worked(installation.LOOP)
            connections, until = self._world.connector.made, clock.monotonic() + SECONDS
            while not stop.is_set() and clock.monotonic() < until and self._world.connector.made == connections:
                self._world.presence.moved(installation.LOOP)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(CONNECTED_ANEW_SECONDS):
                        await stop.wait()

    async def _look(self, w: Work) -> installation.Look:
        identity = (await installation.present(w)).identity
        seen = self._position if self._identity and _is_same(self._identity, identity) else 0
        holds = self._world.settings.on_promotion == "hold"
        return await installation.look(w, position_seen=seen, holds_on_promotion=holds)

    def _remember(self, look: installation.Look) -> None:
        if (self._identity, self._position) == (look.identity, look.position):
            return
        self._identity, self._position = look.identity, look.position
        self._world.presence.said[installation.LOOP] = {"position": look.position}
        seen = {
            "system_identifier": look.identity.system_identifier,
            "database_oid": look.identity.database_oid,
            "position": look.position,
        }
        path = self._world.settings.position_path
        with contextlib.suppress(OSError):  # a container may have no folder that it can write
            unfinished = path.with_suffix(".new")
            unfinished.write_text(json.dumps(seen))
            unfinished.replace(path)


def _is_same(one: restores.Identity, other: restores.Identity) -> bool:
    return (one.system_identifier, one.database_oid) == (other.system_identifier, other.database_oid)


def _read(world: World) -> tuple[restores.Identity | None, int]:
    try:
        seen = json.loads(world.settings.position_path.read_text())
        identity = restores.Identity(int(seen["system_identifier"]), int(seen["database_oid"]), "")
        return identity, int(seen["position"])
    except (OSError, ValueError, KeyError, TypeError):
        return None, 0
