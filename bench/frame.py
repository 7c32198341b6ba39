"""What every part of the bench is given: how long to measure, and databases that are made when the first part asks."""

import asyncio
import os
import sys
import time
import traceback
from collections.abc import Awaitable, Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import asyncpg

from bench import data, history, scratch
from bench.scratch import Site

LONG, LONG_WHEN_QUICK = 500_000, 50_000


@dataclass(slots=True)
class Bench:
    """One run: `rounds` and `count` say how much to measure, `cases` how many sessions the reports of P10 are over."""

    quick: bool
    stack: AsyncExitStack
    _folder: Path | None = None
    _sites: dict[str, Site] = field(default_factory=dict)

    @classmethod
    def of(cls, stack: AsyncExitStack, *, quick: bool) -> Self:
        """Begin a run that ends with the stack."""
        return cls(quick, stack)

    @property
    def rounds(self) -> int:
        """How many rounds of turns to take."""
        return 3 if self.quick else 5

    @property
    def count(self) -> int:
        """How many requests a round of writing has."""
        return 80 if self.quick else 160

    @property
    def cases(self) -> int:
        """How many past sessions the bigger programme of a site of mentors has."""
        return 20_000 if self.quick else 50_000

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many mentors the sites of `mentors` have."""
        return (1_000, 10_000) if self.quick else (1_000, 10_000, 100_000)

    @property
    def long(self) -> int:
        """How many past consultations the longest history has."""
        return LONG_WHEN_QUICK if self.quick else LONG

    async def mentors(self, size: int = 10_000) -> Site:
        """Have a served site with so many mentors (`data`)."""
        cases = self.cases if size == 10_000 else self.cases // 10

        async def fill(connection: asyncpg.Connection, site: Site) -> None:
            await data.populate(connection, site.now, size, cases)

        return await self._site(f"mentors_{size}", f"{size:,} mentors", fill)

    async def history(self, cases: int) -> Site:
        """Have a served site with so many past consultations (`history`); ask for 0 and for `long`."""

        async def fill(connection: asyncpg.Connection, site: Site) -> None:
            await history.populate(connection, site.now, cases, site.world.keys)

        return await self._site(f"history_{cases}", f"{cases:,} past consultations", fill)

    async def sessions(self, cases: int, why: str = "of one year") -> Site:
        """Have a served site with a programme of so many sessions in one year (`data`), among 10,000 mentors.

        Nothing of it is folded: G4 measures that.
        """

        async def fill(connection: asyncpg.Connection, site: Site) -> None:
            await data.populate(connection, site.now, 10_000, cases)

        name = f"sessions_{cases}_{why.replace(' ', '_')}"
        return await self._site(name, f"{cases:,} sessions {why}", fill, is_folded=False)

    async def fill(self, sites: Iterable[Awaitable[Site]]) -> None:
        """Fill the large ones of several databases at once, one for each core; a part tells what went wrong."""
        cores = asyncio.Semaphore(os.cpu_count() or 1)

        async def filled(site: Awaitable[Site]) -> None:
            async with cores:
                try:
                    await site
                except Exception:  # noqa: BLE001 - the part that needs it fails, too, and is told
                    traceback.print_exc()

        await asyncio.gather(*map(filled, sites))

    async def _site(self, name: str, what: str, fill: scratch.Fill, *, is_folded: bool = True) -> Site:
        if name not in self._sites:
            say(f"filling a database with {what}")
            began = time.perf_counter()
            self._folder = self._folder or self.stack.enter_context(scratch.server())
            making = scratch.site(self._folder, name, fill, is_folded=is_folded)
            site = await self.stack.enter_async_context(making)
            # In a thread: a transaction of another database that is filled meanwhile has a deadline.
            self._sites[name] = await scratch.in_thread(self.stack.enter_context, scratch.served(site))
            say(f"filled a database with {what} in {time.perf_counter() - began:.0f} s")
        return self._sites[name]


def say(what: str) -> None:
    """Tell on the way what is under way."""
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)
