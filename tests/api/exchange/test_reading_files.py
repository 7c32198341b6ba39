"""Files as people save them: read as they were meant, or every fault said in words of the operator's language."""

import io
import re
import zipfile
from collections.abc import Mapping
from datetime import date, datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest
import xlsxwriter

from api.exchange import import_words, mappings, record_tables
from api.exchange.record_tables import Read
from integrations import catalogues
from integrations.documents import opened_files
from service import vocabulary
from service.exchange.imports import desk
from service.rules.file_tables import Unreadable

SAVED = Path(__file__).parent / "saved"
"""Exports that LibreOffice 7.4 has opened and saved: `-from-csv` was opened without being asked for its columns."""
PYTHON = re.compile(r"[\^\\$\[\]{}*]|regex|pattern|string|Input|NoneType|literal|int\b|dict|valid", re.IGNORECASE)


def told(table: Read, locale: str) -> list[str]:
    return [
        f"{import_words.place(fault, table.letters, locale)}: {import_words.sentence(fault, locale)}"
        for fault in [*table.faults, *table.warnings]
    ]


def only(kind: str, content: bytes) -> dict[str, Any]:
    table = record_tables.read(kind, content)
    assert table.faults == []
    (row,) = table.rows
    return dict(row.values)


def workbook(*rows: tuple[Any, ...], is_1904: bool = False, sheets: Mapping[str, Any] | None = None) -> bytes:
    file = io.BytesIO()
    book = xlsxwriter.Workbook(file, {"date_1904": is_1904, "default_date_format": "dd.mm.yyyy"})
    sheet = book.add_worksheet()
    for number, row in enumerate(rows):
        for place, cell in enumerate(row):
            if cell is not None:
                sheet.write(number, place, cell)
    for name, cell in (sheets or {}).items():
        book.add_worksheet(name).write(0, 0, cell)
    book.close()
    return file.getvalue()


UKRAINIAN = (
    "Електронна пошта;Ім'я;Мова;Часовий пояс;Ролі;;\r\n"
    " a@ua.example\xa0;Лікар Її;українська;Europe/Kyiv;Лікар@ua-one/icu, Координатор@ua-one;;\r\n"
)


@pytest.mark.parametrize(
    "content",
    [
        UKRAINIAN.encode(),
        UKRAINIAN.encode("utf-8-sig"),
        UKRAINIAN.encode("cp1251"),
        UKRAINIAN.encode("koi8_u", "replace"),
        UKRAINIAN.encode("utf-16"),
        UKRAINIAN.encode("utf-16-le"),
        UKRAINIAN.encode("utf-16-be"),
        b"\xfe\xff" + UKRAINIAN.encode("utf-16-be"),
        UKRAINIAN.replace(";", "\t").encode("utf-16"),
        ("sep=;\r\n" + UKRAINIAN).encode("cp1251"),
        UKRAINIAN.replace("\r\n", "\r").encode(),
        UKRAINIAN.replace("\r\n", "\n").encode(),
        ("\n;;\n" + UKRAINIAN).encode(),
    ],
    ids=[
        "utf-8", "mark", "cp1251", "koi8-u", "utf-16", "le", "be", "be with mark", "tab", "sep", "cr", "lf", "blank rows",
    ],
)  # fmt: skip
def test_ft_24_ukrainian_heads_and_values_in_every_encoding_and_dialect(content: bytes) -> None:
    values = only("people", content)
    assert (values["email"], values["locale"], values["zone"]) == ("a@ua.example", "uk", "Europe/Kyiv")
    assert values["roles"] == ["clinician@ua-one/icu", "coordinator@ua-one"]
    assert values["display_name"].startswith("Лікар")


@pytest.mark.parametrize("text", ["Лікарня перша", "Їжак", "ОБЛАСНА ЛІКАРНЯ", "Львівська обласна клінічна лікарня № 2"])
def test_ft_24_a_short_file_in_cp1251_is_known_and_told(text: str) -> None:
    table = record_tables.read("institutions", f"code;name;kind\r\nx;{text};лікарня\r\n".encode("cp1251"))
    assert [row.values["name"] for row in table.rows] == [text]
    assert told(table, "uk") == ["рядок 1: прочитано в кодуванні cp1251"]


