"""P10 and G4, what reports cost; G10, what analysts' files cost."""

import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import asyncpg
import duckdb

from bench import data, live, pace, scratch
from bench.frame import Bench
from bench.scratch import Site, Wanted
from bench.table import Line, at_most, ms
from service.reporting import rollups

_PERIOD = "from=2025-01-01&until=2199-01-01"
_SMALL_PART = 50_000  # how many sessions are made before they are multiplied
_QUERIES = (Path(__file__).parents[1] / "docs" / "analysts.md").read_text()
_WHY_REPORT = (
    "A dozen statements, whatever the period; the longest asks for the last session of each of 1,000 memoranda, which"
    " no sum knows. The fewer sessions are counted, the less the baseline takes (20,000 in a quick run)."
)
_INDEXES = "SELECT indexname FROM pg_indexes WHERE tablename = 'session' AND indexname <> 'pk_session'"
_MULTIPLIED = """
INSERT INTO session (id, appointment_id, consultation_id, memorandum_id, programme_id, route, mode, specialty_code, priority,
    requesting_institution_id, partner_institution_id, clinician_id, mentor_id, participants, started_at, ended_at, minutes,
    outcome, is_civil_for_requester, is_civil_for_mentor, is_corrected, is_memorandum_chosen_anew)
SELECT CAST(lpad(to_hex($1 + row_number() OVER ()), 32, '0') AS uuid), appointment_id, consultation_id, memorandum_id, programme_id,
       route, mode, specialty_code, priority, requesting_institution_id, partner_institution_id, clinician_id, mentor_id,
       participants, started_at + make_interval(mins => $2), ended_at + make_interval(mins => $2), minutes, outcome,
       is_civil_for_requester, is_civil_for_mentor, is_corrected, is_memorandum_chosen_anew
FROM some_sessions
"""  # noqa: E501 - a list of columns


async def reports(bench: Bench) -> list[Line]:
    """Take P10, the report over so many sessions and the same with a tenth of them, and G4, over ten times as many."""
    site = await bench.mentors()
    whole, tenth, counted = await live.in_turns(
        site, 3 * bench.rounds, (await _report(site, "big"), 1), (await _report(site, "small"), 1), (_count("big"), 2)
    )
    lines = [
        at_most(
            f"P10 programme report, {bench.cases:,} sessions", ms(whole), ms(counted), whole / counted, 3, _WHY_REPORT
        ),
        at_most("P10 ten times the rows", ms(whole), ms(tenth), whole / tenth, 12),
    ]
    return lines + await _of_a_long_year(bench)


async def _of_a_long_year(bench: Bench) -> list[Line]:
    """Take G4: a year of so many sessions is folded, and the report is asked for.

    Its last week is open, as it always is: its closed days are folded, and one day or two are counted by each report.
    """
    site = await bench.sessions(bench.long)
    steps: list[float] = []
    began = time.perf_counter()
    with _timed_steps(steps):
        while await rollups.fold(site.world.database):
            pass
    took = time.perf_counter() - began
    report, counted = await live.in_turns(site, bench.rounds, (await _report(site, "big"), 1), (_count("big"), 2))
    name = f"G4 programme report, {bench.long:,} sessions, a week open"
    return [
        at_most(name, ms(report), ms(counted), report / counted, 3, _WHY_REPORT),
        Line("G4 fold of that year", f"{took:.3g} s", "", None, "<= 60 s", took <= 60, pace.WHY),
        Line(
            f"G4 the longest of its {len(steps)} steps", ms(max(steps)), "", None, "<= 2 s", max(steps) <= 2, pace.WHY
        ),
    ]


async def _report(site: Site, programme: str) -> Wanted:
    path = f"/v1/programmes/{data.uid(f'programme {programme}')}/report?{_PERIOD}"
    return ("GET", path, await site.token("admin"), None)


def _count(programme: str) -> Wanted:
    return ("GET", f"/bench/count/{data.uid(f'programme {programme}')}", None, None)


@contextmanager
def _timed_steps(steps: list[float]) -> Iterator[None]:
    step = rollups._fold_step  # noqa: SLF001 - the one place at which a step begins and ends

    async def timed(*given: Any) -> int:  # noqa: ANN401 - whatever a step takes
        began = time.perf_counter()
        made = await step(*given)
        steps.append(time.perf_counter() - began)
        return made

    with mock.patch.object(rollups, "_fold_step", timed):
        yield


async def analysts(bench: Bench) -> list[Line]:
    """Take G10: sessions by the million become a file, which DuckDB reads by the first query of the page."""
    count = 500_000 if bench.quick else 5_000_000
    site = await to_multiply(bench)
    await _multiply(site, count)
    with tempfile.TemporaryDirectory(prefix="pobratym-bench-") as folder:
        path = Path(folder) / "sessions.parquet"
        began = time.perf_counter()
        megabytes = await scratch.in_thread(_exported, site, path)
        took, size = time.perf_counter() - began, path.stat().st_size / 2**20
        seconds = [_asked(path, count) for _ in range(bench.rounds)]
    rate = Line(f"   the same, {size:,.0f} MB", f"{count / took:,.0f} rows/s")
    return [
        Line(
            f"G10 export of {count:,} sessions as Parquet: memory",
            f"{megabytes:,.0f} MB", "", None, "<= 512 MB", megabytes <= 512,
        ),
        rate,
        Line(
            "G10 month by specialty with medians, DuckDB",
            ms(median(seconds)), "", None, "<= 3 s", median(seconds) <= 3,
        ),
    ]  # fmt: skip


async def to_multiply(bench: Bench) -> Site:
    """Have the site whose sessions become millions."""
    return await bench.sessions(_SMALL_PART, "to multiply")


async def _multiply(site: Site, count: int) -> None:
    """Have so many sessions, in the order of their ids as time makes them; indexes that no export needs are dropped."""
    connection = await asyncpg.connect(site.dsn)
    await connection.execute("SET session_replication_role = replica; SET synchronous_commit = off")
    for (name,) in await connection.fetch(_INDEXES):
        await connection.execute(f'DROP INDEX "{name}"')
    await connection.execute(f"CREATE TEMPORARY TABLE some_sessions AS SELECT * FROM session LIMIT {_SMALL_PART}")
    await connection.execute("TRUNCATE session CASCADE")
    for number in range(count // _SMALL_PART):
        await connection.execute(_MULTIPLIED, number * _SMALL_PART, number)
    await connection.execute("ANALYZE session")
    await connection.close()


def _exported(site: Site, path: Path) -> float:
    """Have the command write the file; gives the most memory that it had, in MB."""
    command = [sys.executable, "-c", "from api.cli import main; main.main()", "export", "sessions", str(path)]
    with scratch.process(command, site) as exporting:
        _, status, used = os.wait4(exporting.pid, 0)
        exporting.returncode = os.waitstatus_to_exitcode(status)
    if exporting.returncode:
        raise RuntimeError(f"the export ended with {exporting.returncode}")
    return used.ru_maxrss / 1024


def _asked(path: Path, count: int) -> float:
    query = re.findall(r"```sql\n(.*?)```", _QUERIES, re.DOTALL)[0].replace("'sessions.parquet'", f"'{path}'")
    with duckdb.connect(config={"threads": 2}) as connection:
        began = time.perf_counter()
        wanted = {"programme": "big", "zone": "Europe/Kyiv", "from": "2000-01-01", "until": "2199-01-01"}
        rows = connection.execute(query, wanted).fetchall()
        took = time.perf_counter() - began
    if not count * 0.8 < sum(row[2] for row in rows) <= count:
        raise RuntimeError("the query did not count the sessions")
    return took
