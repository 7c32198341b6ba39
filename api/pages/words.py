"""The words of the pages in one language, and instants as each side's clock shows them."""

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Literal, Protocol, TypeVar

import babel
from babel import dates
from markupsafe import Markup

from integrations import address_words, catalogues, local_times
from service import tables, vocabulary
from service.kernel import email_addresses
from service.rules import name_order
from service.rules.time import availability
from service.worklists import filing_choices, waiting

T = TypeVar("T")
LANGUAGES = ("uk", "en", "fr", "de", "pl", "it", "es", "lt", "he", "tr", "ro")
_DASH = "\N{EN DASH}"
_SHARED = ("mail", "priorities", "modes", "reasons", "outcomes", "age_bands", "days", "help")
"""Contexts of the catalogues that are not the pages' own; those are `page` and `page.…`."""


class NamedInBoth(Protocol):
    """What carries the names of a specialty."""

    @property
    def name_en(self) -> str:
        """The English one."""

    @property
    def name_uk(self) -> str:
        """The Ukrainian one."""


@dataclass(frozen=True, slots=True)
class Words:
    """One language; `table` holds the words by the context that a page names without `page.`, then by key."""

    locale: str
    formats: str
    table: Mapping[str, Mapping[str, str]]

    def problem(self, name: str) -> Mapping[str, str] | None:
        """Give the title and advice of a problem by its kebab-case name, if the catalogue knows it."""
        return self.table.get(f"problems.{name}")

    def fault(self, detail: str | email_addresses.Refused) -> str:
        """Word what a verb finds wrong with a field; a fault that the catalogue lacks gets a general sentence."""
        if isinstance(detail, email_addresses.Refused):
            return address_words.worded(detail, catalogues.of(self.locale))
        faults = self.table["faults"]
        said = catalogues.of(self.locale).said(detail)
        return faults.get(detail) or (f"{said[0].upper()}{said[1:].rstrip('.')}." if said else faults["other"])

    def counted(self, context: str, key: str, number: int, **facts: str) -> str:
        """Word a sentence that counts; it may name the `{number}`, and the facts."""
        return catalogues.of(self.locale).counted(context, key, number).format(number=number, **facts)

    def specialty(self, row: NamedInBoth) -> str:
        """Name the specialty."""
        return row.name_uk if self.locale == "uk" else row.name_en

    def institution(self, row: tables.Institution | filing_choices.Hospital) -> str:
        """Name the institution; the name may be unknown."""
        own, other = (row.name, row.name_en) if self.locale == "uk" else (row.name_en, row.name)
        return own or other or self.table["page"]["unnamed"]

    def place_of(self, entry: waiting.Entry) -> str:
        """Name the institution of whoever is on the other side."""
        own, other = (entry.place_name, entry.place_name_en)
        return (own if self.locale == "uk" else other) or own or other or self.table["page"]["unnamed"]

    def language(self, code: str) -> str:
        """Name the language."""
        return str(_babel(self.locale).languages.get(code, code))

    def country(self, code: str) -> str:
        """Name the country."""
        return str(_babel(self.locale).territories.get(code, code))

    def in_order(self, items: Iterable[T], name: Callable[[T], str]) -> list[T]:
        """Sort for a list that people look through, by the names that they read."""
        return sorted(items, key=lambda item: name_order.key(name(item)))

    def day(self, day: date) -> str:
        """Word a date."""
        return dates.format_date(day, "long", self.formats)

    def weekday(self, number: int, width: Literal["wide", "abbreviated"] = "wide") -> str:
        """Name the weekday; 0 is Monday."""
        return str(dates.get_day_names(width, "stand-alone", self.formats)[number])

    def short_day(self, day: date, today: date) -> str:
        """Word a date in few letters, with its weekday; the year only if it is not this one."""
        return local_times.short_day(day, self.locale, is_year_told=day.year != today.year)

    def own_name(self, locale: str) -> str:
        """Name a language of the pages in itself."""
        return of(locale).table["page"]["in_this_language"]

    def place(self, zone: str) -> str:
        """Name the place whose clock the zone is."""
        return local_times.place(zone, self.locale)

    def wall_span(self, since: datetime, until: datetime, now: datetime) -> str:
        """Word a span by one wall clock, half-open; whole days by their dates, the last one included."""
        last = until - timedelta(minutes=1)
        days = [self.short_day(day, now.date()) for day in dict.fromkeys((since.date(), last.date()))]
        if since.time() == until.time() == time():
            return _DASH.join(days)
        ends = [days[0], f"{since:%H:%M}{_DASH}{until:%H:%M}"]
        if len(days) > 1:
            ends = [f"{days[0]}, {since:%H:%M} {_DASH} {self.short_day(until.date(), now.date())}", f"{until:%H:%M}"]
        return ", ".join(ends)

    def hours_span(self, first: datetime, last: datetime, zone: str) -> str:
        """Word two times of one day by the clock of the zone; one, if they are the same."""
        walls = (availability.to_wall(at, zone) for at in (first, last))
        return _DASH.join(dict.fromkeys(f"{wall:%H:%M}" for wall in walls))

    def moment(self, at: datetime, zone: str) -> str:
        """Word the instant by the clock of `zone`: weekday, date, time, place and offset, so that nobody guesses."""
        return local_times.moment(at, zone, self.locale)

    def when(self, at: datetime, zone: str, now: datetime) -> Markup:
        """Word the instant shortly, by the reader's own clock, whose zone the page says once."""
        shown = local_times.short(at, zone, self.locale, now)
        return Markup('<time datetime="{}">{}</time>').format(local_times.with_offset(at, zone), shown)

    def there(self, at: datetime, zone: str, own_zone: str, now: datetime) -> Markup:
        """Word the instant by the other side's clock, behind one's own: time and place, the day only if another one."""
        wall, own_wall = availability.to_wall(at, zone), availability.to_wall(at, own_zone)
        is_same_day = wall.date() == own_wall.date()
        shown = f"{wall:%H:%M}" if is_same_day else local_times.short(at, zone, self.locale, now)
        place = local_times.place(zone, self.locale)
        return Markup('<time datetime="{}">{}</time>, {}').format(local_times.with_offset(at, zone), shown, place)

    def whose_clock(self, zone: str, now: datetime) -> str:
        """Name the place and the offset of the clock by which a page shows its times."""
        return f"{local_times.place(zone, self.locale)}, {local_times.offset(now, zone)}"

    def short(self, at: datetime, zone: str, now: datetime) -> str:
        """Word the instant in a few words by the clock of `zone`, which the page has named."""
        return local_times.short(at, zone, self.locale, now)

    def machine(self, at: datetime, zone: str) -> str:
        """Write the instant for the attribute of a time."""
        return local_times.with_offset(at, zone)

    def until(self, due_at: datetime, zone: str, now: datetime) -> str:
        """Word until when something is to be done, or how long ago that was."""
        moment, when = self.short(due_at, zone, now), self.table["when"]
        if due_at > now:
            return when["by"].format(moment=moment)
        return when["late"].format(moment=moment, length=local_times.length(now - due_at, self.locale))

    def ahead(self, at: datetime, now: datetime) -> str:
        """Word in how long something begins that lies ahead."""
        return self.table["when"]["in"].format(length=local_times.length(at - now, self.locale))

    def span(self, start: datetime, end: datetime, zone: str) -> str:
        """Word the time from `start` until `end` by the clock of `zone`."""
        return local_times.span(start, end, zone, self.locale)

    def short_span(self, start: datetime, end: datetime, zone: str, now: datetime) -> str:
        """Word the time from `start` until `end` in a few words, by the clock of `zone`, which the page has named."""
        first, last = self.short(start, zone, now), availability.to_wall(end, zone)
        if availability.to_wall(start, zone).date() == last.date():
            return f"{first}{_DASH}{last:%H:%M}"
        return f"{first} {_DASH} {self.short(end, zone, now)}"

    def clock(self, at: datetime, zone: str) -> str:
        """Word the time of day of the instant in `zone`, with place and offset."""
        return local_times.clock(at, zone, self.locale)

    def both(self, at: datetime, zones: Iterable[str]) -> str:
        """Word the instant by every clock, the first one in full; the date again only where it differs."""
        first_zone, *other_zones = dict.fromkeys(zones)
        day = availability.to_wall(at, first_zone).date()
        other_times = [
            self.clock(at, zone) if availability.to_wall(at, zone).date() == day else self.moment(at, zone)
            for zone in other_zones
        ]
        return " = ".join([self.moment(at, first_zone), *other_times])


@functools.cache
def _babel(locale: str) -> babel.Locale:
    return babel.Locale.parse(locale)


@functools.cache
def of(locale: str) -> Words:
    """Give the words of a language."""
    catalogue = catalogues.of(locale)
    own = {name.removeprefix("page."): words for name, words in catalogue.contexts.items() if name.startswith("page")}
    return Words(catalogue.locale, catalogue.formats, {name: catalogue[name] for name in _SHARED} | own)


def names_of_others(locale: str) -> list[tuple[str, str]]:
    """List the other languages that there are words in: code, and how one offers it to whoever speaks it."""
    return [(other, of(other).table["page"]["in_this_language"]) for other in vocabulary.LOCALES if other != locale]