def test_ft_24_western_letters_are_not_taken_for_cyrillic_ones() -> None:
    assert (
        only("institutions", "code;name;kind\nx;Hôpital Élisée;hospital".encode("cp1252"))["name"] == "Hôpital Élisée"
    )


MEMORANDUM = (
    "code;programme;kind;status;requesting;partners;valid_from;budget_minutes;budget_per\nm;ua;bilateral;active;a;b;"
)


@pytest.mark.parametrize("day", ["31.12.2026", "31/12/2026", "2026-12-31", "31.12.2026 р.", "31 грудня 2026"])
@pytest.mark.parametrize("number", ["1200,00", "1 200", "1\xa0200", "1200"])
def test_ft_24_days_and_numbers_as_people_write_them(day: str, number: str) -> None:
    values = only("memoranda", f"{MEMORANDUM}{day};{number};місяць".encode())
    assert (values["valid_from"], values["budget_minutes"], values["budget_per"]) == (date(2026, 12, 31), 1200, "month")


@pytest.mark.parametrize("is_1904", [False, True])
def test_ft_24_a_workbook_has_typed_cells_from_either_epoch(is_1904: bool) -> None:
    head = tuple(MEMORANDUM.splitlines()[0].split(";"))
    content = workbook(head, (7, "ua", "Двосторонній", "чинний", "a; a2", "b", date(2026, 12, 31), 1200.0, "рік"),
                       is_1904=is_1904)  # fmt: skip
    values = only("memoranda", content)
    assert (values["code"], values["valid_from"], values["budget_minutes"]) == ("7", date(2026, 12, 31), 1200)
    assert (values["requesting"], values["kind"], values["status"]) == (["a", "a2"], "bilateral", "active")
    serial = 46_387 - (1_462 if is_1904 else 0)
    without_form = workbook(head, ("7", "ua", "umbrella", "active", "a", "b", serial), is_1904=is_1904)
    assert only("memoranda", without_form)["valid_from"] == date(2026, 12, 31)


def test_ft_24_truths_hours_and_languages_of_a_mentor() -> None:
    line = (
        "email,availability_zone,treats_children,weekly,languages,quiet_from,specialties,exceptions\n"
        'b@fr.example,Europe/Paris,так,"пн 9:00–12:00; вівторок 16.00 - 19:00",'
        '"українська:рідна; en:b2",22:00:00,"paed, obp",відсутній 24.12.2026 00:00/27.12.2026 00:00'
    )
    values = only("mentors", line.encode())
    assert values["weekly"] == ["mon 09:00-12:00", "tue 16:00-19:00"]
    assert values["languages"] == ["uk:native", "en:B2"]
    assert (values["treats_children"], values["quiet_from"], values["specialties"]) == (True, "22:00", ["paed", "obp"])
    assert values["exceptions"] == ["away 2026-12-24T00:00/2026-12-27T00:00"]


def test_ft_24_countries_are_read_by_their_names() -> None:
    text = 'code,kind,country,working_weekdays\nx,hospital,Україна,"пн, вт"\ny,hospital,france,mon'
    rows = record_tables.read("institutions", text.encode()).rows
    assert [(row.values["country"], row.values["working_weekdays"]) for row in rows] == [
        ("UA", ["mon", "tue"]),
        ("FR", ["mon"]),
    ]


def test_ft_24_an_instant_needs_its_offset_however_it_is_written() -> None:
    head = "email,availability_zone,verified_until\nb@fr.example,Europe/Paris,"
    assert only("mentors", f"{head}21.11.2026 17:00 +02:00".encode())["verified_until"].hour == 15
    (said,) = told(record_tables.read("mentors", f"{head}21.11.2026 17:00".encode()), "uk")
    assert said.startswith("рядок 2, стовпець C, підтверджено до (verified_until): не вказано зміщення від UTC")


