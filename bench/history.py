"""A history of N past consultations, with everything that the housekeeper leaves of each, and the same present day.

Three programmes, 60 hospitals that ask and 100 that answer, 300 memoranda, 1,200 clinicians and 1,000 mentors, whatever
N is; the past is spread over three years, a twentieth of it under memorandum 1. The present is 400 cases, of which 150
are those of hospital, clinician, mentor and memorandum 1: open, offered, scheduled, unmatched, drafts, and closed in
the last days, so that a first page shows as much without a past as with one. Clinician 1,200 of hospital 60, mentor 991
of hospital 100 and their coordinators have three cases and no more: who is quiet while all around grow.

`uid("clinician 1")` gives an id; there are `clinician 1` to `1200` (twenty a hospital), `mentor 1` to `1000` (ten a
hospital), `coordinator 1` to `60`, `partner 1` to `100` (who coordinate the mentors' hospitals), `admin 1` to `3` (of a
programme), `admin of all`, and the systems `system 1`, `2`, `60` and `mentors system 1`, `2`, `100`. When it is made
nothing is due: a worker finds nothing to do. The chained log has its rows, but not hashes that verify.
"""

import hashlib
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID

import asyncpg

from service import vocabulary
from service.kernel import crypto
from service.rules.time import availability

YEARS = 3
_AT_ONCE = 50_000
NUMBERS = """
ALTER TABLE consultation ALTER number
SET DEFAULT 'R-' || upper(translate(lpad(to_hex(nextval('consultation_numbers_drawn')), 6, '0'), '01', 'gh'))
"""
"""Cases that go in past the triggers have a short number, too, each its own."""
NO_NUMBERS = "ALTER TABLE consultation ALTER number DROP DEFAULT"
_SCRIPTS = dict(
    part.split("\n", 1) for part in Path(__file__).with_name("history.sql").read_text().split("-- part ")[1:]
)
_WITH_TEXT = "SELECT id, CASE WHEN was_held THEN session_id END FROM cases WHERE NOT is_forgotten"
_QUESTION = "A child of three with recurrent seizures after a fever: which second drug, and when? " * 3
_CONCLUSION = "Go on with the present drug for a week, look at the blood again, and ask once more. " * 2


def uid(name: str) -> UUID:
    """Give the id of a person, or of `programme 1`, `asking 1`, `answering 1`, `memorandum 1`."""
    return UUID(hashlib.md5(f"history {name}".encode()).hexdigest())


def email(who: str) -> str:
    """Give the address of the person of this name."""
    return f"{who.replace(' ', '-')}@history.example"


async def populate(connection: asyncpg.Connection, now: datetime, cases: int, keys: crypto.Keys) -> None:
    """Fill an empty database with the present and so many past cases, then ANALYZE.

    About three minutes for 500,000 on a quiet machine. No triggers run and no foreign keys are checked: what goes in is
    right by construction. `keys` seal what text is not erased yet.
    """
    began, until = now - timedelta(days=365 * YEARS), now - timedelta(days=12)
    said: dict[str, object] = {
        "now": now,
        "began": began,
        "until": until,
        "count": max(cases, 1),
        "zones": availability.TZDATA_VERSION,
        "scopes": "{" + ",".join(vocabulary.SCOPES) + "}",
    }
    await connection.execute("SET session_replication_role = replica; SET synchronous_commit = off")
    await connection.execute(NUMBERS)
    indexes = await _without_indexes(connection) if cases > _AT_ONCE else []
    await connection.execute(_script("functions", said))
    for part in ("registry", "people"):
        await connection.execute(_script(part, said))
    for first in range(1, cases + 1, _AT_ONCE):
        lot = {"first": first, "last": min(first + _AT_ONCE - 1, cases)}
        await _write(connection, "cases", said | lot, keys)
    for statement in indexes:
        await connection.execute(statement)
    await _write(connection, "present", said, keys)
    await connection.execute(_script("marks", said))
    await connection.execute(NO_NUMBERS)
    await connection.execute("RESET session_replication_role; RESET synchronous_commit")
    await connection.execute("VACUUM (ANALYZE)")
    await connection.execute("CHECKPOINT")  # not while something is measured


async def _without_indexes(connection: asyncpg.Connection) -> list[str]:
    """Drop the indexes that hold up nothing but reading; gives what makes them again, faster than row by row."""
    await connection.execute("SET maintenance_work_mem = '256MB'")
    dropped = await connection.fetch(_SLOWING)
    for row in dropped:
        await connection.execute(f'DROP INDEX "{row["name"]}"')
    return [row["made"] for row in dropped]


_SLOWING = """
SELECT i.relname AS name, pg_get_indexdef(i.oid) AS made
FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
WHERE t.relnamespace = CAST('public' AS regnamespace) AND t.relkind = 'r' AND NOT t.relispartition
AND NOT x.indisprimary AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.oid) ORDER BY 1
"""
"""Those of tables without parts, and of no constraint."""


async def _write(connection: asyncpg.Connection, which: str, said: Mapping[str, object], keys: crypto.Keys) -> None:
    async with connection.transaction():
        await connection.execute(_script(which, said))
        await connection.execute(_script("timed", said))
        await connection.execute("ANALYZE cases")
        kept = await connection.fetch(
            "SELECT id, CASE WHEN was_held THEN session_id END FROM cases WHERE NOT is_forgotten"
        )
        sealed = [
            (id_, keys.encrypt(_QUESTION, id_), keys.encrypt(_CONCLUSION, session_id) if session_id else None)
            for id_, session_id in kept
        ]
        await connection.copy_records_to_table("texts", records=sealed)
        for part in ("written", "kept", "done"):
            await connection.execute(_script(part, said))


def _script(part: str, said: Mapping[str, object]) -> str:
    # Nothing but our own numbers and names goes in: parameters cannot be given to a script of several statements.
    def quoted(match: re.Match[str]) -> str:
        value = said[match[1]]
        if isinstance(value, datetime):
            return f"'{value.isoformat()}'::timestamptz"
        return str(value) if isinstance(value, int) else f"'{value}'"

    return re.sub(r"\$(\w+)", quoted, _SCRIPTS[part])
