"""The worker's part of imports: files that were sent over the API, checked and loaded one after the other.

A file is read in a thread, so that the loop is not held; it is checked by loading it in a transaction that is rolled
back. The actor is whoever sent it, with the roles of that moment.
"""

import asyncio
import base64
import contextlib
import hashlib
from collections.abc import Sequence
from typing import Any

import structlog

from api.exchange import mappings, record_tables, told
from integrations.runtime.world import World
from service import tables, vocabulary
from service.exchange import import_files, imports
from service.kernel import actor, clock, errors
from service.people import logins
from service.rules import file_tables
from service.rules.file_tables import CellFault, Unreadable

PAUSE_SECONDS = 2.0
PROGRESS_SECONDS = 5.0
_log = structlog.get_logger("pobratym.imports")


class _Rehearsed(Exception):
    """The check succeeded; raised to roll its transaction back."""


async def run(world: World, stop: asyncio.Event) -> None:
    """Work on files until `stop` is set; raises when the database goes away, and goes on when it is begun anew."""
    while not stop.is_set():
        is_found = await once(world)
        world.presence.worked("imports")
        if not is_found:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PAUSE_SECONDS):
                    await stop.wait()


async def once(world: World) -> bool:
    """Work on one file, if one waits."""
    async with world.database.apart() as w:
        row_id = await import_files.claim(w)
    if row_id is None:
        return False
    async with world.database.work(actor.TIMER) as w:
        row = await w.read(tables.ImportFile, row_id)
        content, mapping = import_files.content(w, row)
    job = _Job(world, row, base64.b64decode(content), mapping)
    try:
        await job.work()
    except errors.Unavailable:
        raise
    except Exception as error:  # noqa: BLE001 - a file that we fail at is told as one, and stops no other
        _log.exception("import_failed", exc_info=error, subject_id=str(row_id))
        await job.settle("failed", None)
    return True


class _Job:
    """One file on its way."""

    def __init__(self, world: World, row: tables.ImportFile, content: bytes, mapping: str | None) -> None:
        self.world, self.row, self.content, self.mapping = world, row, content, mapping
        self.speaker = told.Speaker(row.lang)
        self.table = record_tables.Read([], [])
        self.done = 0

    async def work(self) -> None:
        """Read, check, and load if that was wished."""
        self.table = await asyncio.to_thread(self._read)
        if self.table.faults:
            await self.settle("refused", None, self.table.faults)
            return
        is_loading = self.row.state == "loading"
        try:
            outcome = await self._load(is_rehearsal=not is_loading)
            asks = self._asks(outcome)
            if not is_loading and not self.row.is_dry and not asks:
                outcome = await self._load(is_rehearsal=False)
                is_loading = True
        except imports.FileRefused as refused:
            await self.settle("refused", None, refused.faults)
        except errors.DomainError as error:
            reason = error.detail or error.title()
            await self.settle("refused", None, [file_tables.fault(1, "", "{reason}", reason=reason)])
        else:
            if not is_loading:  # a loaded one was settled in the transaction that loaded it
                await self.settle("checked", outcome, asks=asks)

    def _read(self) -> record_tables.Read:
        try:
            mapping = _mapping(self.mapping) if self.mapping else None
        except Unreadable as error:
            return record_tables.Read([], [file_tables.filled(1, "", error.key, error.facts)])
        if mapping and mapping.written.kind != self.row.kind:
            sentence = "the mapping is of no kind that there is: {kinds}"
            return record_tables.Read([], [file_tables.filled(1, "", sentence, {"kinds": (self.row.kind,)})])
        return record_tables.read(self.row.kind, self.content, mapping)

    def _asks(self, outcome: imports.Outcome) -> list[str]:
        asks = []
        if outcome.changes_most and not self.row.may_change_most:
            asks.append("changes_most")
        if self.table.is_doubtful and not self.row.may_be_damaged:
            asks.append("looks_damaged")
        return asks

    async def _load(self, *, is_rehearsal: bool) -> imports.Outcome:
        self.done = 0
        outcomes: list[imports.Outcome] = []
        reporting = asyncio.create_task(self._report())
        try:
            async with self.world.database.work(actor.TIMER) as w:
                sender = await logins.caller(w, self.row.person_id, clock.new_id())
            with contextlib.suppress(_Rehearsed):
                async with self.world.database.work(sender) as w:
                    outcome = await imports.load(
                        w, self.row.kind, self.table.rows, self._tell, hashlib.sha256(self.content).hexdigest(),
                        is_confirmed=self.row.is_confirmed,
                    )  # fmt: skip
                    outcomes.append(outcome)
                    if self.table.is_doubtful and not is_rehearsal and not self.row.may_be_damaged:
                        raise errors.Conflict(self.speaker.word("asks_doubts"))
                    if outcome.changes_most and not is_rehearsal and not self.row.may_change_most:
                        total = outcome.changed + outcome.same
                        raise errors.Conflict(self.speaker.word("asks_most", changed=outcome.changed, total=total))
                    if is_rehearsal:
                        raise _Rehearsed
                    await import_files.settle(w, self.row.id, "loaded", self._result(outcome), len(self.table.rows))
        finally:
            reporting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reporting
        return outcomes[0]

    def _tell(self, rows: int) -> None:
        self.done += rows

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            self.world.presence.moved("imports")
            async with self.world.database.apart() as w:
                await import_files.progress(w, self.row.id, self.done, len(self.table.rows))

    async def settle(
        self,
        state: vocabulary.ImportState,
        outcome: imports.Outcome | None,
        faults: Sequence[CellFault] = (),
        asks: Sequence[str] = (),
    ) -> None:
        """Record what became of it."""
        result = self._result(outcome, faults, asks)
        async with self.world.database.work(actor.TIMER) as w:
            await import_files.settle(w, self.row.id, state, result, len(self.table.rows))

    def _result(
        self, outcome: imports.Outcome | None, faults: Sequence[CellFault] = (), asks: Sequence[str] = ()
    ) -> dict[str, Any]:
        letters = self.table.letters
        summary = None if outcome is None else {**told.summary(outcome), "asks": list(asks)}
        return {
            "summary": summary,
            "faults": [self.speaker.fault(fault, letters) for fault in faults],
            "warnings": [self.speaker.fault(warning, letters) for warning in self.table.warnings],
        }


def _mapping(text: str) -> mappings.Mapping:
    return mappings.ready(text) if text in mappings.READY else mappings.read(text.encode())