def test_ft_24_all_faults_are_told_at_once_in_words_of_the_language() -> None:
    text = MEMORANDUM.splitlines()[0] + ";zzz\nm;ua;X;чинний;a;b;03/04/2026;1,200;місяць"
    assert told(record_tables.read("memoranda", text.encode()), "uk")[0].startswith("рядок 1, стовпець J: «zzz» не є")
    table = record_tables.read("memoranda", text.replace(";zzz", "").encode())
    assert sorted(told(table, "uk")) == [
        "рядок 2, стовпець C, вид (kind): має бути одне з: двосторонній (bilateral), багатосторонній (multilateral), "
        "рамковий (umbrella)",
        "рядок 2, стовпець G, чинний від (valid_from): "
        "може бути 2026-03-04 або 2026-04-03 (рік-місяць-день): пишіть у такому порядку або як 31.12.2026",
        "рядок 2, стовпець H, бюджет, хвилин (budget_minutes): може бути дробом або тисячами: пишіть як 1200",
    ]
    assert sorted(told(table, "en"))[1:] == [
        "row 2, column G, valid_from: may be 2026-03-04 or 2026-04-03 (year-month-day): write it in this order",
        "row 2, column H, budget in minutes (budget_minutes): may be a fraction or thousands: write it as 1200",
    ]


def test_ft_24_a_head_at_fault_hides_no_row_at_fault() -> None:
    content = "email,display_name,zon,state,email\na@x.example,\u200b,Europe/Kyiv,x,b@x.example\n,І,,active,\n"
    assert sorted(told(record_tables.read("people", content.encode()), "en")) == [
        "row 1, column C: “zon” is no column here: did you mean time zone (zone)?",
        "row 1, e-mail (email): there are two columns of this name",
        "row 1, time zone (zone): this column is missing",
        "row 2, column B, name (display_name): needs a value",
        "row 2, column D, state: must be one of: active, disabled",
    ]


def test_ft_24_faults_beyond_a_bound_are_counted() -> None:
    content = "code,kind,name\n" + "".join(f"x-{number},!,Перша\n" for number in range(700))
    table = record_tables.read("institutions", content.encode())
    assert (len(table.faults), table.rows) == (501, [])
    assert told(table, "uk")[-1] == "рядок 502: звідси є ще 200, їх не перелічено"


def test_ft_24_days_that_were_guessed_are_shown_and_those_that_are_none_are_said() -> None:
    head = "programme,kind,requesting,partners,valid_from,valid_until\nua,bilateral,a,b,"
    table = record_tables.read("memoranda", f"{head}46387,31.12.27\n".encode())
    assert [str(table.rows[0].values[name]) for name in ("valid_from", "valid_until")] == ["2026-12-31", "2027-12-31"]
    assert told(table, "uk") == [
        "рядок 2, стовпець E, чинний від (valid_from): прочитано як 2026-12-31",
        "рядок 2, стовпець F, чинний до (valid_until): прочитано як 2027-12-31",
    ]
    table = record_tables.read("memoranda", f"{head}1900-02-29,31.12.2027 14:30\n".encode())
    assert told(table, "uk") == [
        "рядок 2, стовпець E, чинний від (valid_from): такої дати немає: пишіть 31.12.2026 або 2026-12-31",
        "рядок 2, стовпець F, чинний до (valid_until): містить час, а потрібна лише дата: пишіть 31.12.2026",
    ]


@pytest.mark.parametrize(
    ("signed", "precision", "read_as"), [("10.10.2025", "", "on"), ("10.10.2025", "by", "by"), ("", "", "unknown")]
)
def test_ft_24_a_date_of_signing_alone_is_the_day_itself(signed: str, precision: str, read_as: str) -> None:
    head = "programme,kind,requesting,partners,signed_date,signed_precision"
    values = only("memoranda", f"{head}\nua,bilateral,a,b,{signed},{precision}\n".encode())
    assert values["signed_precision"] == read_as


WRONG = [
    "!",
    "?",
    "ї",
    "x" * 3_000,
    "-1",
    "9" * 12,
    "31.12.2026",
    "так",
    ";;",
    "{}",
    "a@b",
    "\u202e",
    "12:00",
    "[]",
    "null",
]


