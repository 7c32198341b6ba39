"""What is kept of a programme's past, when the program changes that counted it, and when several versions run at once.

The others are copies of the program in which a line was changed, started as processes.
"""

import asyncio
import contextlib
import dataclasses
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import orjson
import pytest

import generator
import newer
import postoffice
from integrations.runtime import doctor
from integrations.runtime.world import World
from service.kernel import actor, errors
from service.reporting import reports, rollups
from world import MONDAY, TestClock

pytestmark = [pytest.mark.races, pytest.mark.slow]
SMALL = generator.Size(
    memoranda=20, institutions=40, people=80, sessions=300, activities=5, days=65
)  # in one block of weeks
DAYS = date(2026, 4, 1), date(2026, 11, 17)
QUERIES, ROLLUPS, COUNTS = (
    f"service/{file}.py" for file in ("reporting/count_queries", "reporting/rollups", "rules/figures/counts")
)
CANCELLED = "count(*) FILTER (WHERE state = 'cancelled') AS cancelled"
ANOTHER_ANSWER = (QUERIES, CANCELLED, CANCELLED.replace("= 'cancelled'", "IN ('cancelled', 'expired')"))
ANOTHER_KEY = [
    (QUERIES, f"{CANCELLED},", f"{CANCELLED}, 7 AS postponed,"),
    (COUNTS, "    expired: int = 0\n", "    expired: int = 0\n    postponed: int = 0\n"),
]


class Past:
    """A database with a past, its busier programme, and a connection beside the program's."""

    def __init__(self, world: World, connection: "asyncpg.Connection[Any]") -> None:
        self.world, self.connection = world, connection
        self.programme_id = UUID(int=0)

    async def fold(self) -> int:
        return await rollups.fold(self.world.database)

    async def figures(self) -> Mapping[str, Any]:
        """Give what this program's report says."""
        async with self.world.database.work(actor.TIMER) as w:
            report = await reports.programme(w, self.programme_id, *DAYS, "Europe/Kyiv")
        return by_name([dataclasses.asdict(figure) for figure in report.figures])

    async def kept(self, digest: str = rollups.digest()) -> int:
        """Tell how many rollups there are of the programs with this digest."""
        return int(await self.connection.fetchval("SELECT count(*) FROM report_rollup WHERE digest = $1", digest))

    async def change_a_session(self) -> None:
        await self.connection.execute(
            "UPDATE session SET minutes = minutes + 7 WHERE id = (SELECT id FROM session WHERE programme_id = $1"
            " AND NOT is_corrected AND started_at < '2026-10-01' ORDER BY started_at LIMIT 1)",
            self.programme_id,
        )

    @contextlib.asynccontextmanager
    async def another(self, program: newer.Program) -> AsyncIterator["Another"]:
        """Have another version of the program run until the block ends."""
        path = os.pathsep.join((str(program.folder), str(postoffice.ROOT / "tests")))
        told = postoffice.environment(self.world, LOCK_TIMEOUT_MS="60000", STATEMENT_TIMEOUT_MS="60000")
        command = [str(postoffice.ROOT / "tests" / "folding.py"), str(self.programme_id), *map(str, DAYS)]
        process = await asyncio.create_subprocess_exec(
            sys.executable, *command,
            cwd=program.folder, env=told | {"PYTHONPATH": path, "PYTHONSAFEPATH": "1"},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, limit=2**20,
        )  # fmt: skip
        try:
            yield Another(process)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.communicate()


