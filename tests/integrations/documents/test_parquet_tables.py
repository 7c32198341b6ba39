"""Files for analysts: their columns are those that the page tells, and its queries give what a report says."""

import io
import re
from collections import Counter
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import asyncpg
import duckdb
import httpx
import pytest
import sqlalchemy as sa
from pyarrow import parquet

import build
import generator
from integrations.documents import parquet_tables
from integrations.runtime.world import World
from service import tables
from service.exchange import analysis
from service.kernel import actor
from world import MONDAY

pytestmark = pytest.mark.slow
PAGE = (Path(__file__).parents[3] / "docs" / "analysts.md").read_text()
MONTHS, WAITING, ACTIVITIES = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)
SMALL = generator.Size(memoranda=20, institutions=40, people=80, sessions=300, activities=120, days=200)
ZONE, FROM, UNTIL = "Europe/Kyiv", date(2026, 6, 1), date(2026, 10, 1)
FORMS = {
    "id": "string", "code": "dictionary<values=string, indices=int32, ordered=0>", "integer": "int32", "flag": "bool",
    "codes": "list<element: string not null>", "instant": "timestamp[us, tz=UTC]", "date": "date32[day]",
}  # fmt: skip
WORDS = {
    "text": "id", "code": "code", "list of text": "codes", "int32": "integer", "boolean": "flag",
    "timestamp": "instant", "date": "date",
}  # fmt: skip


async def written(world: World, subject: str, programme: Any = None) -> bytes:  # noqa: ANN401 - an id or None
    file = io.BytesIO()
    async with world.database.work(actor.TIMER) as w:
        with parquet_tables.opened(file, analysis.columns(subject)) as table:
            async for lot in analysis.lots(w, subject, programme):
                table.add(lot)
            table.finish()
    return file.getvalue()


