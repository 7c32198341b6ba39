"""The consultation journal: every session and advice once, the columns that were chosen, no word of the case."""

import csv
import io
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import openpyxl
import pytest

import build
import caseload
from api.edge import files
from caseload import Caseload
from integrations.runtime import settings
from integrations.runtime.world import World
from service import vocabulary
from service.rules.figures import journal_columns as rules

PERIOD = f"from={caseload.FROM}&until={caseload.UNTIL}"
KYIV = ZoneInfo("Europe/Kyiv")


@pytest.fixture
async def scene(world: World) -> Caseload:
    made = Caseload(world)
    await made.set_up(cases=40)
    return made


async def journal_of(
    scene: Caseload, client: httpx.AsyncClient, more: str = "", form: vocabulary.ResponseForm = "json"
) -> httpx.Response:
    headers = await build.bearer(scene.world, scene.coordinator) | {"Accept": files.KINDS[form]}
    return await client.get(f"/v1/institutions/{scene.asking.id}/journal?{PERIOD}{more}", headers=headers)


def logged(scene: Caseload) -> list[Any]:
    found = scene.period("session", "started_at", lambda row: not row.is_corrected)
    return sorted(found, key=lambda row: (row.started_at, row.id))


async def test_every_session_and_advice_of_the_period_is_there_once_in_order(
    scene: Caseload, client: httpx.AsyncClient
) -> None:
    every = f"&columns={','.join(rules.COLUMNS)}&limit=200"
    items = (await journal_of(scene, client, every)).json()["items"]
    expected = logged(scene)

    assert [item["session_id"] for item in items] == [str(row.id) for row in expected]
    assert {item["mode"] for item in items} == {"live", "written"}
    assert [item["number"] for item in items] == list(range(1, len(expected) + 1))
    for item, row in zip(items, expected, strict=True):
        assert (item["minutes"], item["outcome"], item["specialty"]) == (row.minutes, row.outcome, row.specialty_code)
        assert datetime.fromisoformat(item["started_at"]) == row.started_at.replace(microsecond=0)
        assert item["side"] == "requesting"


async def test_pages_go_on_where_the_one_before_ended(scene: Caseload, client: httpx.AsyncClient) -> None:
    whole = (await journal_of(scene, client, "&limit=200")).json()["items"]
    first = (await journal_of(scene, client, "&limit=3")).json()
    second = (await journal_of(scene, client, f"&limit=3&after={first['next']}")).json()

    assert [*first["items"], *second["items"]] == whole[:6]


async def test_both_files_hold_the_same_rows_in_words_and_by_the_clock_of_the_zone(
    scene: Caseload, client: httpx.AsyncClient
) -> None:
    asked = "&lang=en&columns=number,started_at,mode,minutes,mentor&zone=Europe/Kyiv"
    told = (await journal_of(scene, client, f"{asked}&limit=200")).json()["items"]
    text = await journal_of(scene, client, asked, "csv")
    head, *rows = list(csv.reader(io.StringIO(text.content.decode("utf-8-sig"), newline=""), strict=True))
    book = openpyxl.load_workbook(io.BytesIO((await journal_of(scene, client, asked, "xlsx")).content))
    cells = list(book.worksheets[0].iter_rows(values_only=True))

    assert head == list(cells[0]) == ["No.", "Began", "Form", "Minutes", "Consultant"]
    for item, row, typed in zip(told, rows, cells[1:], strict=True):
        wall = datetime.fromisoformat(item["started_at"]).astimezone(KYIV).replace(tzinfo=None)
        word = {"live": "session", "written": "written advice"}[item["mode"]]
        assert typed == (item["number"], wall, word, item["minutes"], item["mentor"])
        assert row == [str(item["number"]), str(wall), word, str(item["minutes"]), item["mentor"]]


async def test_without_a_choice_the_columns_are_those_of_the_settings(
    scene: Caseload, client: httpx.AsyncClient
) -> None:
    told = (await journal_of(scene, client)).json()

    assert tuple(column["name"] for column in told["columns"]) == rules.USUAL
    assert all(tuple(item) == rules.USUAL for item in told["items"])
    assert told["columns"][0]["head"] == "№ з/п"


@pytest.mark.parametrize("columns", ["", "patient", "number,number", "question", "number,,mode", "conclusion"])
async def test_a_column_that_is_not_known_is_refused(scene: Caseload, client: httpx.AsyncClient, columns: str) -> None:
    answer = await journal_of(scene, client, f"&columns={columns}")

    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/query/columns")


@pytest.mark.parametrize("columns", ["patient", "number,number", ","])
def test_a_setting_that_names_no_known_column_is_a_fault(columns: str) -> None:
    with pytest.raises(settings.BadSettings, match="JOURNAL_COLUMNS"):
        settings.load({"POBRATYM_JOURNAL_COLUMNS": columns})


async def test_a_period_that_ends_before_it_begins_is_refused(scene: Caseload, client: httpx.AsyncClient) -> None:
    headers = await build.bearer(scene.world, scene.coordinator)
    path = f"/v1/institutions/{scene.asking.id}/journal?from=2026-11-01&until=2026-10-01"

    assert (await client.get(path, headers=headers)).status_code == 422
