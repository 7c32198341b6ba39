"""Tables as separated text: what people open in a spreadsheet, read as it was meant and written safely.

A spreadsheet runs a cell that begins with `=`, `+`, `-`, `@` (or the wide form of one), a tab or a line's end. Such a
cell is written with an apostrophe before it, and read without it; so is a cell that already begins with an apostrophe
before one of these or before another apostrophe, so that every text comes back as it was.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Sequence

from service.rules.file_tables import CellFault, Unreadable, filled
from service.rules.sentences import Fact

OPEN = "a quotation mark is opened here and never closed: close it, or write it twice within a text"
LONG_CELL = "a cell is longer than {most} characters: is a quotation mark opened here and not closed?"
UNQUOTED = "something follows a closing quotation mark: write a quotation mark within a text twice"
_BROKEN = (("end of data", OPEN), ("field limit", LONG_CELL))
MOST_CHARACTERS = 100_000_000
LONGEST_CELL = 1_000_000
SEPARATORS = (",", ";", "\t", "|")
_RUN = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_MARK = "'"
_BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"
_BETWEEN = "; "
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[ \t]*(?:\r\n|\r|\n|\Z)', re.IGNORECASE)
_LINE_END = re.compile(r"\r\n|\r|\n")


def grid(
    text: str, is_head: Callable[[str], bool], most_characters: int = MOST_CHARACTERS
) -> tuple[list[list[str]], list[CellFault]]:
    """Give the cells by row and column; raises Unreadable, or tells where a quotation stays open.

    What separates is said by a first line `sep=;`, which is no row, else by the first line with words: the character
    that splits it into the most heads (`is_head`), then into the most cells.
    """
    text = text.removeprefix(_BOM)
    if len(text) > most_characters:
        raise Unreadable("is longer than {most} characters", most=most_characters)
    announced = _SEPARATOR_LINE.match(text)
    text = text[announced.end() :] if announced else text
    separator = announced[1] if announced else _separator(text, is_head)
    csv.field_size_limit(LONGEST_CELL)
    rows: list[list[str]] = []
    try:
        for cells in csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True):
            rows.append([restored(cell) for cell in cells])  # noqa: PERF401 - those before a fault are kept
    except csv.Error as error:
        key = next((key for part, key in _BROKEN if part in str(error)), UNQUOTED)
        facts: dict[str, Fact] = {"most": LONGEST_CELL} if key == LONG_CELL else {}
        return rows, [filled(len(rows) + 1, "", key, facts)]
    return rows, []


def written(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Write a table that a spreadsheet shows, in the right letters, and does not run; `grid` gives the same texts."""
    buffer = io.StringIO(newline="")
    buffer.write(_BOM)
    writer = csv.writer(buffer, lineterminator="\r\n")
    writer.writerow(columns)
    writer.writerows([neutral(cell) for cell in row] for row in rows)
    return buffer.getvalue()


def neutral(cell: str) -> str:
    """Give the cell in a form that no spreadsheet runs."""
    return _MARK + cell if cell.startswith(_RUN) or _is_marked(cell) else cell


def typed(cell: str) -> str:
    """Give the cell for a file whose cells say that they are text: only what `restored` would shorten is marked."""
    return _MARK + cell if _is_marked(cell) else cell


def restored(cell: str) -> str:
    """Give the cell as it was before `neutral` or `typed`."""
    return cell[1:] if _is_marked(cell) else cell


def items(cell: str, separators: str = ";") -> list[str]:
    """Give the items of a cell that holds a list: after a backslash a separator belongs to its item."""
    values, item, is_escaped = [], "", False
    for char in cell:
        if is_escaped or (char not in separators and char != "\\"):
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


def _separator(text: str, is_head: Callable[[str], bool]) -> str:
    first = next((line for line in _lines(text) if line.strip(" \xa0,;|\t\"'")), "")

    def likely(separator: str) -> tuple[int, int]:
        cells = next(csv.reader([first], delimiter=separator), [])
        return sum(map(is_head, cells)), len(cells)

    return max(SEPARATORS, key=likely)


def _lines(text: str) -> Iterable[str]:
    begin = 0
    for end in _LINE_END.finditer(text):
        yield text[begin : end.start()][:LONGEST_CELL]
        begin = end.end()
    yield text[begin:][:LONGEST_CELL]