@pytest.mark.parametrize("kind", record_tables.SHAPES)
def test_ft_24_no_message_speaks_of_patterns_or_types(kind: str) -> None:
    """Every column is filled with everything that is wrong somewhere, in both languages."""
    names = list(record_tables.columns(kind))
    rows = [tuple(cell for _ in names) for cell in (*WRONG, True, 1.5, datetime(2026, 1, 1, 5))]  # noqa: DTZ001
    table = record_tables.read(kind, workbook(tuple(names), *rows))
    assert len(table.faults) > len(names)
    for fault in table.faults:
        if fault.key == desk.ADDRESS:
            continue  # words of their own
        assert fault.key in catalogues.of("uk")["faults"], fault
        for locale in vocabulary.LOCALES:
            said = import_words.sentence(fault, locale).replace("(shown as", "")
            for example in ("JSON", "{}", "об'єкт"):
                said = said.replace(example, "")
            assert not PYTHON.search(said), said


@pytest.mark.parametrize("locale", vocabulary.LOCALES)
def test_ft_24_every_column_and_code_has_a_word(locale: str) -> None:
    words = catalogues.of(locale)
    columns = [column for kind in record_tables.SHAPES for column in record_tables.columns(kind).values()]
    assert {column.name for column in columns} <= words["import.columns"].keys()
    letters = {code for column in columns for code in column.codes if code[0].isalpha()}
    assert letters | {*vocabulary.ROLES, *vocabulary.INSTITUTION_KINDS} <= words["import.values"].keys()


@pytest.mark.parametrize("kind", record_tables.SHAPES)
def test_ft_24_no_word_stands_for_two_columns_or_codes(kind: str) -> None:
    columns = record_tables.columns(kind)
    for locale in vocabulary.LOCALES:
        for column in columns:
            for word in catalogues.of(locale)["import.columns"][column].split(" / "):
                assert import_words.heads([column]).items() <= record_tables.heads(kind).items(), (column, word)
    for place in columns.values():
        for code in place.codes:
            assert import_words.codes([code]).items() <= place.words.items(), (place.name, code)


def test_ft_24_only_the_first_sheet_with_something_in_it_is_read_and_that_is_told() -> None:
    content = workbook(("code", "kind"), ("x", "hospital"), sheets={"Other": "y", "Empty": ""})
    table = record_tables.read("institutions", content)
    assert len(table.rows) == 1
    assert told(table, "en") == ["row 1: only the first sheet is read: “Sheet1”"]


def test_ft_24_an_error_of_the_spreadsheet_is_no_empty_cell() -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for row in (("code", "kind", "name"), ("x", "hospital", "#N/A")):
        sheet.append(row)
    sheet["C2"].data_type = "e"
    file = io.BytesIO()
    book.save(file)
    table = record_tables.read("institutions", file.getvalue())
    assert told(table, "en") == ["row 2, column C: holds an error of the spreadsheet, such as #N/A"]


def bomb(**parts: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", b"<workbook/>")
        for name, content in parts.items():
            archive.writestr(f"xl/worksheets/{name}.xml", content)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        bomb(sheet1=b" " * (opened_files.MOST_UNPACKED + 1)),
        bomb(sheet1=b'<c r="XFD1048576">'),
        bomb(sheet1=b"<x:row r='1048576'>"),
        bomb(sheet1=b'<c r="A1"/><c s="1" r = "ZZZ1"/>'),
        b"code\n" + b"\n" * (opened_files.MOST_ROWS + 1),
        b"," * 2_000,
    ],
    ids=["unpacked", "corner", "row", "column", "csv rows", "csv columns"],
)
def test_ft_24_what_would_fill_the_memory_is_refused_before_it_is_parsed(content: bytes) -> None:
    with pytest.raises(Unreadable, match="is too large"):
        opened_files.opened(content, lambda _: False)


