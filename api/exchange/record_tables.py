"""The tables of imports and exports: their columns are fields of the API, checked as its bodies are.

A head is a column's name, or a word of the catalogues for it; so are the codes. References are what people know:
institutions, memoranda and programmes by code (by id where they have none), people by address. Lists are separated by
semicolons. An empty cell means unknown. `id` may be left out: a new record then gets one; with it, a record that moves
from one installation to another keeps its id.
"""

import functools
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Annotated, Any, BinaryIO, Self
from uuid import UUID

from pydantic import (
    AfterValidator,
    Field,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from api.edge import registry_shapes, shapes
from api.exchange import cell_values, import_words, mappings
from api.exchange.cell_values import Column
from integrations.documents import opened_files, spreadsheets
from service import vocabulary
from service.exchange.imports import FileRow
from service.kernel import email_addresses
from service.outbox.events import instant
from service.rules import csv_tables, file_cells, file_tables, suspicious_text
from service.rules.file_tables import CellFault, TableRow, Unreadable, fault

_YES, _NO = "yes", "no"
_MOST_TOLD = 500
MORE = "from here on there are {count} more, which are not listed"


def _version_7(value: UUID) -> UUID:
    if value.version != 7:  # noqa: PLR2004 - RFC 9562
        msg = "must be a UUID of version 7"
        raise ValueError(msg)
    return value


def _role(value: str, info: ValidationInfo) -> str:
    """Read the department as the API does."""
    role, slash, department = value.partition("/")
    return role + slash + _line.validate_python(department, context=info.context) if slash else value


_line: TypeAdapter[str] = TypeAdapter(shapes.Line)
Id = Annotated[shapes.Id, AfterValidator(_version_7)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=64)]
"""A code, or the id of what has none."""
Names = Annotated[list[Name], Field(max_length=200, default_factory=list)]
Codes = Annotated[list[shapes.Code], Field(max_length=200, default_factory=list)]
Roles = Annotated[
    list[Annotated[str, StringConstraints(pattern=r"^[a-z_]+@[^/]+(/.+)?$", max_length=300), AfterValidator(_role)]],
    Field(max_length=20, default_factory=list),
]
Language = Annotated[str, StringConstraints(pattern=rf"^[a-z]{{2,3}}:({'|'.join(vocabulary.LANGUAGE_LEVELS)})$")]
_MINUTE = "([01][0-9]|2[0-3]):[0-5][0-9]"
Hours = Annotated[str, StringConstraints(pattern=rf"^({'|'.join(vocabulary.WEEKDAYS)}) {_MINUTE}-({_MINUTE}|24:00)$")]
_WALL = r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}"
Exception_ = Annotated[str, StringConstraints(pattern=f"^({'|'.join(vocabulary.EXCEPTION_KINDS)}) {_WALL}/{_WALL}$")]


class ProgrammeRow(registry_shapes.NewProgramme):
    """A programme."""

    id: Id | None = None


class SpecialtyRow(registry_shapes.Specialty):
    """A specialty."""


class InstitutionRow(registry_shapes.NewInstitution):
    """An institution."""

    id: Id | None = None


class MembershipRow(shapes.Shape):
    """An institution's time in a network."""

    institution: Name
    network: Name
    from_: Annotated[shapes.Day, Field(alias="from")]
    until: shapes.Day | None = None
    id: Id | None = None


class MemorandumRow(shapes.Shape):
    """A memorandum, its parties by side."""

    code: shapes.Code | None = None
    programme: shapes.Code
    kind: vocabulary.MemorandumKind
    status: vocabulary.MemorandumStatus = "draft"
    requesting: Names
    partners: Names
    areas: Codes
    activities: Codes
    signed_date: shapes.Day | None = None
    signed_precision: vocabulary.DatePrecision | None = None
    valid_from: shapes.Day | None = None
    valid_until: shapes.Day | None = None
    budget_minutes: shapes.BudgetMinutes | None = None
    budget_per: vocabulary.BudgetPeriod | None = None
    renewed_by: Name | None = None
    source: shapes.Line | None = None
    note: shapes.Note | None = None
    id: Id | None = None

    @model_validator(mode="after")
    def _signed_on_its_day(self) -> Self:
        """Read a date of signing without a precision as the day itself."""
        if self.signed_precision is None:
            self.signed_precision = "unknown" if self.signed_date is None else "on"
        return self


class PersonRow(shapes.Shape):
    """Somebody who signs in; a role is `clinician@code-of-institution` or `…@code/department`."""

    email: shapes.Email
    display_name: shapes.Line
    locale: vocabulary.Locale = "uk"
    zone: shapes.Zone
    state: vocabulary.PersonState = "active"
    roles: Roles
    id: Id | None = None


