"""Reports as files, opened by other programs: the same values as in the JSON, and nothing that runs."""

import csv
import io
import zipfile
from datetime import date, datetime
from typing import Any

import httpx
import openpyxl
import pypdfium2
import pytest
import sqlalchemy as sa

import build
import caseload
from api.edge import files
from caseload import Caseload
from integrations import catalogues
from integrations.runtime.world import World
from service import vocabulary
from service.kernel import actor, clock

PERIOD = f"from={caseload.FROM}&until={caseload.UNTIL}&zone=Europe/Kyiv&compare=previous&by=month"
Json = dict[str, Any]
Sheet = list[dict[str, Any]]


@pytest.fixture
async def scene(world: World) -> Caseload:
    made = Caseload(world)
    await made.set_up(cases=60)
    return made


async def fetched(
    scene: Caseload, client: httpx.AsyncClient, path: str, form: vocabulary.ResponseForm = "json"
) -> httpx.Response:
    headers = await build.bearer(scene.world, scene.admin)
    answer = await client.get(path, headers=headers | {"Accept": files.KINDS[form]})
    assert answer.status_code == 200, answer.text
    return answer


def report_of(scene: Caseload) -> str:
    return f"/v1/programmes/{scene.programme.id}/report?{PERIOD}"


def opened(answer: httpx.Response) -> dict[str, Sheet]:
    book = openpyxl.load_workbook(io.BytesIO(answer.content))
    found = {}
    for sheet in book.worksheets:
        head, *rows = sheet.iter_rows(values_only=True)
        found[sheet.title] = [dict(zip(map(str, head), row, strict=True)) for row in rows]
    return found


def read(answer: httpx.Response) -> Sheet:
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"), newline=""), strict=True))


def near(value: float | None) -> Any:  # noqa: ANN401 - pytest's own kind
    return None if value is None else pytest.approx(value, rel=1e-12)


def number(text: str) -> float | None:
    return float(text) if text else None


async def test_a_workbook_holds_every_value_of_the_json_as_a_number(scene: Caseload, client: httpx.AsyncClient) -> None:
    told: Json = (await fetched(scene, client, report_of(scene))).json()
    book = opened(await fetched(scene, client, report_of(scene), "xlsx"))
    figures, parts = book["Figures"], book["Parts"]

    assert [row["figure"] for row in figures] == [each["name"] for each in told["figures"]]
    for row, each in zip(figures, told["figures"], strict=True):
        names = ("value", "rows", "numerator", "denominator", "previous")
        assert {name: row[name] for name in names} == {name: near(each[name]) for name in names}, each["name"]
    expected = [(each["name"], part) for each in told["figures"] for part in each["parts"]]
    assert [(row["figure"], row["key"].removeprefix("'")) for row in parts] == [(n, p["key"]) for n, p in expected]
    for row, (_, part) in zip(parts, expected, strict=True):
        told_of_it = {name: near(part[name]) for name in ("value", "rows", "lower_quartile", "upper_quartile")}
        assert {name: row[name] for name in told_of_it} == told_of_it


async def test_a_workbook_tells_definitions_sources_months_and_its_period(
    scene: Caseload, client: httpx.AsyncClient
) -> None:
    told: Json = (await fetched(scene, client, report_of(scene))).json()
    book = opened(await fetched(scene, client, report_of(scene), "xlsx"))
    about = {row["what"]: row["value"] for row in book["Report"]}

    assert [row["definition"] for row in book["Definitions"]] == [each["definition"] for each in told["figures"]]
    published = [(each["name"], one) for each in told["figures"] for one in each["published"]]
    assert [(row["figure"], row["source"], row["value"]) for row in book["Published"]] == [
        (name, one["source"], near(one["value"])) for name, one in published
    ]
    assert book["Months"] == told["months"]
    assert (about["from"].date(), about["until"].date()) == (caseload.FROM, caseload.UNTIL)
    assert about["made_at_utc"] == datetime.fromisoformat(told["made_at"]).replace(tzinfo=None)


async def test_csv_holds_every_value_of_the_json(scene: Caseload, client: httpx.AsyncClient) -> None:
    told: Json = (await fetched(scene, client, report_of(scene))).json()
    rows = read(await fetched(scene, client, report_of(scene), "csv"))
    found = {
        (row["record"], row["figure"], row["key"].removeprefix("'")): row
        for row in rows
        if row["record"] != "published"
    }

    for each in told["figures"]:
        row = found["figure", each["name"], ""]
        for name in ("value", "rows", "numerator", "denominator", "previous"):
            assert number(row[name]) == each[name], (each["name"], name)
        assert (row["unit"], row["definition"]) == (each["unit"], each["definition"])
        for part in each["parts"]:
            assert number(found["part", each["name"], part["key"]]["value"]) == part["value"]
    for month in told["months"]:
        assert number(found["month", "minutes", month["month"]]["value"]) == month["minutes"]
    assert {(row["id"], row["from"], row["until"], row["zone"]) for row in rows} == {
        (told["id"], "2026-09-01", "2026-11-01", "Europe/Kyiv")
    }