def test_ft_24_a_part_that_says_a_small_size_of_itself_is_counted_by_what_it_holds() -> None:
    content = bytearray(bomb(sheet1=b" " * (opened_files.MOST_UNPACKED + 1)))
    size = (opened_files.MOST_UNPACKED + 1).to_bytes(4, "little")
    assert size in content
    with pytest.raises(Unreadable, match="is too large"):
        opened_files.opened(bytes(content).replace(size, (7).to_bytes(4, "little")), lambda _: False)


@pytest.mark.parametrize(
    "content",
    [b"PK\x03\x04 no archive", b"\xd0\xcf\x11\xe0 old", b"%PDF-1.7", b"a\0b\0\0c", b"\xff\xfea", bomb(sheet1=b"<")],
    ids=["zip", "xls", "pdf", "nul", "half", "xml"],
)
def test_ft_24_other_files_are_refused_in_words(content: bytes) -> None:
    table = record_tables.read("people", content)
    assert table.rows == []
    assert [fault.reason for fault in table.faults] != []


FAITHFUL = ("from-xlsx.xlsx", "from-xlsx-cp1251.csv", "from-xlsx-utf16-tab.csv")


@pytest.mark.parametrize("path", sorted(path for path in SAVED.iterdir() if path.name.endswith(FAITHFUL)), ids=str)
def test_ft_25_what_a_spreadsheet_saved_of_our_workbook_is_what_we_gave(path: Path) -> None:
    kind = path.name.partition("-")[0]
    ours = record_tables.read(kind, (SAVED / f"{kind}.csv").read_bytes())
    saved = record_tables.read(kind, path.read_bytes())
    assert (ours.faults, saved.faults) == ([], [])
    assert [row.values for row in saved.rows] == [row.values for row in ours.rows]


@pytest.mark.parametrize("ending", ["xlsx", "csv"])
def test_ft_25_what_a_spreadsheet_made_of_text_without_types_loses_codes_only(ending: str) -> None:
    """Nobody can tell that `2` was `002`: such a file names codes that are not there, or asks before it changes most."""
    ours = record_tables.read("mentors", (SAVED / "mentors.csv").read_bytes()).rows[0].values
    saved = record_tables.read("mentors", (SAVED / f"mentors-from-csv.{ending}").read_bytes())
    assert saved.faults == []
    differing = {name for name, value in saved.rows[0].values.items() if value != ours[name]}
    assert differing == {"institution", "tags"}


@pytest.mark.parametrize(
    ("text", "locale", "said"),
    [
        ("Ів\u202eан", "uk", "невидимий символ"),
        ("Ів\u2028ан", "uk", "невидимий символ"),
        ("Ів\ufffdан", "en", "a character was lost"),
        ("????? ??", "uk", "літери втрачено"),
        ("Р›С–РєР°СЂРЅСЏ", "uk", "малося на увазі «Лікарня»?"),
        ("Ð›Ñ–", "en", "was “Лі” meant?"),
        ("?????? лікарня", "en", "question marks"),
    ],
)
def test_ft_26_damaged_names_are_told_with_row_and_column(text: str, locale: str, said: str) -> None:
    content = f"code,name,kind\nx,Добра,hospital\ny,{text},hospital".encode()
    table = record_tables.read("institutions", content)
    (line,) = told(table, locale)
    assert line.startswith(("рядок 3, стовпець B, назва (name)", "row 3, column B, name"))
    assert said in line
    assert bool(table.faults) != table.is_doubtful