class MentorRow(shapes.Shape):
    """What a mentor offers and when: hours as `mon 16:00-19:00`, `away 2026-12-24T00:00/2026-12-27T00:00`."""

    email: shapes.Email
    institution: Name | None = None
    verified_until: shapes.Instant | None = None
    specialties: Codes
    languages: Annotated[list[Language], Field(max_length=30, default_factory=list)]
    sessions_per_week: Annotated[int, Field(ge=0, le=100)] = 3
    offers_per_week: Annotated[int, Field(ge=0, le=100)] = 5
    notice_minutes: Annotated[int, Field(ge=0, le=20160)] = 720
    buffer_minutes: Annotated[int, Field(ge=0, le=120)] = 10
    treats_children: bool = False
    opt_ins: Annotated[list[vocabulary.Priority], Field(max_length=4, default_factory=list)]
    tags: Codes
    quiet_from: shapes.Clock = "22:00"
    quiet_until: shapes.Clock = "07:00"
    availability_zone: shapes.Zone
    weekly: Annotated[list[Hours], Field(max_length=100, default_factory=list)]
    exceptions: Annotated[list[Exception_], Field(max_length=500, default_factory=list)]


class SessionRow(shapes.Shape):
    """A session or a written advice of the past; `minutes` follows from the times and is only compared with them."""

    memorandum: Name
    clinician: shapes.Email
    mentor: shapes.Email
    participants: Annotated[list[shapes.Email], Field(max_length=20, default_factory=list)]
    requesting_institution: Name
    partner_institution: Name
    specialty: shapes.Code
    priority: vocabulary.Priority = "routine"
    mode: vocabulary.SessionMode
    age_band: vocabulary.AgeBand
    started_at: shapes.Instant
    ended_at: shapes.Instant
    minutes: Annotated[int, Field(ge=0, le=1440)] | None = None
    outcome: vocabulary.SessionOutcome
    route: vocabulary.Route | None = None
    is_memorandum_chosen_anew: bool = False
    is_civil_for_requester: bool | None = None
    is_civil_for_mentor: bool | None = None
    consultation_id: Id | None = None
    corrects: Id | None = None
    id: Id | None = None


class ActivityRow(shapes.Shape):
    """What else a memorandum, or a programme, has brought."""

    code: shapes.Code | None = None
    programme: shapes.Code
    memorandum: Name | None = None
    kind: vocabulary.ActivityKind
    published_kind: shapes.Code | None = None
    on: shapes.Day | None = None
    period: shapes.Period | None = None
    from_: Annotated[shapes.Day | None, Field(alias="from")] = None
    until: shapes.Day | None = None
    days: Annotated[int, Field(ge=1, le=3_660)] | None = None
    people_op: vocabulary.CountSign | None = None
    people_count: Annotated[int, Field(ge=0, le=10_000_000)] | None = None
    specialties: Codes
    from_institutions: Names
    to_institutions: Names
    note: shapes.Note | None = None
    source: shapes.Note | None = None
    corrects: Id | None = None
    id: Id | None = None


SHAPES: Mapping[str, type[shapes.Shape]] = {
    "programmes": ProgrammeRow,
    "specialties": SpecialtyRow,
    "institutions": InstitutionRow,
    "memberships": MembershipRow,
    "memoranda": MemorandumRow,
    "people": PersonRow,
    "mentors": MentorRow,
    "sessions": SessionRow,
    "activities": ActivityRow,
}
"""Every table that can be imported; each comes after the tables it refers to."""


@dataclass(frozen=True, slots=True)
class Read:
    """A parsed table: its rows, or what is wrong with it; what somebody should look at; where its columns are."""

    rows: list[FileRow]
    faults: list[CellFault]
    warnings: list[CellFault] = field(default_factory=list)
    letters: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_doubtful(self) -> bool:
        """Tell whether some text looks damaged."""
        return any(warning.key in suspicious_text.WARNINGS for warning in self.warnings)


@functools.cache
def columns(kind: str) -> Mapping[str, Column]:
    """Give the columns of a table, with what may stand in each."""
    properties = SHAPES[kind].model_json_schema()["properties"]
    return {name: cell_values.column(name, schema) for name, schema in properties.items()}


@functools.cache
def heads(kind: str) -> Mapping[str, str]:
    """Give the column of each head, in every language, as `file_tables.plain` writes heads."""
    return import_words.heads(tuple(columns(kind)))


def read(kind: str, content: bytes, mapping: mappings.Mapping | None = None) -> Read:
    """Parse a file: each row's values as the API has them, or everything that is wrong with it."""
    known = mapping.heads if mapping else heads(kind)
    try:
        opened = opened_files.opened(content, lambda head: file_tables.plain(head) in known)
    except Unreadable as error:
        return Read([], [file_tables.filled(1, "", error.key, error.facts)])
    shape = SHAPES[kind]
    needed = [each.alias or name for name, each in shape.model_fields.items() if each.is_required()]
    required = mapping.required if mapping else needed
    table = file_tables.read(opened.grid, known, required, is_foreign=mapping is not None)
    faults, warnings = [*opened.faults, *table.faults], list(opened.notes)
    lines, letters = table.rows, dict(table.letters)
    if mapping:
        mapped = mapping.applied(table, needed)
        lines, letters = mapped.rows, dict(mapped.letters)
        faults += mapped.faults
        warnings += mapped.warnings
    at_fault = {each.column for each in table.faults if each.column}  # in the head, which was told once
    rows = []
    for line in lines:
        row, row_faults, row_doubts = _row(kind, line, is_1904=opened.is_1904)
        faults += [each for each in row_faults if each.column not in at_fault]
        warnings += row_doubts
        if row is not None:
            rows.append(row)
    return Read([] if faults else rows, _bounded(faults), _bounded(warnings), letters)


