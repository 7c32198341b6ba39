"""Imports of tables from files: all of a table or nothing of it, by the rules of the verbs, reported row by row.

    desk       what the database holds, by the names that files use; the faults of a file
    registry   programmes, specialties, institutions, memberships, memoranda
    people     people with their roles, mentors with what they offer
    log        sessions and activities of the past: entries of their memoranda's chains

A row whose key is known (`id`, `code`, `email`) is compared with the database: the same file twice changes nothing.
What differs is changed where a verb may change it; the log is only added to.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from service.exchange.imports import log, people, registry, scope
from service.exchange.imports.desk import REFERENCES, Desk, FileRefused, FileRow
from service.kernel import audit, errors
from service.kernel.work import Work

__all__ = ["KEYS", "ChangesMost", "ColumnChanges", "Example", "FileRefused", "FileRow", "Outcome", "load"]

Tell = Callable[[int], None]
_CODED = REFERENCES - {"roles"} | {"code", "specialty", "specialties", "areas", "parent", "also_parents"}
_Key = tuple[tuple[str, ...], tuple[object, ...]]
_Change = tuple[FileRow, Mapping[str, Any], frozenset[str]]  # the row, what is stored, the columns that differ
_LOCK = 0x696D7074
_LOGGED = ("sessions", "activities")
_MOST_ASKED_FROM = 5
_EXAMPLES = 3
_PERSONAL = ("people", "mentors", *_LOGGED)
"""Kinds whose present texts are not shown beside those of the file: they may be about others than the file is."""
KEYS: Mapping[str, Sequence[Sequence[str]]] = {
    "programmes": (("id",), ("code",)),
    "specialties": (("code",),),
    "institutions": (("id",), ("code",)),
    "memberships": (("id",), ("institution", "network", "from")),
    "memoranda": (("id",), ("code",)),
    "people": (("id",), ("email",)),
    "mentors": (("email",),),
    "sessions": (("id",), ("memorandum", "clinician", "mentor", "started_at")),
    "activities": (("id",), ("code",)),
}
"""The keys that identify a row of each kind: the first one with a match decides."""


@dataclass(frozen=True, slots=True)
class Example:
    """A value that changes: the file's row, and the value there; the present one unless it may be about others."""

    row: int
    now: Any
    before: Any = None
    shows_before: bool = False


