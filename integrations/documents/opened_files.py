"""Files that people send, as grids of cells: CSV in whatever encoding and dialect, and XLSX.

Nothing is parsed before it is bounded: a workbook's parts are unpacked once to be counted, and the places of its cells
are read, because a single cell in the last corner would make a grid of seventeen thousand million.
"""

import io
import itertools
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import charset_normalizer
import python_calamine

from service.rules import csv_tables, file_tables
from service.rules.file_tables import Cell, CellFault, Unreadable, fault

MOST_BYTES = 10_000_000
MOST_UNPACKED = 100_000_000
MOST_ROWS, MOST_COLUMNS, MOST_CELLS = 200_000, 1_000, 5_000_000
NO_FILE = "is neither CSV nor XLSX: save it as one of these"
IS_ANOTHER = "is a file of another kind ({what}), whatever its name says: save the table as XLSX or CSV"
IS_LOCKED = "is protected by a password: take the protection away, and save it again"
IS_DAMAGED = "is an XLSX file that is damaged or not whole: save it again"
_ZIP, _OLD_OFFICE, _LOCKED = b"PK\x03\x04", b"\xd0\xcf\x11\xe0", "EncryptedPackage".encode("utf-16-le")
_KINDS = (
    (b"%PDF-", "PDF"), (b"\x89PNG", "PNG"), (b"\xff\xd8\xff", "JPEG"), (b"GIF8", "GIF"), (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"), (b"\x1f\x8b", "GZIP"), (b"7z\xbc\xaf", "7z"), (b"Rar!", "RAR"), (b"{\\rtf", "RTF"),
    (b"SQLite format 3", "SQLite"), (b"<!doctype html", "HTML"), (b"<html", "HTML"), (b"<table", "HTML"),
    (b"<?xml", "XML"), (b"[{", "JSON"), (b'{"', "JSON"),
)  # fmt: skip
"""How files begin that are often given the name of a table; those of letters in any case, after blanks."""
_PACKED = (
    ("mimetype", "OpenDocument"), ("xl/workbook.bin", "XLSB"), ("word/document.xml", "Word"),
    ("ppt/presentation.xml", "PowerPoint"), ("index/document.iwa", "Apple Numbers"),
)  # fmt: skip
_MARKS = (
    (b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe\x00\x00", "utf-32"), (b"\x00\x00\xfe\xff", "utf-32"),
    (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"),
)  # fmt: skip
_OLD_ENCODINGS = ("cp1251", "koi8_u", "cp866", "cp1252", "cp1250")
"""What a file without a mark that is not UTF-8 may be in; of those that fit as well, the first."""
_ODD_NUL, _LOOKED_AT = 0.3, 4_096
_UKRAINIAN = frozenset("абвгґдеєжзиіїйклмнопрстуфхцчшщьюя")
_MIXED = re.compile(r"[A-Za-z][\u0400-\u04ff]|[\u0400-\u04ff][A-Za-z]")  # no word has letters of both scripts
_CELL = re.compile(rb"""<(?:\w+:)?(?:c|row)\b[^<>]*?\br\s*=\s*["']([A-Z]*)(\d+)["']""")
_ERROR = re.compile(rb"""<(?:\w+:)?c\b(?=[^<>]*?\bt\s*=\s*["']e["'])[^<>]*?\br\s*=\s*["']([A-Z]+)(\d+)["']""")
_IS_1904 = re.compile(rb"""\bdate1904\s*=\s*["'](?:1|true)["']""")
_LETTERS = 26


@dataclass(frozen=True, slots=True)
class Opened:
    """The cells of a file; how it was read, where that was guessed; what of it cannot be read."""

    grid: Sequence[Sequence[Cell]]
    is_1904: bool = False  # its serial days are counted from 1904
    faults: Sequence[CellFault] = ()
    notes: Sequence[CellFault] = field(default=())


def opened(content: bytes, is_head: Callable[[str], bool]) -> Opened:
    """Give the cells of the file; raises Unreadable. `is_head` tells what may stand in the first row."""
    if content.startswith(_ZIP):
        return _workbook(content)
    if content.startswith(_OLD_OFFICE):
        raise Unreadable(IS_LOCKED) if _LOCKED in content else Unreadable(IS_ANOTHER, what="XLS of an old Excel")
    begin = content[:_LOOKED_AT].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for mark, kind in _KINDS:
        if begin.startswith(mark.lower()):
            raise Unreadable(IS_ANOTHER, what=kind)
    text, notes = _text(content)
    grid, faults = csv_tables.grid(text, is_head)
    if len(grid) > MOST_ROWS or any(len(row) > MOST_COLUMNS for row in grid):
        raise _too_large()
    return Opened(grid, faults=faults, notes=notes)


def _text(content: bytes) -> tuple[str, list[CellFault]]:
    """Decode the text, and say which encoding was guessed."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return _decoded(content, encoding), []
    wide = _wide(content)
    if wide:
        return _decoded(content, wide), []
    if b"\0" in content:
        raise Unreadable(NO_FILE)
    try:
        return content.decode("utf-8"), []
    except UnicodeDecodeError:
        encoding = _guessed(content)
    return _decoded(content, encoding), [fault(1, "", "was read as {encoding}", encoding=encoding)]


def _decoded(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        raise Unreadable(NO_FILE) from None


def _wide(content: bytes) -> str | None:
    """Name the form of UTF-16 of a text without a mark: every second byte of its ASCII is zero."""
    start = content[:_LOOKED_AT]
    if len(content) % 2 or b"\0" not in start:
        return None
    zeros = start[1::2].count(0), start[::2].count(0)
    if max(zeros) < _ODD_NUL * len(start) / 2 and max(zeros) < 4 * (1 + min(zeros)):
        return None
    return "utf-16-le" if zeros[0] > zeros[1] else "utf-16-be"


def _guessed(content: bytes) -> str:
    """Name the encoding that gives the likeliest text; a short text fits several, and the first of these is meant."""
    matches = charset_normalizer.from_bytes(content, cp_isolation=list(_OLD_ENCODINGS), threshold=0.9)
    likely = {match.encoding: (round(match.chaos, 1), -round(match.coherence, 1)) for match in matches}

    def unlikely(encoding: str) -> tuple[float, float, float, int]:
        text = content.decode(encoding, "replace")
        letters = [char for char in text if not char.isascii() and char.isalpha()]
        foreign = sum(char.lower() not in _UKRAINIAN for char in letters) / max(len(letters), 1)
        swapped = sum(one.islower() and two.isupper() for one, two in itertools.pairwise(text))
        chaos, coherence = likely.get(encoding, (1.0, 0.0))
        is_bad = "\N{REPLACEMENT CHARACTER}" in text or any("\x80" <= char <= "\x9f" for char in text)
        is_cyrillic = foreign == 0 and bool(letters) and _MIXED.search(text) is None
        return (is_bad, chaos + swapped / max(len(letters), 1) - is_cyrillic, coherence, _OLD_ENCODINGS.index(encoding))

    return min(_OLD_ENCODINGS, key=unlikely)


def _workbook(content: bytes) -> Opened:
    parts = _checked(content)
    try:
        workbook = python_calamine.CalamineWorkbook.from_filelike(io.BytesIO(content))
        grids: list[tuple[str, Sequence[Sequence[Any]]]] = [
            (sheet.name, workbook.get_sheet_by_name(sheet.name).to_python(skip_empty_area=False))
            for sheet in workbook.sheets_metadata
            if sheet.typ == python_calamine.SheetTypeEnum.WorkSheet
            and sheet.visible == python_calamine.SheetVisibleEnum.Visible
        ]
    except (python_calamine.CalamineError, ValueError, OverflowError):
        raise Unreadable(IS_DAMAGED) from None
    filled = [
        (name, grid) for name, grid in grids if any(not file_tables.is_blank(cell) for row in grid for cell in row)
    ]
    if not filled:
        return Opened([])
    notes = [fault(1, "", "only the first sheet is read: “{sheet}”", sheet=filled[0][0])] if filled[1:] else []
    grid = [[csv_tables.restored(cell) if isinstance(cell, str) else cell for cell in row] for row in filled[0][1]]
    is_first = filled[0][0] == grids[0][0]
    faults = [fault(row, "", "holds an error of the spreadsheet, such as #N/A", letter=letter)
              for letter, row in parts.errors if is_first]  # fmt: skip
    return Opened(grid, parts.is_1904, faults, notes)


@dataclass(frozen=True, slots=True)
class _Parts:
    is_1904: bool
    errors: list[tuple[str, int]]  # places of the first sheet with `#N/A` and the like, which are read as nothing


def _checked(content: bytes) -> _Parts:
    """Unpack the parts of a workbook to count them; raises Unreadable if it is none, or too large to be read."""
    is_1904, errors, left = False, list[tuple[str, int]](), MOST_UNPACKED
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = [name.lower() for name in archive.namelist()]
            if "xl/workbook.xml" not in names:
                raise Unreadable(IS_ANOTHER, what=next((kind for name, kind in _PACKED if name in names), "ZIP"))
            for info in archive.infolist():
                info.file_size = MOST_UNPACKED + 1  # what it says of itself is not believed: it is read to its end
                with archive.open(info) as part:
                    data = part.read(left + 1)
                left -= len(data)
                if left < 0:
                    raise _too_large()
                if info.filename == "xl/workbook.xml":
                    is_1904 = _IS_1904.search(data) is not None
                elif info.filename.startswith("xl/worksheets/"):
                    _check_places(data)
                    if info.filename.endswith("/sheet1.xml"):
                        errors = [(found[1].decode(), int(found[2])) for found in _ERROR.finditer(data)][:100]
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError):
        raise Unreadable(IS_DAMAGED) from None
    return _Parts(is_1904, errors)


def _check_places(sheet: bytes) -> None:
    rows = columns = 0
    for letters, row in _places(sheet):
        rows, columns = max(rows, row), max(columns, _number(letters))
    if rows > MOST_ROWS or columns > MOST_COLUMNS or rows * columns > MOST_CELLS:
        raise _too_large()


def _places(sheet: bytes) -> Iterator[tuple[bytes, int]]:
    for found in _CELL.finditer(sheet):
        yield found[1][:4], int(found[2][:9])


def _number(letters: bytes) -> int:
    number = 0
    for char in letters:
        number = number * _LETTERS + char - ord("A") + 1
    return number


def _too_large() -> Unreadable:
    return Unreadable("is too large: at most {rows} rows and {columns} columns", rows=MOST_ROWS, columns=MOST_COLUMNS)
