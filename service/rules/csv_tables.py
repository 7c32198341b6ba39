"""Tables as comma-separated text: what people open in a spreadsheet, read strictly and written safely.

A spreadsheet runs a cell that begins with `=`, `+`, `-`, `@` (or the wide form of one), a tab or a line's end. Such a
cell is written with an apostrophe before it, and read without it; so is a cell that already begins with an apostrophe
before one of these or before another apostrophe, so that every text comes back as it was.
"""

import csv
import io
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

MOST_CHARACTERS = 100_000_000
LONGEST_CELL = 1_000_000
_RUN = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_MARK = "'"
_BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"
_BETWEEN = "; "


@dataclass(frozen=True, slots=True)
class CellFault:
    """A fault of one cell: its row (the head is row 1) and column; `reason` never repeats the cell's content."""

    row: int
    column: str
    reason: str


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row of a table: its number and its cells by column; an empty cell is an empty text."""

    row: int
    cells: Mapping[str, str]


def read(
    text: str, columns: Collection[str], required: Collection[str], most_characters: int = MOST_CHARACTERS
) -> tuple[list[TableRow], list[CellFault]]:
    """Give the rows, and the faults of the table itself; empty rows are skipped.

    The head names columns in any order; without the required ones, or with one that is not among `columns`, nothing is
    read. The separator is the comma, or the semicolon if the head has more semicolons than commas.
    """
    text = text.removeprefix(_BOM)
    if len(text) > most_characters:
        return [], [CellFault(1, "", f"is longer than {most_characters} characters")]
    head_end = text.find("\n")
    first = text if head_end < 0 else text[:head_end]
    separator = ";" if first.count(";") > first.count(",") else ","
    csv.field_size_limit(LONGEST_CELL)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    lines: list[TableRow] = []
    faults: list[CellFault] = []
    number, head = 0, [""]
    try:
        for number, cells in enumerate(rows, 1):
            if number == 1:
                head = [cell.strip() for cell in cells]
                faults = _head_faults(head, columns, required)
                if faults:
                    return [], faults
            elif any(cell.strip() for cell in cells):
                if len(cells) > len(head) and any(cells[len(head) :]):
                    faults.append(CellFault(number, "", "has more cells than the head"))
                filled = [*cells, *[""] * len(head)]
                lines.append(TableRow(number, {name: restored(cell) for name, cell in zip(head, filled, strict=False)}))
    except csv.Error:
        faults.append(CellFault(number + 1, "", "cannot be read: a quotation mark is open, or a cell is too long"))
    if number == 0:
        faults.append(CellFault(1, "", "there is no head"))
    return lines, faults


def written(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table that a spreadsheet shows and does not run; `read` gives the same texts."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([neutral(cell) for cell in row] for row in rows)
    return buffer.getvalue()


def neutral(cell: str) -> str:
    """Give the cell in a form that no spreadsheet runs."""
    return _MARK + cell if cell.startswith(_RUN) or _is_marked(cell) else cell


def restored(cell: str) -> str:
    """Give the cell as it was before `neutral`."""
    return cell[1:] if _is_marked(cell) else cell


def items(cell: str) -> list[str]:
    """Give the items of a cell that holds a list: semicolons separate; after a backslash one belongs to its item."""
    values, item, is_escaped = [], "", False
    for char in cell:
        if is_escaped or char not in ";\\":
            item, is_escaped = item + char, False
        elif char == "\\":
            is_escaped = True
        else:
            values.append(item)
            item = ""
    return [stripped for value in [*values, item] if (stripped := value.strip())]


def joined(values: Iterable[str]) -> str:
    """Write a list into one cell; `items` gives the same list."""
    return _BETWEEN.join(value.replace("\\", "\\\\").replace(";", "\\;") for value in values)


def _is_marked(cell: str) -> bool:
    return cell.startswith(_MARK) and cell[1:].startswith((_MARK, *_RUN))


def _head_faults(head: Sequence[str], columns: Collection[str], required: Collection[str]) -> list[CellFault]:
    valid_names = [name for name in head if name in columns]
    unknown_count = len(head) - len(valid_names)
    faults = [CellFault(1, name, "is missing in the head") for name in required if name not in valid_names]
    if unknown_count:
        faults.append(CellFault(1, "", f"{unknown_count} column(s) in the head are none of: {', '.join(columns)}"))
    faults += [
        CellFault(1, name, "is there twice in the head")
        for name in sorted({*valid_names})
        if valid_names.count(name) > 1
    ]
    return faults