@pytest.fixture
async def files(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the three files of a generated database, in which one is."""
    connection = await asyncpg.connect(world.connector.address.text)
    await generator.load(connection, generator.generate(MONDAY, SMALL))
    await connection.close()
    for subject in analysis.SUBJECTS:
        (tmp_path / f"{subject}.parquet").write_bytes(await written(world, subject))
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def reported(world: World, client: httpx.AsyncClient, code: str) -> dict[str, Any]:
    """Give what the API reports of the programme."""
    async with world.database.work(actor.TIMER) as w:
        programme = await w.read(tables.Programme, (await _programmes(w))[code])
        admin = await build.person(w)
        await build.grant(w, admin, "programme_admin", programme)
    path = f"/v1/programmes/{programme.id}/report?from={FROM}&until={UNTIL}&zone={ZONE}&by=month"
    answer = await client.get(path, headers=await build.bearer(world, admin))
    assert answer.status_code == httpx.codes.OK, answer.text
    report: dict[str, Any] = answer.json()
    return report | {"figures": {figure["name"]: figure for figure in report["figures"]}}


async def _programmes(w: Any) -> Mapping[str, Any]:  # noqa: ANN401 - a unit of work
    return {row.code: row.id for row in await w.fetch(sa.text("SELECT code, id FROM programme"), {})}


def asked(query: str, code: str) -> list[tuple[Any, ...]]:
    wanted = {"programme": code, "zone": ZONE, "from": FROM, "until": UNTIL}
    with duckdb.connect() as connection:
        return connection.execute(query, {key: wanted[key] for key in wanted if f"${key}" in query}).fetchall()


def parts(figure: Mapping[str, Any]) -> dict[str, Any]:
    return {part["key"]: part["value"] for part in figure["parts"]}


@pytest.mark.races
async def test_the_queries_of_the_page_give_what_the_report_says(
    files: Path, world: World, client: httpx.AsyncClient
) -> None:
    code = parquet.read_table(files / "sessions.parquet")["programme"].to_pylist()[0]
    report = await reported(world, client, code)
    figures = report["figures"]

    by_month, by_specialty = Counter[str](), Counter[str]()
    for month, specialty, sessions, minutes, median in asked(MONTHS, code):
        by_month[f"{month:%Y-%m}"] += minutes
        by_specialty[specialty] += sessions
        assert 0 <= median <= minutes
    assert by_specialty == parts(figures["areas"])
    assert by_month == {month["month"]: month["minutes"] for month in report["months"]}

    waited = {priority: (rows, *hours) for priority, rows, hours in asked(WAITING, code)}
    assert len(waited) > 2
    assert waited == {
        part["key"]: pytest.approx((part["rows"], part["lower_quartile"], part["value"], part["upper_quartile"]))
        for part in figures["hours_to_answer"]["parts"]
        if part["rows"]
    }

    began = asked(ACTIVITIES, code)
    assert {kind: count for kind, count, _ in began} == parts(figures["activities"]) != {}
    assert sum(people for _, _, people in began) == figures["activity_people"]["value"] > 0


@pytest.mark.parametrize("subject", analysis.SUBJECTS)
def test_a_file_has_the_columns_and_types_of_the_page(subject: str) -> None:
    file = io.BytesIO()
    with parquet_tables.opened(file, analysis.columns(subject)) as written_table:
        written_table.finish()
    schema = parquet.read_schema(file)
    table = PAGE.split(f"| `{subject}` | | |\n|---|---|---|\n")[1].split("\n\n")[0]
    told = []
    for row in table.splitlines():
        names, form, _ = (cell.strip() for cell in row.strip("|").split("|", 2))
        is_nullable = form.endswith(", may be null")
        kind = FORMS[WORDS[form.removesuffix(", may be null")]]
        told += [(name, kind, is_nullable) for name in re.findall(r"`(\w+)`", names)]
    assert [(field.name, str(field.type), field.nullable) for field in schema] == told


@pytest.mark.races
async def test_a_file_holds_every_row_the_same_every_time_and_of_people_nothing_but_ids(
    files: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await asyncpg.connect(world.connector.address.text)
    canary = "daughter of the mayor"  # words of the clinician's own, which no role at the hospital names
    await connection.execute("UPDATE consultation SET department = $1, tags = ARRAY[CAST($1 AS varchar)]", canary)
    for subject in analysis.SUBJECTS:
        (files / f"{subject}.parquet").write_bytes(await written(world, subject))
    for subject, table in zip(analysis.SUBJECTS, ("session", "activity", "consultation"), strict=True):
        content = (files / f"{subject}.parquet").read_bytes()
        rows = parquet.read_table(io.BytesIO(content)).to_pylist()
        stored = await connection.fetch(f"SELECT CAST(id AS text) FROM {table} ORDER BY id")
        assert [row["id"] for row in rows] == [row[0] for row in stored] != []
        assert "@" not in repr(rows)
        assert "of the mayor" not in repr(rows)
        assert await written(world, subject) == content
    programme = await connection.fetchval("SELECT id FROM programme ORDER BY code LIMIT 1")
    count = await connection.fetchval("SELECT count(*) FROM session WHERE programme_id = $1", programme)
    await connection.close()
    whole = parquet.read_table(files / "sessions.parquet")
    of_one = parquet.read_table(io.BytesIO(await written(world, "sessions", programme)))
    assert 0 < of_one.num_rows == count < whole.num_rows

    monkeypatch.setattr(analysis, "AT_ONCE", 7)
    monkeypatch.setattr(parquet_tables, "_GROUP_ROWS", 20)
    in_groups = parquet.ParquetFile(io.BytesIO(await written(world, "sessions")))
    assert in_groups.num_row_groups > 10
    assert in_groups.read().to_pylist() == whole.to_pylist()


async def test_a_database_without_rows_gives_tables_without_rows(world: World) -> None:
    for subject in analysis.SUBJECTS:
        table = parquet.read_table(io.BytesIO(await written(world, subject)))
        assert (table.num_rows, table.num_columns) == (0, len(analysis.columns(subject)))
