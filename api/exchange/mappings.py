"""Mapping files: which columns of somebody else's register are which of ours, in TOML.

    kind = "institutions"
    skip = ["lat", "external_ids.*"]        columns that are known and not taken
    empty = ["NULL"]                        texts that mean nothing
    [columns]                               theirs, and ours: one or several
    "legal_entity_name" = "name"
    [values.kind]                           a text of theirs, or an item of its list, and what we say for it
    "healthcare" = "hospital"
    [constants]                             what every row has
    country = "UA"
    [strip]                                 what is taken off the beginning of our column's text
    [prefix]                                what is put before it
    [keep], [drop]                          of their column: rows with one of these texts are taken, are not

Ready ones are files of the package, named by the register.
"""

import fnmatch
import tomllib
from collections.abc import Mapping as Table_
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service import vocabulary
from service.rules import csv_tables, file_cells, file_tables
from service.rules.file_tables import Cell, CellFault, TableRow, Unreadable, fault

_FOLDER = Path(__file__).parent / "registers"
READY = tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))
"""The registers whose mappings come with the program."""
MOST_BYTES = 100_000
_NOT_TAKEN = "“{head}” is no column of this mapping, and was not taken"


class _Written(BaseModel):
    """A mapping file as it is written."""

    model_config = ConfigDict(extra="forbid", strict=True)
    kind: str
    columns: dict[str, str | list[str]]
    skip: list[str] = Field(default_factory=list)
    empty: list[str] = Field(default_factory=list)
    values: dict[str, dict[str, str]] = Field(default_factory=dict)
    constants: dict[str, str] = Field(default_factory=dict)
    strip: dict[str, str] = Field(default_factory=dict)
    prefix: dict[str, str] = Field(default_factory=dict)
    keep: dict[str, list[str]] = Field(default_factory=dict)
    drop: dict[str, list[str]] = Field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mapped:
    """The rows in our columns, the letters these have in the file, what is wrong, what should be known."""

    rows: list[TableRow]
    letters: Table_[str, str]
    faults: list[CellFault]
    warnings: list[CellFault]


@dataclass(frozen=True, slots=True)
class Mapping:
    """How rows of a foreign register become rows of a kind."""

    written: _Written

    @property
    def heads(self) -> Table_[str, str]:
        """Give their columns by the form in which heads are compared."""
        return {file_tables.plain(head): head for head in self._named()}

    @property
    def required(self) -> Sequence[str]:
        """Name their columns without which no row is known for what it is."""
        return list(dict.fromkeys([*self.written.keep, *self.written.drop]))

    def is_skipped(self, head: str) -> bool:
        """Tell whether the mapping says that this column is not taken."""
        return any(fnmatch.fnmatchcase(head.casefold(), pattern.casefold()) for pattern in self.written.skip)

    def applied(self, table: file_tables.Table, required: Sequence[str]) -> Mapped:
        """Give the rows as ours."""
        letters = {
            ours: table.letters[theirs]
            for theirs, names in self.written.columns.items()
            for ours in _listed(names)
            if theirs in table.letters
        }
        missing = [ours for ours in required if ours not in letters and ours not in self.written.constants]
        faults = [fault(1, name, "this column is missing") for name in missing if not table.faults]
        rows = [self._row(row) for row in table.rows if self._is_taken(row)] if not missing else []
        passed = len(table.rows) - len(rows)
        warnings = [fault(1, "", "{count} rows were passed over, as the mapping says", count=passed)] if passed else []
        warnings += [
            file_tables.filled(1, "", _NOT_TAKEN, dict(each.facts), each.letter)
            for each in table.unknown
            if not self.is_skipped(str(dict(each.facts)["head"]))
        ]
        return Mapped(rows, letters, faults, [] if missing else warnings)

    def _named(self) -> list[str]:
        return list(dict.fromkeys([*self.written.columns, *self.written.keep, *self.written.drop]))

    def _is_taken(self, row: TableRow) -> bool:
        def has(column: str, texts: Sequence[str]) -> bool:
            found = {file_tables.plain(item) for item in _parts(file_cells.text(row.cells.get(column)))}
            return not found.isdisjoint(map(file_tables.plain, texts))

        return all(has(column, texts) for column, texts in self.written.keep.items()) and not any(
            has(column, texts) for column, texts in self.written.drop.items()
        )

    def _row(self, row: TableRow) -> TableRow:
        cells: dict[str, Cell] = dict(self.written.constants)
        for theirs, names in self.written.columns.items():
            if theirs in row.cells:
                for ours in _listed(names):
                    cells[ours] = self._cell(ours, row.cells[theirs])
        return TableRow(row.row, cells)

    def _cell(self, ours: str, cell: Cell) -> Cell:
        text = file_cells.text(cell)
        if not text or text in self.written.empty:
            return self.written.constants.get(ours)
        words = {file_tables.plain(word): ours_ for word, ours_ in self.written.values.get(ours, {}).items()}
        items = [text, *_parts(text)]
        text = next((words[item] for item in map(file_tables.plain, items) if item in words), text)
        stripped = text.removeprefix(self.written.strip.get(ours, ""))
        return (
            cell
            if stripped == file_cells.text(cell) and ours not in self.written.prefix
            else (self.written.prefix.get(ours, "") + stripped)
        )


def ready(name: str) -> Mapping:
    """Give a mapping that comes with the program."""
    return read((_FOLDER / f"{name}.toml").read_bytes())


def read(content: bytes) -> Mapping:
    """Read a mapping; raises Unreadable with what is wrong with it."""
    if len(content) > MOST_BYTES:
        raise Unreadable("the mapping is longer than {most} bytes", most=MOST_BYTES)
    try:
        written = _Written.model_validate(tomllib.loads(content.decode("utf-8-sig")))
    except (ValueError, RecursionError) as error:
        where = ".".join(str(part) for part in error.errors()[0]["loc"]) if isinstance(error, ValidationError) else ""
        raise Unreadable("the mapping is no TOML, or says what no mapping says: {where}", where=where) from None
    if written.kind not in vocabulary.RECORD_KINDS:
        raise Unreadable("the mapping is of no kind that there is: {kinds}", kinds=vocabulary.RECORD_KINDS)
    return Mapping(written)


def _listed(names: str | list[str]) -> list[str]:
    return [names] if isinstance(names, str) else names


def _parts(text: str) -> list[str]:
    return csv_tables.items(text, ";,|")
