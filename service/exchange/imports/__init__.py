"""Imports of tables from files: all of a table or nothing of it, by the rules of the verbs, reported row by row.

    desk       what the database holds, by the names that files use; the faults of a file
    registry   programmes, specialties, institutions, memberships, memoranda
    people     people with their roles, mentors with what they offer
    log        sessions and activities of the past: entries of their memoranda's chains

A row whose key is known (`id`, `code`, `email`) is compared with the database: the same file twice changes nothing.
What differs is changed where a verb may change it; the log is only added to.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from service.exchange import exports
from service.exchange.imports import log, people, registry
from service.exchange.imports.desk import Desk, FileRefused, FileRow
from service.kernel import audit, errors
from service.kernel.work import Work

__all__ = ["KEYS", "FileRefused", "FileRow", "Outcome", "load"]

Tell = Callable[[int], None]
_Key = tuple[tuple[str, ...], tuple[object, ...]]
_LOCK = 0x696D7074
_LOGGED = ("sessions", "activities")
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
class Outcome:
    """How many rows were new, were changed, and were the same already."""

    added: int
    changed: int
    same: int


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
    w: Work, kind: str, rows: Sequence[FileRow], tell: Tell, digest: str = "", *, is_confirmed: bool = False
) -> Outcome:
    """Add or change the rows, or raise FileRefused with every fault; `tell` is called with the number of rows done.

    `digest` names the file in the audit. `is_confirmed` lets texts pass that only seem to name a person.
    """
    await w.sql(sa.text("SET LOCAL idle_in_transaction_session_timeout = 0"))  # a long file takes long to check
    await w.sql(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    desk = await Desk.opened(w, is_confirmed=is_confirmed)
    existing = _Known(kind, await exports.rows(w, kind))
    new: list[FileRow] = []
    changes: list[tuple[FileRow, Mapping[str, Any], frozenset[str]]] = []
    same = 0
    for row in map(desk.by_code, rows):
        matches = existing.find(desk, row)
        differing = [_differing(kind, row, match) for match in matches]
        if not matches:
            new.append(row)
        elif all(differing):
            changes.append((row, matches[-1], differing[-1]))
        else:
            same += 1
    tell(same)
    await _add(desk, kind, new, tell)
    for row, stored, columns in changes:
        await _change(desk, kind, row, stored, columns)
        tell(1)
    if desk.faults:
        raise FileRefused(desk.faults)
    if new or changes:
        audit.record(w, "imported", kind, None, added=len(new), changed=len(changes), same=same, sha256=digest)
    return Outcome(len(new), len(changes), same)


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
    except (errors.Invalid, errors.PersonalDataFound, errors.Conflict) as error:
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
                desk.refuse(row, key[0][0], f"row {first_row} is the same one")
        return next((self._existing[key] for key in keys if key in self._existing), ())

    def _of(self, values: Mapping[str, Any]) -> list[_Key]:
        keys = [(tuple(names), tuple(_plain(values[name]) for name in names)) for names in self._keys]
        return [(names, key) for names, key in keys if None not in key]


def _differing(kind: str, row: FileRow, existing: Mapping[str, Any]) -> frozenset[str]:
    """Name the file's columns whose values differ from the stored ones; an empty cell of the log does not differ."""
    is_log = kind in _LOGGED
    names = {
        name
        for name in row.given
        if _plain(row.values[name]) != _plain(existing[name])
        and not (is_log and row.values[name] in (None, [], False))
        and not (name in _KINDS[kind].kept_if_empty and row.values[name] is None)
    }
    return frozenset(names - {"id"})


def _plain(value: object) -> object:
    """Give the value in a form that compares by meaning: lists without order, addresses without case."""
    if isinstance(value, list | tuple):
        return sorted(map(str, value))
    if isinstance(value, datetime):
        return value.replace(microsecond=0)
    if isinstance(value, str):
        return value.lower() if "@" in value else value
    return value