@dataclasses.dataclass
class Another:
    """Another version of the program, that does what it is told."""

    process: asyncio.subprocess.Process

    def begin(self, act: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{act}\n".encode())

    async def told(self, act: str) -> Any:  # noqa: ANN401 - figures, or how many were folded
        self.begin(act)
        assert self.process.stdout is not None
        return orjson.loads(await self.process.stdout.readline())

    async def fold(self) -> int:
        return int(await self.told("fold"))

    async def figures(self) -> Mapping[str, Any]:
        return by_name(await self.told("report"))


def by_name(figures: list[dict[str, Any]]) -> Mapping[str, Any]:
    """Give what the figures say, as JSON has it."""
    return {
        figure["name"]: [figure[key] for key in ("value", "rows", "numerator", "denominator", "parts")]
        for figure in orjson.loads(orjson.dumps(figures))
    }


@pytest.fixture
async def past(world: World) -> AsyncIterator[Past]:
    url = world.connector.address.text
    connection = await asyncpg.connect(url)
    await generator.load(connection, generator.generate(MONDAY, SMALL))
    made = Past(world, connection)
    made.programme_id = await connection.fetchval("SELECT id FROM programme ORDER BY code LIMIT 1")
    yield made
    await connection.close()


@pytest.fixture
def program(tmp_path: Path) -> newer.Program:
    return newer.Program(tmp_path)


DIGESTS = """
import os, sys
import asyncpg, cryptography.x509, pydantic, sqlalchemy.dialects.postgresql, sqlalchemy.ext.asyncio, sqlmodel
for folder in sys.stdin:
    if not os.fork():
        sys.path.insert(0, folder.strip())
        from service.reporting import rollups
        print(rollups.digest(), flush=True)
        os._exit(0)
    os.wait()
"""
"""Tells the digest of each version of the program whose folder it is given; the libraries are imported once for all."""


@pytest.fixture(scope="module")
def digests() -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-P", "-c", DIGESTS]
    with subprocess.Popen(command, cwd="/", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process


def digest_of(program: newer.Program, digests: "subprocess.Popen[str]") -> str:
    assert digests.stdin is not None
    assert digests.stdout is not None
    digests.stdin.write(f"{program.folder}\n")
    digests.stdin.flush()
    return digests.stdout.readline().strip()


DECISIVE = {
    "what a statement counts": ANOTHER_ANSWER,
    "which rows are a programme's": (QUERIES, '"s.programme_id = :id"', '"s.programme_id = :id AND true"'),
    "what is made of the rows": (QUERIES, ".get(mentor, 0) + minutes", ".get(mentor, 0) + sessions"),
    "the shape of a tally": (
        COUNTS,
        "    most_in_week: int = 0\n    shared",
        "    most_in_week: float = 0\n    shared",
    ),
    "how it is kept": (ROLLUPS, 'array("i", tally.', 'array("l", tally.'),
    "when a week is settled": (ROLLUPS, "_SETTLED = timedelta(days=1)", "_SETTLED = timedelta(days=2)"),
}


@pytest.mark.parametrize("change", DECISIVE.values(), ids=DECISIVE)
def test_what_decides_about_the_content_changes_the_digest(
    program: newer.Program, digests: "subprocess.Popen[str]", change: tuple[str, str, str]
) -> None:
    program.change(*change)
    assert digest_of(program, digests) not in {"", rollups.digest()}


def test_comments_layout_and_docstrings_change_no_digest(
    program: newer.Program, digests: "subprocess.Popen[str]"
) -> None:
    program.change(QUERIES, "    totals = counts.Tally()\n", "    # a comment\n\n    totals = (counts.Tally())\n")
    program.change(COUNTS, "What was counted in some stretches of time", "What was counted some time")
    assert digest_of(program, digests) == rollups.digest()


async def test_a_changed_statement_gives_its_own_answer_although_the_past_was_folded(
    past: Past, program: newer.Program
) -> None:
    program.change(*ANOTHER_ANSWER)
    before = await past.figures()
    assert await past.fold() > 50
    async with past.another(program) as another:
        counted_afresh = await another.figures()
        assert await another.fold() > 50
        assert await another.figures() == counted_afresh

    cancelled, expired = (before[f"consultations_{state}"][0] for state in ("cancelled", "expired"))
    assert counted_afresh["consultations_cancelled"][0] == cancelled + expired > cancelled
    assert await past.figures() == before


async def test_versions_that_run_at_once_leave_each_others_rollups_and_end_with_all_of_theirs(
    past: Past, program: newer.Program
) -> None:
    """The other one counts a key more: either would fail at what the other keeps."""
    for change in ANOTHER_KEY:
        program.change(*change)
    made = await past.fold()
    async with past.another(program) as another:
        assert await another.fold() == made
        for first, second in ((past, another), (another, past)):
            await past.change_a_session()
            figures = await past.figures()
            for each in (first, second):
                assert 0 < await each.fold() < 7  # the days of session and request, their weeks and blocks
                assert await past.figures() == await another.figures() == figures
            assert (await first.fold(), await second.fold()) == (0, 0)
    assert await past.kept() == made


async def test_a_program_that_is_killed_while_it_folds_leaves_nothing_half_done(
    past: Past, program: newer.Program
) -> None:
    program.change(*ANOTHER_ANSWER)
    program.change(ROLLUPS, "_STEP_SECONDS = 1 ", "_STEP_SECONDS = 0 ")
    figures = await past.figures()
    async with past.another(program) as killed, past.connection.transaction():
        theirs, digest = await killed.figures(), await killed.told("digest")
        await past.connection.execute("SELECT 1 FROM report_mark WHERE at >= '2026-10-15' FOR UPDATE")
        killed.begin("fold")  # and stop at a mark that somebody holds
        await postoffice.until(lambda: stands_still(past, digest))
        killed.process.kill()
        await killed.process.wait()
    half = await past.kept(digest)

    assert await past.figures() == figures
    async with past.another(program) as revived:
        assert await revived.figures() == theirs
        assert half + await revived.fold() == await past.fold()
        assert await revived.figures() == theirs
    assert await past.figures() == figures


async def stands_still(past: Past, digest: str) -> bool:
    is_waiting = await past.connection.fetchval("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
    return is_waiting and await past.kept(digest) > 0


async def test_a_mark_that_any_version_takes_voids_what_every_version_counted(past: Past) -> None:
    """As the first release takes them, which knows nothing of rollups, and has its own beside them."""
    made = await past.fold()
    await past.connection.execute(
        "INSERT INTO report_piece SELECT programme_id, from_at, until_at, made_at, counted, hours, asked_mentors,"
        " mentors, minutes FROM report_rollup"
    )
    await past.change_a_session()
    figures = await past.figures()
    await past.connection.execute("DELETE FROM report_mark WHERE at < '2026-10-01'")

    assert await past.figures() == figures
    assert made - 7 < await past.kept() < made
    assert await past.connection.fetchval("SELECT count(*) FROM report_piece") == await past.kept()


async def test_rollups_of_programs_that_are_gone_are_dropped_a_month_after_the_last_one(
    past: Past, test_clock: TestClock
) -> None:
    await past.fold()
    await past.connection.execute("UPDATE report_rollup SET digest = 'gone', made_at = made_at - interval '99 days'")
    await past.connection.execute(
        "UPDATE report_rollup SET made_at = $1 WHERE from_at = (SELECT max(from_at) FROM report_rollup)", MONDAY
    )
    test_clock.forward(days=29)
    await past.fold()
    assert await past.kept("gone") > 0

    test_clock.forward(days=1)
    await past.fold()
    assert await past.kept("gone") == 0
    assert await past.kept() > 0


async def test_the_doctor_names_the_weeks_that_were_tampered_with(past: Past) -> None:
    await past.fold()
    assert [each.differing for each in await rollups.compare(past.world.database)] == [[], []]
    for change, week in (
        ("minutes = substr(minutes, 1, 4)", 39),
        ("counted = '{}'", 40),
        ("counted = replace(counted, '\"sent\":', '\"sent\":1')", 41),
    ):
        await past.connection.execute(
            f"UPDATE report_rollup SET {change} WHERE programme_id = $1 AND until_at - from_at = interval '7 days'"
            f" AND to_char(from_at AT TIME ZONE 'UTC', 'IW') = '{week}'",
            past.programme_id,
        )
    await past.connection.execute("UPDATE report_rollup SET digest = 'x', counted = '' WHERE from_at < '2026-09-14'")
    finding = await doctor.reports(past.world)

    assert not finding.is_well
    weeks = "2026-09-21 until 2026-09-28, 2026-09-28 until 2026-10-05, 2026-10-05 until 2026-10-12"
    assert finding.detail.endswith(f"in UTC: ua-generated: {weeks}")
    await past.connection.execute(finding.mend.split("`")[1])
    assert (await doctor.reports(past.world)).is_well


async def test_two_workers_that_fold_at_once_make_each_rollup_once(past: Past) -> None:
    figures = await past.figures()
    made = await asyncio.gather(past.fold(), past.fold())

    assert sum(made) == await past.kept() > 50
    assert await past.fold() == 0
    assert await past.figures() == figures


async def test_a_day_is_folded_while_answers_in_it_are_due_and_counts_them_when_they_are_late(
    past: Past, test_clock: TestClock
) -> None:
    await past.connection.execute("UPDATE consultation SET answer_due_at = $1", MONDAY + timedelta(hours=2))
    await past.fold()
    early = await past.figures()
    test_clock.forward(hours=2)
    late = await past.figures()
    assert [each.differing for each in await rollups.compare(past.world.database)] == [[], []]
    await past.connection.execute("DELETE FROM report_rollup")

    assert late == await past.figures()
    for name in ("share_allocated_in_time", "share_answered_in_time", "share_answered"):
        assert late[name][3] > early[name][3]


async def test_what_takes_too_long_is_left_out_and_the_others_are_folded(past: Past) -> None:
    await past.connection.execute("""
        CREATE FUNCTION take_long() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION 'canceling statement due to statement timeout' USING ERRCODE = '57014'; END $$;
        CREATE TRIGGER tg_long BEFORE INSERT ON report_rollup FOR EACH ROW
        WHEN (NEW.from_at = '2026-10-07Z') EXECUTE FUNCTION take_long()""")
    with pytest.raises(errors.Unavailable):
        await past.fold()
    kept = await past.kept()
    await past.connection.execute("DROP TRIGGER tg_long ON report_rollup")

    assert await past.fold() == 4  # the day and its week, of two programmes
    assert await past.kept() == kept + 4 > 50


THAT_HOLD_BY_PAIRS = """
WITH held AS MATERIALIZED (
  SELECT id, from_at, until_at FROM report_rollup r
  WHERE programme_id = $1 AND digest = $2 AND from_at >= $3 AND until_at <= $4
  AND NOT EXISTS (SELECT 1 FROM report_mark m WHERE m.programme_id = $1 AND m.at >= r.from_at AND m.at < r.until_at)
)
SELECT id FROM held
WHERE NOT EXISTS (SELECT 1 FROM held wider WHERE wider.from_at <= held.from_at AND wider.until_at >= held.until_at
                  AND wider.until_at - wider.from_at > held.until_at - held.from_at)
ORDER BY until_at - from_at DESC, from_at
"""


async def test_a_report_reads_the_widest_rollups_that_hold_as_comparing_each_with_each_finds_them(past: Past) -> None:
    await past.fold()
    found = []
    for part in (1.0, 0.9, 0.5, 0.1):
        await past.connection.execute("SELECT setseed(0.5)")
        await past.connection.execute("DELETE FROM report_rollup WHERE random() > $1", part)
        await past.change_a_session()
        for since, till in (
            (MONDAY - timedelta(days=days), MONDAY - timedelta(days=days // 9)) for days in (9, 40, 400)
        ):
            expected = await past.connection.fetch(THAT_HOLD_BY_PAIRS, past.programme_id, rollups.digest(), since, till)
            async with past.world.database.work(actor.TIMER) as w:
                held = await rollups._that_hold(w, past.programme_id, (since, till), with_narrower=False)
            assert [row.id for row in held] == [row["id"] for row in expected]
            found.append(len(held))
    assert len(set(found)) > 5
