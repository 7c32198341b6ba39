"""What another version of the program does with reports, in a process of its own: it folds or reports, line by line.

It is started in that version's folder, on a test's database, and lives at the test's instant.
"""

import asyncio
import sys
from datetime import date
from uuid import UUID

import orjson

import world as simulated
from integrations.runtime import settings
from integrations.runtime import world as worlds
from service.kernel import actor, work
from service.reporting import reports, rollups


async def main(programme_id: str, from_on: str, until_on: str) -> None:
    """Answer each line: `digest`, `fold` by how many rollups were made, `report` by the programme's figures."""
    async with worlds.opened(settings.load(), purpose="worker") as opened:
        database = work.Database(opened.engine, simulated.TestClock(), opened.keys)
        for act in sys.stdin:
            if act == "digest\n":
                answer: object = rollups.digest()
            elif act == "fold\n":
                answer = await rollups.fold(database)
            else:
                async with database.work(actor.TIMER) as w:
                    days = date.fromisoformat(from_on), date.fromisoformat(until_on)
                    answer = (await reports.programme(w, UUID(programme_id), *days, "Europe/Kyiv")).figures
            sys.stdout.buffer.write(orjson.dumps(answer) + b"\n")
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
