"""What an import did or would do, and what is wrong with its file: as lines for people, and as values for programs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from api.exchange import import_words, record_tables
from integrations import catalogues
from service.exchange.imports import Outcome
from service.rules import file_tables
from service.rules.file_tables import CellFault

if TYPE_CHECKING:
    from api.exchange.record_tables import Read


@dataclass(frozen=True, slots=True)
class Speaker:
    """Speaks one language about files."""

    locale: str

    def word(self, key: str, **facts: object) -> str:
        """Give a sentence of ours."""
        return catalogues.of(self.locale)["import"][key].format(**facts)

    def sentence(self, fault: CellFault) -> str:
        """Say what is wrong."""
        return import_words.sentence(fault, self.locale)

    def line(self, fault: CellFault, letters: Mapping[str, str]) -> str:
        """Say where something is wrong, and what."""
        place = import_words.place(fault, letters, self.locale)
        return self.word("fault", place=place, reason=self.sentence(fault))

    def fault(self, fault: CellFault, letters: Mapping[str, str]) -> dict[str, Any]:
        """Give a fault as values: the row, the column by its name and its letter, what is wrong."""
        letter = fault.letter or letters.get(fault.column)
        return {"row": fault.row, "column": fault.column, "letter": letter, "reason": self.sentence(fault)}

    def warnings(self, table: "Read") -> Iterator[str]:
        """Say what somebody should look at."""
        for warning in table.warnings:
            place = import_words.place(warning, table.letters, self.locale)
            yield self.word("warning", place=place, reason=self.sentence(warning))

    def changes(self, outcome: Outcome) -> Iterator[str]:
        """Say what changes, by column, with examples."""
        for name, column in outcome.columns.items():
            yield self.word("column", column=import_words.column_name(name, self.locale), count=column.count)
            for example in column.examples:
                now, before = (self._shown(value) for value in (example.now, example.before))
                key = "example_before" if example.shows_before else "example"
                yield self.word(key, row=example.row, now=now, before=before)

    def _shown(self, value: object) -> str:
        return file_tables.shown(record_tables.cell(value)) or self.word("nothing")


def summary(outcome: Outcome) -> dict[str, Any]:
    """Give what an import did or would do as values; examples as the cells of a file."""
    columns = [
        {
            "column": name,
            "changed": column.count,
            "examples": [
                {
                    "row": example.row,
                    "now": record_tables.cell(example.now),
                    "before": record_tables.cell(example.before) if example.shows_before else None,
                }
                for example in column.examples
            ],
        }
        for name, column in outcome.columns.items()
    ]
    return {"added": outcome.added, "changed": outcome.changed, "same": outcome.same, "columns": columns}
