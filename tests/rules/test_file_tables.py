"""Grids of cells as tables: the head found, columns named, faults placed as a spreadsheet shows them."""

from typing import Any

import pytest

from service.rules import file_tables
from service.rules.file_tables import CellFault

NAMES = {"code": "code", "name": "name", "назва": "name", "display name": "display_name"}


def rows(*grid: list[Any]) -> list[tuple[int, dict[str, Any]]]:
    table = file_tables.read(grid, NAMES, ["code"])
    assert table.faults == []
    return [(row.row, dict(row.cells)) for row in table.rows]


def test_rows_are_counted_as_a_spreadsheet_counts_them() -> None:
    assert rows([None, ""], ["code", "name"], ["", "\xa0"], ["x", "y"]) == [(4, {"code": "x", "name": "y"})]


@pytest.mark.parametrize("head", ["Name", " name\xa0", "НАЗВА:", "«Назва»"[1:-1], "name*"])
def test_ft_24_a_head_is_known_however_it_is_written(head: str) -> None:
    assert rows(["code", head], ["x", "y"]) == [(2, {"code": "x", "name": "y"})]


@pytest.mark.parametrize("head", ["display_name", "Display-Name", "DISPLAY  NAME"])
def test_ft_24_underscores_hyphens_and_blanks_are_one(head: str) -> None:
    assert rows([head, "code"], ["y", "x"])[0][1]["display_name"] == "y"


def test_ft_24_blank_columns_and_blank_cells_to_the_right_are_nothing() -> None:
    grid = (["code", "", "name", "\xa0"], ["x", " ", "y", "", "\N{ZERO WIDTH SPACE}"])
    assert rows(*grid) == [(2, {"code": "x", "name": "y"})]


def test_a_short_row_is_empty_at_its_end() -> None:
    assert rows(["code", "name"], ["x"]) == [(2, {"code": "x", "name": None})]


@pytest.mark.parametrize(
    ("grid", "faults"),
    [
        ([], [CellFault(1, "", "the file is empty: its first row names the columns")]),
        ([["name"], ["x"]], [CellFault(1, "code", "this column is missing")]),
        ([["code", "Code"], ["x", "y"]], [CellFault(1, "code", "there are two columns of this name")]),
        (
            [["code", "nme"], ["x", "y"]],
            [CellFault(1, "", "“nme” is no column here: did you mean name?")],
        ),
        (
            [["code", "secret\u202e word"], ["x", "y"]],
            [CellFault(1, "", "“secret word” is no column here: there are code, name, display_name")],
        ),
        ([["code", ""], ["x", "y"]], [CellFault(2, "", "something stands in a column without a head")]),
        ([["code"], ["x", "y"]], [CellFault(2, "", "something stands in a column without a head")]),
    ],
    ids=["empty", "without", "twice", "nearly", "strange", "no head", "long row"],
)
def test_ft_24_what_is_wrong_with_a_table_is_said_with_its_place(
    grid: list[list[str]], faults: list[CellFault]
) -> None:
    assert file_tables.read(grid, NAMES, ["code"]).faults == faults


def test_ft_24_a_fault_without_a_column_has_its_letter() -> None:
    (found,) = file_tables.read([["code"], ["x", "", "y"]], NAMES, ["code"]).faults
    assert found.letter == "C"
    assert file_tables.read([["", "code"], ["", "x"]], NAMES, ["code"]).letters == {"code": "B"}


def test_a_foreign_table_may_have_columns_that_nobody_named() -> None:
    table = file_tables.read([["code", "lat"], ["x", "y"]], NAMES, ["code"], is_foreign=True)
    assert (table.faults, [dict(row.cells) for row in table.rows]) == ([], [{"code": "x"}])
    assert [dict(each.facts)["head"] for each in table.unknown] == ["lat"]


@pytest.mark.parametrize(("place", "letter"), [(0, "A"), (25, "Z"), (26, "AA"), (51, "AZ"), (52, "BA"), (702, "AAA")])
def test_columns_are_lettered_as_a_spreadsheet_does(place: int, letter: str) -> None:
    assert file_tables.letter(place) == letter
