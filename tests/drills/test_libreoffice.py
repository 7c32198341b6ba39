"""What LibreOffice makes of our files: saved again they are taken in without a change, and reports are printed wide."""

# ruff: noqa: RUF001, T201 - Ukrainian names; printed for `make drills`

import contextlib
import shutil
import subprocess
from pathlib import Path
from typing import BinaryIO

import httpx
import pypdfium2
import pytest

import build
import caseload
from api.edge import files
from api.exchange import record_tables
from caseload import Caseload
from integrations.runtime.world import World
from service.exchange import exports, imports
from service.kernel import actor
from service.kernel.work import Work
from service.rules.file_tables import Unreadable

pytestmark = [
    pytest.mark.drill,
    pytest.mark.skipif(shutil.which("soffice") is None, reason="skipped: no LibreOffice (make setup-office)"),
]
BOOK, CSV = "Calc MS Excel 2007 XML", "Text - txt - csv (StarCalc)"
MS_1251, UTF_8, UTF_16 = 34, 76, 65_535  # as LibreOffice numbers encodings
SEMICOLON, COMMA, QUOTE = 59, 44, 34


def saved(folder: Path, content: bytes, ending: str, to: str, reading: str = "") -> bytes:
    """Open the file in LibreOffice and save it in the form `to`; gives its bytes."""
    source, out = folder / f"in.{ending}", folder / "out"
    source.write_bytes(content)
    command = ["soffice", f"-env:UserInstallation={(folder / 'profile').as_uri()}", "--headless", "--convert-to", to]
    command += [f"--infilter={reading}"] * bool(reading)
    done = subprocess.run([*command, "--outdir", out, source], capture_output=True, text=True, check=True, timeout=300)
    (made,) = out.iterdir()
    content = made.read_bytes()
    made.unlink()
    assert content, done.stderr
    return content


def whole(book: BinaryIO) -> bytes:
    with contextlib.closing(book):
        return book.read()


@pytest.fixture
async def registry(w: Work) -> None:
    """Hospitals whose codes and names a spreadsheet likes to change, with people, mentors and a memorandum."""
    here = await build.institution(
        w, code="002", name="Лікарня імені О'Брайєна № 2; «Південна», відділення", city="Суми"
    )
    there = await build.partner(w, code="1e5", name="Hôpital Élisée-Müller", city="Saint-Étienne")
    await build.institution(w, code="03-04", name="+380 Їжак", city="Ґрунь")
    await build.clinician(w, here, department="1/2", display_name="Єва Ґудзь-Їжакевич")
    await build.coordinator(w, here, display_name="TRUE")
    await build.mentor(w, there, display_name="José Ångström")
    await build.memorandum(w, here, there, code="2026-01")
    await w.finish()


SAVED = {
    "as a workbook": f"xlsx:{BOOK}",
    **{
        f"as CSV in {name} with {sign}": f"csv:{CSV}:{separator},{QUOTE},{encoding},1,,0,false,true"
        for name, encoding in (("cp1251", MS_1251), ("UTF-8", UTF_8), ("UTF-16", UTF_16))
        for sign, separator in ((";", SEMICOLON), (",", COMMA))
    },
}


@pytest.mark.parametrize("form", SAVED)
async def test_ft_25_what_libreoffice_saved_of_our_workbook_changes_nothing(
    w: Work, registry: None, tmp_path: Path, form: str
) -> None:
    assert registry is None
    for kind in exports.KINDS:
        rows = await exports.rows(w, kind)
        if "cp1251" in form:  # which has no letters of French
            rows = [row for row in rows if str(row).encode("cp1251", "ignore").decode("cp1251") == str(row)]
        if not rows:
            continue
        content = saved(tmp_path, whole(record_tables.workbook(kind, rows)), "xlsx", SAVED[form])
        table = record_tables.read(kind, content)
        assert (kind, table.faults) == (kind, [])
        loaded = await imports.load(w, kind, table.rows, lambda _: None, is_confirmed=True)
        assert (kind, loaded.added, loaded.changed, loaded.same) == (kind, 0, 0, len(rows)), loaded.columns


async def test_ft_25_our_csv_opened_as_text_and_saved_changes_nothing(w: Work, registry: None, tmp_path: Path) -> None:
    assert registry is None
    for kind in exports.KINDS:
        rows = await exports.rows(w, kind)
        as_text = "/".join(f"{number}/2" for number in range(1, 30))
        reading = f"{CSV}:{COMMA},{QUOTE},{UTF_8},1,{as_text}"
        content = saved(tmp_path, record_tables.written(kind, rows).encode(), "csv", f"xlsx:{BOOK}", reading)
        table = record_tables.read(kind, content)
        assert (kind, table.faults) == (kind, [])
        loaded = await imports.load(w, kind, table.rows, lambda _: None, is_confirmed=True)
        assert (kind, loaded.added, loaded.changed) == (kind, 0, 0), loaded.columns


async def test_ft_25_our_csv_opened_without_a_thought_is_seen_to_change_codes(
    w: Work, registry: None, tmp_path: Path
) -> None:
    assert registry is None
    rows = await exports.rows(w, "institutions")
    reading = f"{CSV}:{COMMA},{QUOTE},{UTF_8},1"
    content = saved(tmp_path, record_tables.written("institutions", rows).encode(), "csv", f"xlsx:{BOOK}", reading)
    table = record_tables.read("institutions", content)
    assert "002" not in {row.values["code"] for row in table.rows}  # what the spreadsheet does, told below
    with pytest.raises((imports.ChangesMost, imports.FileRefused)):
        await imports.load(w, "institutions", table.rows, lambda _: None, may_change_most=False)


async def test_ft_24_a_document_of_another_kind_is_refused_in_words(w: Work, registry: None, tmp_path: Path) -> None:
    assert registry is None
    book = whole(record_tables.workbook("institutions", await exports.rows(w, "institutions")))
    for to, name in (("ods", "ods"), ("xls", "xls"), ("pdf", "pdf"), ("html", "html")):
        content = saved(tmp_path, book, "xlsx", to)
        try:
            refused = str([*record_tables.read("institutions", content).faults][:1])
        except Unreadable as error:
            refused = str(error.facts or error.key)
        print(f"{name}: {refused}")
        assert refused != "[]"


async def test_ft_27_a_report_and_a_journal_are_printed_wide_and_on_few_pages(
    world: World, client: httpx.AsyncClient, tmp_path: Path
) -> None:
    scene = Caseload(world)
    await scene.set_up(cases=60)
    async with world.database.work(actor.TIMER) as w:
        keeper = await build.coordinator(w, scene.asking)
    period = f"from={caseload.FROM}&until={caseload.UNTIL}"
    most = {f"/v1/programmes/{scene.programme.id}/report?{period}&compare=previous&by=month": (scene.admin, 14)}
    most |= {f"/v1/institutions/{scene.asking.id}/journal?{period}": (keeper, 5)}
    for path, (who, pages) in most.items():
        headers = await build.bearer(world, who) | {"Accept": files.KINDS["xlsx"]}
        answer = await client.get(path, headers=headers)
        assert answer.status_code == 200, answer.text
        paper = pypdfium2.PdfDocument(saved(tmp_path, answer.content, "xlsx", "pdf"))
        sizes = {(round(page.get_width()), round(page.get_height())) for page in paper}
        print(f"{len(paper)} pages, {sizes}: {path.rsplit('/', 1)[1][:8]}")
        assert all(width > height for width, height in sizes)
        assert len(paper) <= pages
