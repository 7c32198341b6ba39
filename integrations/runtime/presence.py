"""What a process says of itself: that it lives, how its loops move, whether its clock is right.

It says so every ten seconds in its row of `process`. Whoever asks whether it is ready has it say so at once, which
proves that the database takes changes; at most once a second, however many ask.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy.exc import SQLAlchemyError

from integrations.runtime import schema_version
from service import vocabulary
from service.kernel import clock, database_errors, errors, partitions, processes, work
from service.rules.time import availability

PROBE_SECONDS = 1.0
ANSWER_SECONDS = 3.0
"""That the database may take; with what `health.notices` may take, less than whoever asks waits for."""
_log = structlog.get_logger("pobratym.presence")


@dataclass(slots=True)
class _Loop:
    """When it moved last, on the stopwatch, and how often in a row it failed, by what."""

    moved_at: float
    failures: int = 0
    sqlstate: str | None = None
    has_worked: bool = False  # since this process began


@dataclass(slots=True)
class Presence:
    """One process; `wall` is its clock."""

    identity: processes.Identity
    wall: Callable[[], datetime] = clock.wall
    probe_seconds: float = PROBE_SECONDS
    answer_seconds: float = ANSWER_SECONDS  # that the database may take
    offset_seconds: float | None = None  # by which its clock is before the database's
    said: dict[str, dict[str, Any]] = field(default_factory=dict)  # by loops, for other processes
    _loops: dict[str, _Loop] = field(default_factory=dict)
    _answer: list[str] = field(default_factory=list)
    _is_corrupt: bool = False  # once it was, nobody believes it well before a restart
    _asked_at: float | None = None
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)

    def moved(self, loop: str) -> None:
        """Note that the loop goes on; called by its body at least every minute."""
        known = self._loops.get(loop)
        if known is None:
            self._loops[loop] = _Loop(clock.monotonic())
        else:
            known.moved_at = clock.monotonic()

    def failed(self, loop: str, sqlstate: str | None) -> int:
        """Note that the loop failed, which is a move as well; gives how often in a row."""
        self.moved(loop)
        known = self._loops[loop]
        known.failures, known.sqlstate = known.failures + 1, sqlstate
        return known.failures

    def worked(self, loop: str) -> None:
        """Note that the loop has worked since it last failed."""
        self.moved(loop)
        known = self._loops[loop]
        known.failures, known.sqlstate, known.has_worked = 0, None, True

    def is_kept_from(self, loop: str) -> bool:
        """Tell whether the loop has failed whenever it was tried."""
        known = self._loops.get(loop)
        return known is not None and known.failures > 0 and not known.has_worked

    def stuck(self) -> list[str]:
        """Name the loops that have not moved for a minute."""
        now = clock.monotonic()
        return sorted(name for name, loop in self._loops.items() if processes.is_stuck(name, now - loop.moved_at))

    def loops(self) -> dict[str, Any]:
        """Give how each loop does: seconds since it moved, failures in a row, SQLSTATE of the last, what it said."""
        now = clock.monotonic()
        return {
            name: {
                "moved_s": round(now - loop.moved_at, 1),
                "failures": loop.failures,
                "sqlstate": loop.sqlstate,
                **self.said.get(name, {}),
            }
            for name, loop in sorted(self._loops.items())
        }

    def is_off(self, by_seconds: float = processes.OFF_SECONDS) -> bool:
        """Tell whether this process's clock and the database's differ by more."""
        return abs(self.offset_seconds or 0.0) > by_seconds

    async def faults(self, database: work.Database) -> list[str]:
        """Name what keeps this process from its work; found out anew if nobody has asked for a second.

        `database` is not that of the requests: one that they keep busy serves.
        """
        async with self._one_at_a_time:
            if self._asked_at is None or clock.monotonic() - self._asked_at >= self.probe_seconds:
                self._answer = await self._probed(database)
                self._asked_at = clock.monotonic()
            return list(self._answer)

    async def _probed(self, database: work.Database) -> list[str]:
        try:
            async with asyncio.timeout(self.answer_seconds):  # a server that hangs answers nothing, not even a refusal
                is_served = schema_version.serves(await self.beat(database))
                has_place = not is_served or await _has_place(database)
        except (SQLAlchemyError, OSError, errors.DomainError) as error:
            reason = database_errors.reason(error)
            self._is_corrupt |= reason is database_errors.CORRUPT
            return [reason.name]
        if self._is_corrupt:
            return [database_errors.CORRUPT.name]
        if not has_place:
            _log.error("no_part_for_this_month")
            return [database_errors.NO_PLACE.name]
        return [] if is_served else [database_errors.SCHEMA_OUTDATED.name]

    async def beat(self, database: work.Database) -> str | None:
        """Say that this process lives, and compare its clock; gives the version of the database's schema."""
        offset_ms = None if self.offset_seconds is None else round(self.offset_seconds * 1000)
        asked = self.wall().timestamp()
        stopwatch = clock.monotonic()
        async with database.apart() as w:
            heard = await processes.beat(w, self.identity, self.loops(), offset_ms)
        offset = asked + (clock.monotonic() - stopwatch) / 2 - heard.epoch
        if abs(offset) > processes.OFF_SECONDS and not self.is_off():
            _log.error("clock_off", offset_s=round(offset, 1))
        self.offset_seconds = offset
        return heard.schema


async def _has_place(database: work.Database) -> bool:
    """Tell whether each table of which each month is a part has one for now."""
    async with database.apart() as w:
        return min((await partitions.ends(w)).values()) > clock.wall()


def of_this_process(kind: vocabulary.ProcessKind, version: str) -> Presence:
    """Give the presence of this process, which nobody has heard of yet."""
    host, tzdata = socket.gethostname(), availability.TZDATA_VERSION
    return Presence(processes.Identity(clock.new_id(), kind, host, version, schema_version.head(), tzdata))


async def beating(presence: Presence, database: work.Database, stop: asyncio.Event) -> None:
    """Say every ten seconds that this process lives, until `stop` is set; raises what the database refuses."""
    while not stop.is_set():
        await presence.beat(database)
        presence.worked("beat")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(processes.BEAT_SECONDS):
                await stop.wait()
