"""Tables as CSV and XLSX, a row at a time and in constant memory; no cell is ever run by the program that opens them.

CSV is UTF-8 with a byte-order mark (spreadsheets take it for something else without), RFC 4180. In XLSX numbers, days
and times are typed; a time is a wall time, since the format knows no zone. Text in CSV goes through
`plain_text.cell`; in XLSX a cell says that it is text, which no spreadsheet runs, so that it needs no apostrophe.
"""

import csv
import io
import tempfile
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, BinaryIO, Protocol, cast

from integrations import plain_text
from service.rules import csv_tables

if TYPE_CHECKING:
    import xlsxwriter

Cell = str | int | float | bool | date | datetime | None
_IN_MEMORY = 1_000_000
_NARROWEST, _WIDEST = 10, 60
_A4 = 9
_LONGEST_NAME = 31
_LONGEST = 32_767  # characters that a cell of XLSX holds
_DAY, _TIME = "yyyy-mm-dd", "yyyy-mm-dd hh:mm:ss"


class Table(Protocol):
    """What rows are written to."""

    def sheet(self, name: str, head: Sequence[str], widths: Sequence[int] = ()) -> None:
        """Begin a sheet; a form that has none goes on in the one there is."""
        ...

    def add(self, rows: Iterable[Sequence[Cell]]) -> None:
        """Write rows below each other."""
        ...

    def finish(self) -> BinaryIO:
        """Give the file, to be read from its beginning and closed."""
        ...


class Csv:
    """One table as comma-separated text; a second sheet follows the first."""

    def __init__(self) -> None:
        """Begin the file."""
        self._file = cast("BinaryIO", tempfile.SpooledTemporaryFile(_IN_MEMORY))  # noqa: SIM115 - the reader closes it
        self._file.write("\N{ZERO WIDTH NO-BREAK SPACE}".encode())

    def sheet(self, name: str, head: Sequence[str], widths: Sequence[int] = ()) -> None:
        """Write the head."""
        del name, widths
        self.add([head])

    def add(self, rows: Iterable[Sequence[Cell]]) -> None:
        """Write rows; None is an empty cell."""
        buffer = io.StringIO(newline="")
        csv.writer(buffer, lineterminator="\r\n").writerows([_written(cell) for cell in row] for row in rows)
        self._file.write(buffer.getvalue().encode())

    def finish(self) -> BinaryIO:
        """Give the file."""
        self._file.seek(0)
        return self._file


def texts(name: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> BinaryIO:
    """Give a table for a spreadsheet and back: every cell says that it is text, so that `002` stays what it is."""
    file = cast("BinaryIO", tempfile.SpooledTemporaryFile(_IN_MEMORY))  # noqa: SIM115 - the reader closes it
    book = _workbook(file)
    sheet = book.add_worksheet(name[:_LONGEST_NAME])
    text, bold = book.add_format({"num_format": "@"}), book.add_format({"num_format": "@", "bold": True})
    for place, title in enumerate(head):
        sheet.set_column(place, place, min(max(len(title) + 2, _NARROWEST), _WIDEST), text)
        sheet.write_string(0, place, title, bold)
    sheet.freeze_panes(1, 0)
    for number, cells in enumerate(rows, 1):
        for place, cell in enumerate(cells):
            if cell:
                sheet.write_string(number, place, csv_tables.typed(cell)[:_LONGEST], text)
    book.close()
    file.seek(0)
    return file


class Xlsx:
    """A workbook. Each sheet has a bold head that stays in sight."""

    def __init__(self, made_at: datetime, days: str | None = None) -> None:
        """Begin the workbook; `made_at` stands in its properties, `days` is how days are shown (`dd.mm.yyyy`)."""
        self._file = cast("BinaryIO", tempfile.SpooledTemporaryFile(_IN_MEMORY))  # noqa: SIM115 - the reader closes it
        self._book = _workbook(self._file)
        self._book.set_properties({"created": made_at.replace(tzinfo=None), "author": "Pobratym"})
        self._bold = self._book.add_format({"bold": True, "bottom": 1, "text_wrap": True, "valign": "top"})
        self._text = self._book.add_format({"text_wrap": True, "valign": "top", "num_format": "@"})
        self._plain = self._book.add_format({"valign": "top"})
        self._day = self._book.add_format({"num_format": days or _DAY, "valign": "top", "align": "left"})
        self._time = self._book.add_format(
            {"num_format": f"{days} hh:mm:ss" if days else _TIME, "valign": "top", "align": "left"}
        )
        self._row = 0

    def sheet(self, name: str, head: Sequence[str], widths: Sequence[int] = ()) -> None:
        """Begin a sheet; columns are as wide as their head unless `widths`, in characters, says so."""
        self._sheet = self._book.add_worksheet(name)
        for place, title in enumerate(head):
            width = widths[place] if place < len(widths) else len(title) + 2
            self._sheet.set_column(place, place, min(max(width, _NARROWEST), _WIDEST))
            self._sheet.write_string(0, place, plain_text.text(title), self._bold)
        self._sheet.freeze_panes(1, 0)
        self._sheet.set_landscape()
        self._sheet.set_paper(_A4)
        self._sheet.fit_to_pages(1, 0)  # one page wide, as many high as it takes
        self._sheet.repeat_rows(0)
        self._sheet.set_margins(left=0.4, right=0.4, top=0.5, bottom=0.6)
        self._sheet.set_footer("&L&A&R&P / &N")
        self._row = 1

    def add(self, rows: Iterable[Sequence[Cell]]) -> None:
        """Write rows, each cell of its own type."""
        for cells in rows:
            for place, cell in enumerate(cells):
                self._put(self._row, place, cell)
            self._row += 1

    def finish(self) -> BinaryIO:
        """Put the workbook together, and give it."""
        self._book.close()
        self._file.seek(0)
        return self._file

    def _put(self, row: int, place: int, cell: Cell) -> None:
        if isinstance(cell, str):
            self._sheet.write_string(row, place, plain_text.text(cell)[:_LONGEST], self._text)
        elif isinstance(cell, bool):
            self._sheet.write_boolean(row, place, cell, self._plain)
        elif isinstance(cell, int | float):
            self._sheet.write_number(row, place, cell, self._plain)
        elif isinstance(cell, datetime):
            self._sheet.write_datetime(row, place, cell.replace(tzinfo=None), self._time)
        elif cell is not None:
            self._sheet.write_datetime(row, place, cell, self._day)


def _written(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return str(cell).lower()
    if isinstance(cell, datetime):
        return cell.strftime("%Y-%m-%d %H:%M:%S")
    return plain_text.cell(cell) if isinstance(cell, str) else str(cell)


def _workbook(file: BinaryIO) -> "xlsxwriter.Workbook":
    import xlsxwriter  # noqa: PLC0415 - few ask for a workbook, and it would be a fiftieth of each start

    return xlsxwriter.Workbook(file, {"constant_memory": True, "strings_to_formulas": False, "strings_to_urls": False})