async def test_the_months_add_up_to_the_figures(scene: Caseload, client: httpx.AsyncClient) -> None:
    told: Json = (await fetched(scene, client, report_of(scene))).json()
    figures = {each["name"]: each["value"] for each in told["figures"]}

    assert [each["month"] for each in told["months"]] == ["2026-09", "2026-10"]
    for name in ("sessions", "written_advices", "minutes"):
        assert sum(each[name] for each in told["months"]) == figures[name] > 0


async def test_no_text_from_outside_is_run_by_a_spreadsheet(world: World, client: httpx.AsyncClient) -> None:
    hostile = ["=1+1", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "\uff1d1", "'=1"]
    made = Caseload(world)
    await made.set_up(cases=0)
    async with world.database.work(actor.TIMER) as w:
        for number, text in enumerate(hostile, 2_000):
            values = {"id": clock.new_id(), "program": made.programme.id, "year": str(number), "text": f"{text}|cmd"}
            await w.sql(
                sa.text("INSERT INTO milestone (id, programme_id, on_text, precision, total_memoranda, event, sources,"
                        " citation) VALUES (:id, :program, :year, 'by', 95, 'x', 'x', :text)"), values)  # fmt: skip
    got = await fetched(made, client, report_of(made), "xlsx")
    cells = [row["source"] for row in opened(got)["Published"] if row["source"] and "cmd" in row["source"]]
    rows = read(await fetched(made, client, report_of(made), "csv"))
    texts = [row["source"] for row in rows if "cmd" in row["source"]]

    assert len(texts) == len(hostile)
    assert [text for text in texts if not text.startswith("'")] == []
    # As they are, since they are text, which the kinds of cells below say.
    assert sorted(cell.strip() for cell in cells) == sorted(f"{text}|cmd".strip() for text in hostile)
    workbook = openpyxl.load_workbook(io.BytesIO(got.content))
    kinds = {cell.data_type for sheet in workbook.worksheets for row in sheet.iter_rows() for cell in row}
    assert kinds <= {"s", "n", "d"}


@pytest.mark.parametrize("form", ["csv", "xlsx", "pdf"])
async def test_a_file_has_a_plain_name_and_says_that_accept_chose_it(
    scene: Caseload, client: httpx.AsyncClient, form: vocabulary.ResponseForm
) -> None:
    answer = await fetched(scene, client, report_of(scene), form)

    assert answer.headers["content-type"].split(";")[0] == files.KINDS[form]
    name = f"programme-report-{date(2026, 9, 1)}-{date(2026, 11, 1)}.{form}"
    assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
    assert answer.headers["vary"] == "Accept"


def pages(answer: httpx.Response) -> list[str]:
    document = pypdfium2.PdfDocument(answer.content)
    return [" ".join(page.get_textpage().get_text_range().split()) for page in document]


def in_english(figure: Json) -> str:
    """As the first page writes it: shares in percent, hours and minutes with their unit."""
    if figure["value"] is None:
        return "—"
    value = figure["value"] * 100 if figure["unit"] == "share" else figure["value"]
    said = f"{value:,.1f}".removesuffix(".0") if value < 100 else f"{value:,.0f}"
    return said + {"share": " %", "hours": " h", "minutes": " min"}.get(figure["unit"], "")


async def test_a_document_holds_the_headline_figures_of_the_json_on_two_pages(
    scene: Caseload, client: httpx.AsyncClient
) -> None:
    told: Json = (await fetched(scene, client, report_of(scene))).json()
    first, second = pages(await fetched(scene, client, f"{report_of(scene)}&lang=en", "pdf"))
    figures = {each["name"]: each for each in told["figures"]}
    for name, label in catalogues.of("en")["report.figures"].items():
        if name in figures:
            assert f"{label} {in_english(figures[name])}" in first
    assert all(str(month["sessions"] + month["written_advices"]) in second for month in told["months"])
    assert f"{figures['hours_to_answer']['parts'][0]['rows']} answered" in second


@pytest.mark.parametrize(("lang", "nothing"), [("uk", "немає записів"), ("en", "Nothing was logged")])
async def test_a_document_of_nothing_has_two_pages_too(
    world: World, client: httpx.AsyncClient, lang: str, nothing: str
) -> None:
    made = Caseload(world)
    await made.set_up(cases=0)
    async with world.database.work(actor.TIMER) as w:
        await w.sql(sa.text("UPDATE institution SET name = :long"), {"long": "Обласна лікарня №1 <b> & Co " * 15})
    path = f"/v1/memoranda/{made.memoranda[0].id}/report?lang={lang}"
    _, second = pages(await fetched(made, client, path, "pdf"))

    assert second.count(nothing) == 4


