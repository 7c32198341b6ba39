"""Tables as text: every text comes back as it was, and no spreadsheet runs what stands in a cell."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules.values import PROPERTY
from service.rules import csv_tables
from service.rules.file_tables import Unreadable

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


def grid(text: str) -> list[list[str]]:
    found, faults = csv_tables.grid(text, lambda head: head.strip() in COLUMNS)
    assert faults == []
    return found


@PROPERTY
@given(st.lists(st.tuples(texts, texts).map(lambda pair: ("x", *pair)), max_size=5))
def test_what_was_written_is_read(rows: list[tuple[str, str, str]]) -> None:
    assert [tuple(line) for line in grid(csv_tables.written(COLUMNS, rows))[1:]] == rows


@pytest.mark.parametrize("cell", HOSTILE)
def test_hostile_cells_come_back_as_they_were(cell: str) -> None:
    assert grid(csv_tables.written(COLUMNS, [("x", cell, "")]))[1][1] == cell
    assert csv_tables.restored(csv_tables.typed(cell)) == cell


@pytest.mark.parametrize("cell", HOSTILE)
def test_no_cell_begins_as_a_formula_does(cell: str) -> None:
    (_, row) = csv.reader(io.StringIO(csv_tables.written(COLUMNS, [(cell, cell, cell)]), newline=""))
    assert not any(written.startswith(("=", "+", "-", "@", "\t", "\r")) for written in row)


@PROPERTY
@given(st.lists(texts.map(str.strip).filter(bool), max_size=5))
def test_a_list_in_a_cell_comes_back(values: list[str]) -> None:
    assert csv_tables.items(csv_tables.joined(values)) == [value for value in values if value]


def test_ft_25_what_is_written_begins_with_the_mark_by_which_a_spreadsheet_knows_utf_8() -> None:
    assert csv_tables.written(COLUMNS, []).encode().startswith(b"\xef\xbb\xbfcode,name,note\r\n")


def test_a_mark_of_order_at_the_beginning_is_no_letter() -> None:
    assert grid("\N{ZERO WIDTH NO-BREAK SPACE}code,name\nx,y") == [["code", "name"], ["x", "y"]]


def test_an_apostrophe_that_stands_before_a_letter_is_part_of_the_text() -> None:
    assert grid("code,name\nx,'t Hooft")[1] == ["x", "'t Hooft"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("code;name\nx;a,b", ["x", "a,b"]),
        ("code\tname\nx\ta,b;c", ["x", "a,b;c"]),
        ("code|name\nx|a,b;c", ["x", "a,b;c"]),
        ("code,name\nx,a;b;c;d", ["x", "a;b;c;d"]),
        ("sep=;\ncode;name\nx;y", ["x", "y"]),
        ('"sep=|"\r\ncode|name\r\nx|y', ["x", "y"]),
        ("SEP=\t\ncode\tname\nx\ty", ["x", "y"]),
        ("code;name\rx;y\r", ["x", "y"]),
        ("code;name\r\nx;y\r\n", ["x", "y"]),
        ('"code";"na,me";name\nx;y;z', ["x", "y", "z"]),
        ("strange;words\nx;y", ["x", "y"]),
    ],
)
def test_ft_24_what_separates_is_what_the_head_is_split_by(text: str, expected: list[str]) -> None:
    assert grid(text)[1] == expected


def test_ft_24_empty_lines_before_the_head_do_not_say_what_separates() -> None:
    assert grid("\n;;\ncode,name\nx,y")[-1] == ["x", "y"]


def test_nothing_is_no_row() -> None:
    assert grid("") == []


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('code\n"x', csv_tables.OPEN),
        ('code\n"x,y\nz,w\n', csv_tables.OPEN),
        ('code\n"x"y\n', csv_tables.UNQUOTED),
        ("code\n" + "x" * 1_000_001, csv_tables.LONG_CELL),
    ],
    ids=["open", "open to the end", "after a closed one", "long cell"],
)
def test_ft_24_what_cannot_be_read_is_said_with_its_row_and_what_it_truly_is(text: str, key: str) -> None:
    rows, (fault,) = csv_tables.grid(text, lambda _: True)
    assert (rows, fault.row, fault.key) == ([["code"]], 2, key)


def test_a_table_that_fills_the_memory_is_not_read() -> None:
    with pytest.raises(Unreadable, match="is longer than"):
        csv_tables.grid("code\n" + "x" * 10, lambda _: True, most_characters=10)
