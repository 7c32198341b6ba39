"""Made-up programmes of any size, the same rows for the same numbers: PostgreSQL makes them, from hashes.

Mentors 1-100 are reachable for the hospital `ask50`, half of them of the asked specialty; 101-2,100 for `ask1000`,
by an umbrella, half of them likewise; 2,101-2,123 answer the offers that are accepted. Everybody else is the crowd.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg

from bench import history
from service.care import mentor_cache
from service.rules.time import availability

RANKED_50 = 100
RANKED_1000 = 2100
ACCEPTING = 23
FEW = 3
CROWD_FROM = RANKED_1000 + 41
_PER_INSTITUTION = 20
_SCRIPTS = dict(part.split("\n", 1) for part in Path(__file__).with_name("data.sql").read_text().split("-- part ")[1:])


def uid(text: str) -> UUID:
    """Give the id that the statements above give to the thing of this name."""
    return UUID(hashlib.md5(text.encode()).hexdigest())


@dataclass(frozen=True, slots=True)
class ToAccept:
    """An offer that waits: whose it is and the time it names."""

    offer_id: UUID
    mentor_id: UUID
    starts_at: datetime


async def populate(connection: asyncpg.Connection, now: datetime, mentors: int, cases: int) -> None:
    """Fill an empty database; foreign keys are not checked while rows go in, as they are right by construction.

    Neither do triggers run: what ought to leave a mark is marked here.
    """
    async with connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(history.NUMBERS)
        ranked = CROWD_FROM - 1
        zones = availability.TZDATA_VERSION  # else a worker begins by looking at every appointment anew
        for part, values in (
            ("places", [now, mentors]),
            ("memoranda", [now, mentors]),
            ("people", [now, mentors, ranked]),
            ("past", [now, mentors, "big", cases, zones]),
            ("past", [now, mentors, "small", cases // 10, zones]),
            ("ahead", [now, mentors, zones]),
            ("open", [now]),
            ("cases", []),
        ):
            await _run(connection, part, values)
        await connection.execute(
            "INSERT INTO ranking_mark (subject_id) SELECT person_id FROM mentor_profile UNION ALL SELECT $1",
            mentor_cache.REGISTRY,
        )
        await connection.execute(history.NO_NUMBERS)
    await connection.execute("VACUUM (ANALYZE)")
    await connection.execute("CHECKPOINT")  # not while something is measured


async def offer(
    connection: asyncpg.Connection,
    now: datetime,
    *,
    pool: str,
    count: int,
    mentors: int,
    contended: int,
    first_time: int,
) -> list[ToAccept]:
    """Have `count` offers wait, for times of their own or (`contended`) several for each time."""
    first = RANKED_1000 + 1 if mentors > FEW else RANKED_1000 + _PER_INSTITUTION + 1
    async with connection.transaction():
        await connection.execute("SET LOCAL session_replication_role = replica")
        await connection.execute(history.NUMBERS)
        await _run(connection, "offers", [now, pool, count, first, mentors, contended, first_time])
        await _run(connection, "cases", [])
        rows = await connection.fetch("SELECT offer_id, mentor, starts_at FROM pool ORDER BY n")
        await connection.execute("DROP TABLE pool")
        await connection.execute(history.NO_NUMBERS)
        made = [ToAccept(row["offer_id"], uid(f"mentor {row['mentor']}"), row["starts_at"]) for row in rows]
        asked = {(each.mentor_id,) for each in made}
        await connection.executemany("INSERT INTO ranking_mark (subject_id) VALUES ($1)", sorted(asked))
    return made


async def _run(connection: asyncpg.Connection, part: str, values: Sequence[object]) -> None:
    script = _SCRIPTS[part]
    # Nothing but our own numbers and names goes in: parameters cannot be given to a script of several statements.
    for number, value in enumerate(values, start=1):
        quoted = f"'{value.isoformat()}'::timestamptz" if isinstance(value, datetime) else f"'{value}'"
        script = script.replace(f"${number}", quoted if isinstance(value, str | datetime) else str(value))
    await connection.execute(script)


def soon(now: datetime, days: int) -> datetime:
    """Give the midnight so many days ahead."""
    return (now + timedelta(days=days)).replace(hour=0, minute=0, second=0, microsecond=0)


def wish(now: datetime) -> dict[str, Any]:
    """Give the body of a request whose first wave has two offers."""
    return {
        "specialty": "s0",
        "priority": "urgent",
        "mode": "either",
        "question": "A child of three with recurrent seizures after a fever: which second drug, and when?",
        "languages": ["en"],
        "age_band": "child",
        "duration_minutes": 30,
        "consent": {"scope": "general", "given_on": f"{now - timedelta(days=1):%Y-%m-%d}"},
    }