async def test_a_document_is_in_the_language_of_who_asks(scene: Caseload, client: httpx.AsyncClient) -> None:
    first, _ = pages(await fetched(scene, client, report_of(scene), "pdf"))

    assert "Відбулося сеансів наживо" in first


async def test_what_no_form_can_satisfy_is_406(scene: Caseload, client: httpx.AsyncClient) -> None:
    headers = await build.bearer(scene.world, scene.admin) | {"Accept": "image/png"}
    answer = await client.get(report_of(scene), headers=headers)

    assert (answer.status_code, answer.json()["type"]) == (406, "/problems/not-acceptable")
    assert answer.headers["vary"] == "Accept"


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", "json"),
        ("*/*", "json"),
        ("application/*", "json"),
        ("text/*", "csv"),
        ("text/csv", "csv"),
        ("TEXT/CSV; charset=utf-8", "csv"),
        ("text/csv, */*", "csv"),
        ("text/csv, application/json", "json"),
        ("text/csv;q=0.5, application/json;q=0.4", "csv"),
        ("*/*, application/json;q=0", "csv"),
        ("text/csv;q=0, text/*", None),
        ("image/png", None),
        ("nonsense, text/csv", "csv"),
        ("nonsense", None),
    ],
)
def test_the_form_is_chosen_as_rfc_9110_has_it(accept: str, form: vocabulary.ResponseForm | None) -> None:
    assert files.wanted(accept, ("json", "csv", "xlsx")) == form


def printed(content: bytes) -> list[tuple[str, str]]:
    """Give the XML of each sheet and of the workbook, which names what is repeated on each page."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        book = archive.read("xl/workbook.xml").decode()
        sheets = sorted(name for name in archive.namelist() if name.startswith("xl/worksheets/sheet"))
        return [(archive.read(name).decode(), book) for name in sheets]


async def test_ft_27_a_workbook_is_printed_landscape_one_page_wide_with_its_head_on_each_page(
    scene: Caseload, client: httpx.AsyncClient
) -> None:
    content = (await fetched(scene, client, report_of(scene), "xlsx")).content
    for number, (sheet, book) in enumerate(printed(content)):
        assert 'orientation="landscape"' in sheet
        assert 'fitToHeight="0"' in sheet
        assert '<pageSetUpPr fitToPage="1"/>' in sheet
        assert f'name="_xlnm.Print_Titles" localSheetId="{number}"' in book


async def test_ft_27_signs_of_a_workbook_have_no_apostrophe(scene: Caseload, client: httpx.AsyncClient) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        values = {"id": scene.programme.id}
        await w.sql(
            sa.text("INSERT INTO milestone (id, programme_id, on_text, precision, total_memoranda, event, sources,"
                    " citation) VALUES (:id, :id, '2025', 'on', 95, 'x', 'x', 'x')"), values)  # fmt: skip
    book = opened(await fetched(scene, client, report_of(scene), "xlsx"))
    signs = {row["sign"] for row in book["Published"]}
    assert signs <= {*vocabulary.COUNT_SIGNS}
    assert signs
    rows = read(await fetched(scene, client, report_of(scene), "csv"))
    assert {row["sign"] for row in rows if row["sign"]} <= {*vocabulary.COUNT_SIGNS} | {"'="}


async def test_ft_27_a_workbook_and_csv_in_ukrainian(scene: Caseload, client: httpx.AsyncClient) -> None:
    words = catalogues.of("uk")
    path = f"{report_of(scene)}&lang=uk"
    content = (await fetched(scene, client, path, "xlsx")).content
    book = openpyxl.load_workbook(io.BytesIO(content))
    assert book.sheetnames == ["Звіт", "Показники", "Складники", "Визначення", "Оприлюднене", "Місяці"]
    figures = book["Показники"]
    assert [cell.value for cell in figures[1]][:3] == ["показник", "значення", "одиниця"]
    assert words["report.figures"]["consultations_filed"] in {row[0].value for row in figures.iter_rows()}
    days = [cell for row in book["Звіт"].iter_rows() for cell in row if isinstance(cell.value, datetime)]
    assert {cell.number_format for cell in days} <= {"dd.mm.yyyy", "dd.mm.yyyy hh:mm:ss"}
    rows = read(await fetched(scene, client, path, "csv"))
    assert {row["від"] for row in rows} == {"01.09.2026"}
    assert words["report.figures"]["consultations_filed"] in {row["показник"] for row in rows}
    assert {row["запис"] for row in rows} >= {"показник", "складник", "місяць"}