def _bounded(told: list[CellFault]) -> list[CellFault]:
    """Give the first of them, and how many more there are."""
    more = len(told) - _MOST_TOLD
    return told if more <= 0 else [*told[:_MOST_TOLD], fault(told[_MOST_TOLD].row, "", MORE, count=more)]


def _row(
    kind: str, line: TableRow, *, is_1904: bool
) -> tuple[FileRow | None, Sequence[CellFault], Sequence[CellFault]]:
    """Give the row, or its faults; and what of it looks damaged, or was read as what it may not be."""
    shape, types = SHAPES[kind], columns(kind)
    typed: dict[str, Any] = {}
    faults, guesses = [], []
    for name, cell in line.cells.items():
        if file_tables.is_blank(cell):
            continue
        try:
            typed[name] = cell_values.value(types[name], cell, is_1904=is_1904)
            if types[name].form == "date" and file_cells.is_guessed(cell):
                guesses.append(fault(line.row, name, file_cells.READ_AS, day=typed[name]))
        except Unreadable as error:
            faults.append(file_tables.filled(line.row, name, error.key, error.facts))
    found = []
    try:
        shape.model_validate(typed)
    except ValidationError as error:
        found = [cell_values.fault_of(line.row, types, detail) for detail in error.errors(include_url=False)]
    faulty = {each.column for each in faults}
    faults += [each for each in found if each.column not in faulty and each.key not in suspicious_text.WARNINGS]
    doubts = guesses + [each for each in found if each.key in suspicious_text.WARNINGS]
    doubts += _doubts(line, {each.column for each in (*faults, *doubts)})
    if faults:
        return None, faults, doubts
    values = shape.model_validate(typed, context=shapes.DOUBTS_ARE_ASKED).model_dump(by_alias=True)
    return FileRow(line.row, values, frozenset(line.cells)), faults, doubts


def _doubts(line: TableRow, told: Collection[str]) -> Iterator[CellFault]:
    """Name the other texts that look damaged, with what was probably meant."""
    for name, cell in line.cells.items():
        if not isinstance(cell, str) or name in told:
            continue
        meant = suspicious_text.meant(cell)
        if meant is not None:
            yield fault(line.row, name, suspicious_text.MISREAD, meant=file_tables.shown(meant))
        elif suspicious_text.has_lost_letters(cell):
            yield fault(line.row, name, suspicious_text.QUESTIONS)


def written(kind: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Write a table of this kind as CSV, as `read` parses it."""
    return csv_tables.written(list(columns(kind)), _texts(kind, rows))


def workbook(kind: str, rows: Sequence[Mapping[str, Any]]) -> BinaryIO:
    """Write a table as XLSX, every cell as text: a spreadsheet then leaves `002` as it is. `read` parses it."""
    return spreadsheets.texts(kind, list(columns(kind)), _texts(kind, rows))


def _texts(kind: str, rows: Sequence[Mapping[str, Any]]) -> Iterator[list[str]]:
    """Give the cells of the rows; addresses as people read them: `read` takes them back."""
    for row in rows:
        yield [
            cell(_readable(row[name]) if column.form == "email" else row[name])
            for name, column in columns(kind).items()
        ]


def _readable(value: str | list[str]) -> str | list[str]:
    return [*map(email_addresses.shown, value)] if isinstance(value, list) else email_addresses.shown(value)


def written_only(rows: Sequence[Mapping[str, Any]]) -> str:
    """Write a table that nothing reads again as CSV, with the columns of its rows."""
    names = list(rows[0]) if rows else []
    return csv_tables.written(names, ([cell(row[name]) for name in names] for row in rows))


def workbook_only(kind: str, rows: Sequence[Mapping[str, Any]]) -> BinaryIO:
    """Write a table that nothing reads again as XLSX, with the columns of its rows."""
    names = list(rows[0]) if rows else []
    return spreadsheets.texts(kind, names, ([cell(row[name]) for name in names] for row in rows))


@functools.singledispatch
def cell(value: object) -> str:
    """Write a value as a cell."""
    return "" if value is None else str(value)


cell.register(bool, lambda value: _YES if value else _NO)
cell.register(date, date.isoformat)
cell.register(datetime, instant)
cell.register(list, csv_tables.joined)
cell.register(dict, lambda value: json.dumps(value, ensure_ascii=False, sort_keys=True) if value else "")