REGISTERS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "ua-health-facilities": (
        "institutions",
        "legal_entity_id,legal_entity_name,legal_entity_edrpou,care_type,property_type,legal_entity_email,"
        "legal_entity_phone,legal_entity_website,legal_entity_owner_name,registration_area,registration_settlement,"
        "registration_addresses,lat,lng\n"
        "1,КНП «Лікарня № 2»,02006001,Спеціалізована,Комунальна,x@y.example,1,NULL,Хтось,ЧЕРНІГІВСЬКА,Чернігів,x,1,2\n"
        "2,ФОП Хтось,3141592653,Первинна,ФОП,x@y.example,1,NULL,Хтось,М.КИЇВ,Київ,x,1,2\n",
        {
            "code": "ua-edrpou-02006001",
            "name": "КНП «Лікарня № 2»",
            "region": "UA-74",
            "country": "UA",
            "city": "Чернігів",
        },
    ),
    "ror": (
        "institutions",
        "id,admin.created.date,admin.created.schema_version,admin.last_modified.date,domains,established,"
        "external_ids.type.fundref.all,external_ids.type.isni.preferred,links.type.website,locations.geonames_id,"
        "locations.geonames_details.country_code,locations.geonames_details.country_name,locations.geonames_details.lat,"
        "locations.geonames_details.lng,locations.geonames_details.name,names.types.acronym,names.types.alias,"
        "names.types.label,names.types.ror_display,ror_display_lang,relationships,status,types\n"
        "https://ror.org/02ppyfa04,2018-11-14,1.0,2024-12-11,,,,,,,FR,France,50.6,3.0,Lille,,,,CHU Lille,fr,,active,"
        '"education; healthcare"\n'
        "https://ror.org/000000001,2018-11-14,1.0,2024-12-11,,,,,,,FR,France,50.6,3.0,Lille,,,,A school,fr,,active,education\n",
        {"code": "ror-02ppyfa04", "name_en": "CHU Lille", "kind": "hospital", "country": "FR", "city": "Lille"},
    ),
    "nucc": (
        "specialties",
        "Code,Grouping,Classification,Specialization,Definition,Notes,Display Name,Section\n"
        "2080N0001X,Allopathic & Osteopathic Physicians,Pediatrics,Neonatal-Perinatal Medicine,x,y,"
        "Neonatal-Perinatal Medicine Physician,Individual\n"
        "282N00000X,Hospitals,General Acute Care Hospital,,x,y,General Acute Care Hospital,Non-Individual\n",
        {
            "code": "nucc-2080N0001X",
            "name_en": "Neonatal-Perinatal Medicine Physician",
            "is_bookable": True,
            "parent": None,
        },
    ),
}


@pytest.mark.parametrize("register", REGISTERS)
def test_ft_24_a_foreign_register_is_read_by_its_published_columns(register: str) -> None:
    kind, text, expected = REGISTERS[register]
    mapping = mappings.ready(register)
    table = record_tables.read(kind, text.encode(), mapping)
    assert (mapping.written.kind, table.faults) == (kind, [])
    (row,) = table.rows
    assert {name: row.values[name] for name in expected} == expected
    assert [warning.key for warning in table.warnings] == ["{count} rows were passed over, as the mapping says"]


def test_every_ready_mapping_is_tried() -> None:
    assert {*REGISTERS} == {*mappings.READY}


def test_ft_24_a_column_that_a_mapping_does_not_know_is_told() -> None:
    _, text, _ = REGISTERS["nucc"]
    table = record_tables.read("specialties", text.replace("Notes", "New column").encode(), mappings.ready("nucc"))
    assert "«New column» не згадано у файлі відповідностей" in "".join(told(table, "uk"))
    assert len(table.rows) == 1


def test_ft_24_without_the_columns_that_a_mapping_needs_nothing_is_read() -> None:
    _, text, _ = REGISTERS["nucc"]
    table = record_tables.read("specialties", text.replace("Section", "X").encode(), mappings.ready("nucc"))
    assert (table.rows, [fault.column for fault in table.faults]) == ([], ["Section"])
    table = record_tables.read("specialties", text.replace("Display Name", "X").encode(), mappings.ready("nucc"))
    assert (table.rows, [fault.column for fault in table.faults]) == ([], ["name_en", "name_uk"])


@pytest.mark.parametrize(
    "content",
    [
        b"kind =",
        b'kind = "ships"\n[columns]',
        b'kind = "people"\n[colums]',
        b"\xff",
        b"#" * 100_001,
        b"a=" + b"[" * 5_000,
    ],
    ids=["no toml", "kind", "typo", "encoding", "long", "deep"],
)
def test_a_mapping_that_says_something_else_is_refused(content: bytes) -> None:
    with pytest.raises(Unreadable) as caught:
        mappings.read(content)
    assert caught.value.key in catalogues.of("uk")["faults"]