@dataclass(frozen=True, slots=True)
class ColumnChanges:
    """How many rows change in a column, and the first of them."""

    count: int
    examples: Sequence[Example]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many rows were new, were changed, and were the same already; what changes, by column."""

    added: int
    changed: int
    same: int
    columns: Mapping[str, ColumnChanges] = field(default_factory=dict, compare=False)

    @property
    def changes_most(self) -> bool:
        """Tell whether so many rows change that the file may have been damaged on its way."""
        return self.changed >= _MOST_ASKED_FROM and self.changed > self.same


class ChangesMost(Exception):
    """Nothing was imported: the file changes most of the rows that are there already, and nobody confirmed that."""

    def __init__(self, outcome: Outcome) -> None:
        """Keep what would have been done."""
        super().__init__("changes most")
        self.outcome = outcome


@dataclass(frozen=True, slots=True)
class _Kind:
    """How rows of a kind are added and changed; the columns that no verb changes."""

    add: Callable[[Desk, Sequence[FileRow], Tell], Awaitable[None]]
    change: Callable[[Desk, FileRow, Mapping[str, Any], frozenset[str]], Awaitable[None]] | None
    fixed: frozenset[str] = frozenset()
    kept_if_empty: frozenset[str] = frozenset()  # columns that an empty cell leaves as they are


_KINDS: Mapping[str, _Kind] = {
    "programmes": _Kind(registry.add_programmes, registry.change_programme, frozenset({"code", "country"})),
    "specialties": _Kind(registry.add_specialties, None),
    "institutions": _Kind(registry.add_institutions, registry.change_institution, frozenset({"code", "sources"})),
    "memberships": _Kind(
        registry.add_memberships, registry.end_membership, frozenset({"institution", "network", "from"})
    ),
    "memoranda": _Kind(
        registry.add_memoranda,
        registry.change_memorandum,
        frozenset({"code", "programme", "kind", "requesting", "partners"}),
    ),
    "people": _Kind(people.add_people, people.change_person),
    "mentors": _Kind(people.add_mentors, people.change_mentor, frozenset({"email"}), frozenset({"institution"})),
    "sessions": _Kind(log.add_sessions, None),
    "activities": _Kind(log.add_activities, None),
}


async def load(
    w: Work,
    kind: str,
    rows: Sequence[FileRow],
    tell: Tell,
    digest: str = "",
    *,
    is_confirmed: bool = False,
    may_change_most: bool = True,
) -> Outcome:
    """Add or change the rows, or raise FileRefused with every fault; `tell` is called with the number of rows done.

    `digest` names the file in the audit. `is_confirmed` lets texts pass that only seem to name a person. Unless
    `may_change_most`, a file that changes more than half of its rows raises ChangesMost (FT-25).
    """
    await w.sql(sa.text("SET LOCAL idle_in_transaction_session_timeout = 0"))  # a long file takes long to check
    await w.sql(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    desk = await Desk.opened(w, is_confirmed=is_confirmed)
    await scope.check(desk, kind, rows)
    new, changes, same = _compared(desk, kind, await scope.stored(w, kind), rows)
    tell(same)
    outcome = Outcome(len(new), len(changes), same, _by_column(kind, changes))
    await _add(desk, kind, new, tell)
    for row, stored, columns in changes:
        await _change(desk, kind, row, stored, columns)
        tell(1)
    if desk.faults:
        raise FileRefused(desk.faults)
    if outcome.changes_most and not may_change_most:
        raise ChangesMost(outcome)
    if new or changes:
        audit.record(w, "imported", kind, None, added=len(new), changed=len(changes), same=same, sha256=digest)
    return outcome


def _compared(
    desk: Desk, kind: str, stored: Collection[Mapping[str, Any]], rows: Sequence[FileRow]
) -> tuple[list[FileRow], list[_Change], int]:
    """Give the rows that are new, those that differ, and how many are the same already."""
    existing = _Known(kind, stored)
    new: list[FileRow] = []
    changes: list[_Change] = []
    same = 0
    for row in map(desk.by_code, rows):
        matches = existing.find(desk, row)
        differing = [_differing(kind, row, match) for match in matches]
        if not matches:
            existing.look_for_zeros(desk, row)
            new.append(row)
        elif all(differing):
            changes.append((row, matches[-1], differing[-1]))
        else:
            same += 1
    return new, changes, same


def _by_column(kind: str, changes: Sequence[_Change]) -> Mapping[str, ColumnChanges]:
    columns: dict[str, list[Example]] = {}
    for row, stored, differing in changes:
        for name in sorted(differing):
            shows = kind not in _PERSONAL or isinstance(stored[name], bool | int | date)
            shows = shows and name != "note"
            example = Example(row.row, row.values[name], stored[name] if shows else None, shows_before=shows)
            columns.setdefault(name, []).append(example)
    return {name: ColumnChanges(len(each), each[:_EXAMPLES]) for name, each in sorted(columns.items())}


async def _add(desk: Desk, kind: str, rows: Sequence[FileRow], tell: Tell) -> None:
    """Add the rows in bulk: thousands of them, one by one, take longer than a person waits."""
    await desk.w.flush()
    desk.w.is_bulk = True
    await _KINDS[kind].add(desk, rows, tell)
    if not desk.faults:
        await desk.w.flush()
    desk.w.is_bulk = False


async def _change(desk: Desk, kind: str, row: FileRow, existing: Mapping[str, Any], differing: frozenset[str]) -> None:
    handler = _KINDS[kind]
    fixed = sorted(differing & handler.fixed if handler.change else differing)
    for column in fixed:
        desk.refuse(row, column, "is there with another value, which no file changes")
    if handler.change is None or fixed:
        return
    try:
        await handler.change(desk, row, existing, differing)
    except (errors.Invalid, errors.PersonalDataFound, errors.Conflict, errors.Forbidden, errors.NotFound) as error:
        desk.refuse_error(row, error)


class _Known:
    """The rows of a kind in the database, and those that the file has named so far, by each of their keys."""

    def __init__(self, kind: str, rows: Collection[Mapping[str, Any]]) -> None:
        self._is_log = kind in _LOGGED
        self._keys = KEYS[kind]
        self._existing: dict[_Key, list[Mapping[str, Any]]] = {}
        for row in rows:
            for key in self._of(row):
                self._existing.setdefault(key, []).append(row)
        self._named: dict[_Key, int] = {}
        codes = [row["code"] for row in rows if row.get("code")]
        self._without_zeros = {code.lstrip("0"): code for code in codes if code[0] == "0" and code.isdigit()}

    def find(self, desk: Desk, row: FileRow) -> Sequence[Mapping[str, Any]]:
        """Give the stored rows with the row's keys: one, or a session with its corrections; none for a new row.

        A row without any key, or named before, is a fault. In the log an id alone identifies: a correction may share
        the other keys of its entry.
        """
        keys = self._of(row.values)
        if self._is_log and row.values["id"]:
            keys = keys[:1]
        if not keys:
            desk.refuse(row, self._keys[-1][0], "needs a value, or the row an id: else a second time adds it again")
        for key in keys:
            first_row = self._named.setdefault(key, row.row)
            if first_row != row.row:
                desk.refuse(row, key[0][0], "row {first} is the same one", first=first_row)
        return next((self._existing[key] for key in keys if key in self._existing), ())

    def look_for_zeros(self, desk: Desk, row: FileRow) -> None:
        """Refuse a new row whose code is one that is there, but for its zeros: a spreadsheet makes `002` a number."""
        code = row.values.get("code") or ""
        if code.isdigit() and code in self._without_zeros:
            key = "is there as {code}: a spreadsheet took the zeros away"
            desk.refuse(row, "code", key, code=self._without_zeros[code])

    def _of(self, values: Mapping[str, Any]) -> list[_Key]:
        keys = [(tuple(names), tuple(_caseless(values[name]) for name in names)) for names in self._keys]
        return [(names, key) for names, key in keys if None not in key]


def _differing(kind: str, row: FileRow, existing: Mapping[str, Any]) -> frozenset[str]:
    """Name the file's columns whose values differ from the stored ones; an empty cell of the log does not differ."""
    is_log = kind in _LOGGED
    names = {
        name
        for name in row.given
        if _compared_as(name, row.values[name]) != _compared_as(name, existing[name])
        and not (is_log and row.values[name] in (None, [], False))
        and not (name in _KINDS[kind].kept_if_empty and row.values[name] is None)
    }
    return frozenset(names - {"id"})


def _compared_as(column: str, value: object) -> object:
    """Give the value as it compares in a column: codes are one in large and small letters (FT-29)."""
    if column == "roles" and isinstance(value, list):  # of `role@code/department`, the code
        parts = [str(role).partition("/") for role in value]
        return sorted(place.lower() + slash + department for place, slash, department in parts)
    return _caseless(value) if column in _CODED else _plain(value)


def _caseless(value: object) -> object:
    if isinstance(value, list | tuple):
        return sorted(str(item).lower() for item in value)
    return value.lower() if isinstance(value, str) else _plain(value)


def _plain(value: object) -> object:
    """Give the value in a form that compares by meaning: lists without order, addresses without case."""
    if isinstance(value, list | tuple):
        return sorted(map(str, value))
    if isinstance(value, datetime):
        return value.replace(microsecond=0)
    if isinstance(value, str):
        return value.lower() if "@" in value else value
    return value
