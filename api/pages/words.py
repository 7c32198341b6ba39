"""The words of the pages in one language, and instants as each side's clock shows them."""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import babel
from babel import dates

from integrations import catalogues
from service import tables, vocabulary
from service.rules.time import availability

LANGUAGES = ("uk", "en", "fr", "de", "pl", "it", "es", "lt", "he", "tr", "ro")
_SHARED = ("mail", "priorities", "modes", "reasons", "outcomes", "age_bands", "zones")
"""Contexts of the catalogues that are not the pages' own; those are `page` and `page.…`."""


@dataclass(frozen=True, slots=True)
class Words:
    """One language; `table` holds the words by the context that a page names without `page.`, then by key."""

    locale: str
    formats: str
    table: Mapping[str, Mapping[str, str]]

    def problem(self, name: str) -> Mapping[str, str] | None:
        """Give the title and advice of a problem by its kebab-case name, if the catalogue knows it."""
        return self.table.get(f"problems.{name}")

    def fault(self, detail: str) -> str:
        """Word what a verb finds wrong with a field; a fault that the catalogue lacks gets a general sentence."""
        faults = self.table["faults"]
        return faults.get(detail) or (detail if self.locale == catalogues.FALLBACK else faults["other"])

    def specialty(self, row: tables.Specialty) -> str:
        """Name the specialty."""
        return row.name_uk if self.locale == "uk" else row.name_en

    def institution(self, row: tables.Institution) -> str:
        """Name the institution; the name may be unknown."""
        own, other = (row.name, row.name_en) if self.locale == "uk" else (row.name_en, row.name)
        return own or other or self.table["page"]["unnamed"]

    def language(self, code: str) -> str:
        """Name the language."""
        return str(babel.Locale.parse(self.locale).languages.get(code, code))

    def country(self, code: str) -> str:
        """Name the country."""
        return str(babel.Locale.parse(self.locale).territories.get(code, code))

    def day(self, day: date) -> str:
        """Word a date."""
        return dates.format_date(day, "long", self.formats)

    def moment(self, at: datetime, zone: str) -> str:
        """Word the instant by the clock of `zone`: weekday, date, time, place and offset, so that nobody guesses."""
        wall = availability.to_wall(at, zone)
        day = dates.format_date(wall, "full", self.formats)
        return f"{day}, {self.clock(at, zone)}"

    def clock(self, at: datetime, zone: str) -> str:
        """Word the time of day of the instant in `zone`, with place and offset."""
        wall = availability.to_wall(at, zone)
        minutes = (wall.replace(tzinfo=UTC) - at) // timedelta(minutes=1)
        hours, rest = divmod(abs(minutes), 60)
        offset = f"UTC{'-' if minutes < 0 else '+'}{hours}" + (f":{rest:02}" if rest else "")
        return f"{wall:%H:%M} ({self._place(zone)}, {offset})"

    def both(self, at: datetime, zones: Iterable[str]) -> str:
        """Word the instant by every clock, the first one in full; the date again only where it differs."""
        first_zone, *other_zones = dict.fromkeys(zones)
        day = availability.to_wall(at, first_zone).date()
        other_times = [
            self.clock(at, zone) if availability.to_wall(at, zone).date() == day else self.moment(at, zone)
            for zone in other_zones
        ]
        return " = ".join([self.moment(at, first_zone), *other_times])

    def _place(self, zone: str) -> str:
        return self.table["zones"].get(zone) or dates.get_timezone_location(zone, self.formats, return_city=True)


@functools.cache
def of(locale: str) -> Words:
    """Give the words of a language."""
    catalogue = catalogues.of(locale)
    own = {name.removeprefix("page."): words for name, words in catalogue.contexts.items() if name.startswith("page")}
    return Words(catalogue.locale, catalogue.formats, {name: catalogue[name] for name in _SHARED} | own)


def wanted(accept_language: str) -> str:
    """Give the first language of the header that the pages have; English if they have none of them."""
    ranges = []
    for place, item in enumerate(accept_language.split(",")[:20]):
        tag, _, weight = item.strip().partition(";q=")
        try:
            ranges.append((-float(weight or 1), place, tag.split("-")[0].lower()))
        except ValueError:
            continue
    return next((tag for _, _, tag in sorted(ranges) if tag in vocabulary.LOCALES), catalogues.FALLBACK)
