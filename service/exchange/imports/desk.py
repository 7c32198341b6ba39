"""What the database holds, by the names that files use, and the faults of a file as they are found."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from service.kernel import email_addresses, errors
from service.kernel.deidentification import ConfirmedSpan
from service.kernel.work import Work
from service.rules import file_tables, sentences
from service.rules.file_tables import CellFault
from service.rules.sentences import Fact
from service.rules.time import availability

ADDRESS = "address"
"""The key of a fault of an address, which has words of its own."""
_COLUMNS = {
    "parties": "requesting",
    "signed": "signed_date",
    "budget": "budget_minutes",
    "people": "people_count",
}
"""The file's column of a verb's fault, where its name is another."""
_NAMED = {
    "programme": "SELECT code AS name, id FROM programme UNION ALL SELECT CAST(id AS text), id FROM programme",
    "institution": "SELECT code AS name, id FROM institution WHERE code IS NOT NULL"
    " UNION ALL SELECT CAST(id AS text), id FROM institution",
    "memorandum": "SELECT code AS name, id FROM memorandum WHERE code IS NOT NULL"
    " UNION ALL SELECT CAST(id AS text), id FROM memorandum",
    "person": "SELECT lower(email) AS name, id FROM person",
    "specialty": "SELECT code AS name, code AS id FROM specialty",
}
_CODES = " UNION ALL ".join(
    f"SELECT CAST(id AS text) AS id, code FROM {table} WHERE code IS NOT NULL"  # noqa: S608 - tables of ours
    for table in ("programme", "institution", "memorandum")
)
REFERENCES = frozenset(
    (
        *("programme", "memorandum", "renewed_by", "institution", "network", "roles", "requesting", "partners"),
        *("requesting_institution", "partner_institution", "from_institutions", "to_institutions"),
    )
)


@dataclass(frozen=True, slots=True)
class FileRow:
    """A row of a file (the head is row 1): a value for every column, and which columns the file has."""

    row: int
    values: Mapping[str, Any]
    given: frozenset[str]


class FileRefused(Exception):
    """Nothing was imported; `faults` says why, in the order of the rows."""

    def __init__(self, faults: Sequence[CellFault]) -> None:
        """Keep every fault once."""
        super().__init__(f"{len(faults)} faults")
        self.faults = sorted(set(faults), key=lambda fault: (fault.row, fault.column, fault.reason))


@dataclass(slots=True)
class Desk:
    """The state of an import: the transaction, the names of what the database holds, the faults so far."""

    w: Work
    names: Mapping[str, Mapping[str, Any]]  # in small letters: codes and addresses are one in either case
    zones: Mapping[UUID, str]  # of programmes
    codes: Mapping[str, str]  # what has a code, by its id
    is_confirmed: bool = False  # somebody looked at the texts, and says that they name nobody
    faults: list[CellFault] = field(default_factory=list)

    @classmethod
    async def opened(cls, w: Work, *, is_confirmed: bool = False) -> "Desk":
        """Load what the database holds now."""
        names = {
            kind: {row.name.lower(): row.id for row in await w.sql(sa.text(query))} for kind, query in _NAMED.items()
        }
        zones = {row.id: row.zone for row in await w.sql(sa.text("SELECT id, zone FROM programme"))}
        codes = {row.id: row.code for row in await w.sql(sa.text(_CODES))}
        return cls(w, names, zones, codes, is_confirmed)

    @property
    def confirmed(self) -> Collection[ConfirmedSpan] | None:
        """The false alarms to confirm to a verb: none of them, or None for all."""
        return None if self.is_confirmed else ()

    def by_code(self, row: FileRow) -> FileRow:
        """Give the row as an export writes it: references by code, where there is one."""
        coded: dict[str, Any] = {}
        for column in REFERENCES & row.values.keys():
            value = row.values[column]
            if isinstance(value, str):
                coded[column] = self._coded(value)
            elif value is not None:
                coded[column] = [self._coded(name) for name in value]
        return replace(row, values={**row.values, **coded})

    def _coded(self, text: str) -> str:
        """Give the text with its id, alone or as the place of a role, replaced by the code."""
        role, at, place = text.rpartition("@")
        name, slash, department = place.partition("/")
        return f"{role}{at}{self.codes.get(name, name)}{slash}{department}"

    def refuse(self, row: FileRow, column: str, key: str, **facts: Fact) -> None:
        """Add a fault of the row, a sentence with gaps for `facts`; nothing of the file will be stored."""
        self.faults.append(file_tables.filled(row.row, column, key, facts))

    def refuse_error(self, row: FileRow, error: errors.DomainError) -> None:
        """Add the faults that a verb found in the row."""
        if isinstance(error, email_addresses.Unmailable):
            self.faults.append(CellFault(row.row, "email", str(error.refused), ADDRESS, error.refused.facts()))
            return
        faults: Any = error.members.get("errors")
        for fault in faults or [{"pointer": "", "detail": error.detail or error.title()}]:
            column = fault["pointer"].removeprefix("/").partition("/")[0]
            detail = fault["detail"]
            self.refuse(row, _COLUMNS.get(column, column), sentences.key(detail), **sentences.facts(detail))

    def find(self, row: FileRow, column: str, kind: str, name: str | None = None) -> Any:  # noqa: ANN401 - an id or a code
        """Give the id of what the column (or `name`, an item of it) names; None, and a fault, if it does not exist."""
        key = row.values[column] if name is None else name
        target = self.names[kind].get(key.lower())
        if target is None:
            self.refuse(row, column, "names a {kind} that is not there", kind=kind)
        return target

    def find_all(self, row: FileRow, column: str, kind: str) -> list[Any]:
        """Give the ids of everything that the row names in the column, with a fault for each that does not exist."""
        targets = [self.find(row, column, kind, name) for name in row.values[column]]
        return [target for target in targets if target is not None]

    def today(self, programme_id: UUID) -> date:
        """Tell the date in the programme's zone."""
        return availability.local_date(self.w.now, self.zones[programme_id])
