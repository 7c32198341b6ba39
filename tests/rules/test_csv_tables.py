"""Tables as text: every text comes back as it was, and no spreadsheet runs what stands in a cell."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.values import PROPERTY
from service.rules import csv_tables
from service.rules.csv_tables import CellFault

COLUMNS = ("code", "name", "note")
HOSTILE = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "\tx",
    "\rx",
    "'=1",
    "''",
    "'",
    "'t Hooft",
    "a;b",
    "a\nb",
    'a"b',
    "a,b",
    " = ",
]
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)


def lines(text: str) -> list[dict[str, str]]:
    found, faults = csv_tables.read(text, COLUMNS, ["code"])
    assert faults == []
    return [dict(line.cells) for line in found]


@PROPERTY
@given(st.lists(st.tuples(texts, texts).map(lambda pair: ("x", *pair)), max_size=5))
def test_what_was_written_is_read(rows: list[tuple[str, str, str]]) -> None:
    assert [tuple(line.values()) for line in lines(csv_tables.written(COLUMNS, rows))] == rows


@pytest.mark.parametrize("cell", HOSTILE)
def test_hostile_cells_come_back_as_they_were(cell: str) -> None:
    assert lines(csv_tables.written(COLUMNS, [("x", cell, "")]))[0]["name"] == cell


@pytest.mark.parametrize("cell", HOSTILE)
def test_no_cell_begins_as_a_formula_does(cell: str) -> None:
    (_, row) = csv.reader(io.StringIO(csv_tables.written(COLUMNS, [(cell, cell, cell)]), newline=""))
    assert not any(written.startswith(("=", "+", "-", "@", "\t", "\r")) for written in row)


@PROPERTY
@given(st.lists(texts.map(str.strip).filter(bool), max_size=5))
def test_a_list_in_a_cell_comes_back(values: list[str]) -> None:
    assert csv_tables.items(csv_tables.joined(values)) == [value for value in values if value]


def test_a_mark_of_order_at_the_beginning_is_no_letter() -> None:
    assert lines("\N{ZERO WIDTH NO-BREAK SPACE}code,name\nx,y") == [{"code": "x", "name": "y"}]


def test_an_apostrophe_that_stands_before_a_letter_is_part_of_the_text() -> None:
    assert lines("code,name\nx,'t Hooft") == [{"code": "x", "name": "'t Hooft"}]


def test_semicolons_separate_where_a_spreadsheet_wrote_them() -> None:
    assert lines("code;name\nx;a,b") == [{"code": "x", "name": "a,b"}]


def test_only_the_head_says_what_separates() -> None:
    assert lines("code,name\nx,a;b;c;d") == [{"code": "x", "name": "a;b;c;d"}]


def test_rows_are_counted_as_a_spreadsheet_counts_them() -> None:
    found, _ = csv_tables.read('code,name\n"a\nb",c\n,\nd,e', COLUMNS, ["code"])
    assert [(line.row, line.cells["code"]) for line in found] == [(2, "a\nb"), (4, "d")]


def test_a_short_row_is_empty_at_its_end() -> None:
    assert lines("code,name\nx") == [{"code": "x", "name": ""}]


def test_empty_cells_beyond_the_head_are_passed_over() -> None:
    assert lines("code,name\nx,y,,") == [{"code": "x", "name": "y"}]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", CellFault(1, "", "there is no head")),
        ("name\nx", CellFault(1, "code", "is missing in the head")),
        ("code,code\nx,y", CellFault(1, "code", "is there twice in the head")),
        ("code,secret-word\nx,y", CellFault(1, "", "1 column(s) in the head are none of: code, name, note")),
        ("code,name\nx,y,z", CellFault(2, "", "has more cells than the head")),
        ('code\n"x', CellFault(2, "", "cannot be read: a quotation mark is open, or a cell is too long")),
        (
            "code\n" + "x" * 1_000_001,
            CellFault(2, "", "cannot be read: a quotation mark is open, or a cell is too long"),
        ),
    ],
    ids=["empty", "without", "twice", "strange", "long row", "open", "long cell"],
)
def test_what_is_wrong_with_a_table_is_said_without_repeating_it(text: str, fault: CellFault) -> None:
    assert csv_tables.read(text, COLUMNS, ["code"])[1] == [fault]


def test_a_table_that_fills_the_memory_is_not_read() -> None:
    said = [CellFault(1, "", "is longer than 10 characters")]
    assert csv_tables.read("code\n" + "x" * 10, COLUMNS, ["code"], most_characters=10)[1] == said
