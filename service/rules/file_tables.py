"""A table as a file holds it, a grid of cells: where its head is, which column is which, what is wrong with it.

Rows and columns are counted as a spreadsheet shows them: the first row is 1, the first column A. What is wrong is said
by a sentence with gaps (`reason` has them filled, in English); `key` and `facts` let it be said in other languages.
"""

import difflib
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time

from service.rules import sentences
from service.rules.sentences import Fact

Cell = str | int | float | bool | date | datetime | time | None
NO_HEAD = "the first row names no column of this table: there are {columns}"
_LONGEST_SHOWN = 40
_CLOSE = 0.75
_LETTERS = 26
_TOGETHER = str.maketrans(dict.fromkeys("_-\t\r\n", " ") | dict.fromkeys("'’ʼ`*:.\u200b\ufeff", ""))  # noqa: RUF001


@dataclass(frozen=True, slots=True)
class CellFault:
    """A fault of one cell: its row and column; `reason` never repeats a cell's content."""

    row: int
    column: str
    reason: str
    key: str = field(default="", compare=False)
    facts: tuple[tuple[str, Fact], ...] = field(default=(), compare=False)
    letter: str = field(default="", compare=False)  # where there is no column to name


class Unreadable(Exception):
    """The file, or a cell, cannot be read as what it should be: `key` says why, with gaps for `facts`."""

    def __init__(self, key: str, **facts: Fact) -> None:
        """Keep the sentence and what fills it."""
        super().__init__(key)
        self.key, self.facts = key, facts


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row of a table: its number, and its cells by column."""

    row: int
    cells: Mapping[str, Cell]


@dataclass(frozen=True, slots=True)
class Table:
    """The rows with something in them, the letter of each column, the faults of the table itself.

    `unknown` are the heads that name no column, where that is no fault.
    """

    rows: list[TableRow]
    letters: Mapping[str, str]
    faults: list[CellFault]
    unknown: Sequence[CellFault] = ()


def fault(row: int, column: str, key: str, /, *, letter: str = "", **facts: Fact) -> CellFault:
    """Give a fault whose sentence is `key` with its gaps filled."""
    return filled(row, column, key, facts, letter)


def filled(row: int, column: str, key: str, facts: Mapping[str, Fact], letter: str = "") -> CellFault:
    """Give a fault as `fault` does."""
    reason = key.format(**sentences.texts(facts)) if facts else key
    return CellFault(row, column, reason, key, tuple(facts.items()), letter)


def read(
    grid: Sequence[Sequence[Cell]], names: Mapping[str, str], required: Collection[str], *, is_foreign: bool = False
) -> Table:
    """Give the table: its head is the first row with anything in it, and names columns in any order.

    `names` gives the column of a head as `plain` writes it. Rows and columns without anything in them are passed over;
    in a foreign table, so are columns that nobody named. What the head does not say once is in no row.
    """
    filled = [(number, cells) for number, cells in enumerate(grid, 1) if not all(map(is_blank, cells))]
    if not filled:
        return Table([], {}, [fault(1, "", "the file is empty: its first row names the columns")])
    (head_row, head), *rows = filled
    places = {place: names.get(plain(cell), "") for place, cell in enumerate(head) if not is_blank(cell)}
    named = [column for column in places.values() if column]
    if not named and not is_foreign:
        return Table([], {}, [fault(head_row, "", NO_HEAD, columns=tuple(dict.fromkeys(names.values())))])
    columns = {place: column for place, column in places.items() if column and named.count(column) == 1}
    letters = {column: letter(place) for place, column in columns.items()}
    unknown = [_unknown(head_row, letter(place), head[place], names) for place, column in places.items() if not column]
    faults = _head_faults(head_row, named, required) + ([] if is_foreign else unknown)
    lines = []
    for number, cells in rows:
        faults += [
            fault(number, "", "something stands in a column without a head", letter=letter(place))
            for place, cell in enumerate(cells)
            if place not in places and not is_blank(cell)
        ]
        row = {column: cells[place] if place < len(cells) else None for place, column in columns.items()}
        lines.append(TableRow(number, row))
    return Table(lines, letters, faults, unknown)


def plain(head: Cell) -> str:
    """Give a head, or a word that stands for a code, in the form in which it is compared: `Display_Name ` is one."""
    return " ".join(unicodedata.normalize("NFKC", str(head)).casefold().translate(_TOGETHER).split())


def is_blank(cell: Cell) -> bool:
    """Tell whether nothing stands in the cell: blanks of every kind are nothing."""
    return cell is None or (isinstance(cell, str) and not cell.strip("\u200b\ufeff \xa0\t\r\n\f\v\u2007\u202f\u3000"))


def letter(place: int) -> str:
    """Give the letter of a column, counted from 0: A, B, … Z, AA."""
    letters = ""
    place += 1
    while place:
        place, rest = divmod(place - 1, _LETTERS)
        letters = chr(ord("A") + rest) + letters
    return letters


def shown(cell: Cell) -> str:
    """Give the text as a message may show it: one short line without what steers."""
    line = "".join(char if char.isprintable() else " " for char in str(cell))
    return " ".join(line.split())[:_LONGEST_SHOWN]


def _head_faults(row: int, named: Sequence[str], required: Collection[str]) -> list[CellFault]:
    twice = sorted({column for column in named if named.count(column) > 1})
    missing = [column for column in required if column not in named]
    return [fault(row, column, "there are two columns of this name") for column in twice] + [
        fault(row, column, "this column is missing") for column in missing
    ]


def _unknown(row: int, place: str, head: Cell, names: Mapping[str, str]) -> CellFault:
    near = difflib.get_close_matches(plain(head)[:_LONGEST_SHOWN], names, 1, _CLOSE)
    if near:
        key = "“{head}” is no column here: did you mean {column}?"
        return fault(row, "", key, letter=place, head=shown(head), column=names[near[0]])
    known = tuple(dict.fromkeys(names.values()))
    key = "“{head}” is no column here: there are {columns}"
    return fault(row, "", key, letter=place, head=shown(head), columns=known)
