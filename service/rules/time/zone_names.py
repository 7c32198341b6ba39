"""What a zone is called: every name that people and programs give it, and the one that is stored.

Stored is a name that the tz database lists for a country (`zone.tab`), or UTC. A country's own name stays, although the
database keeps no history of its own for it and links it to a neighbour's: somebody in Oslo reads "Oslo", not "Berlin".
Whatever else the database links is a former or other name, and is replaced. Windows' names are CLDR's (`windowsZones`,
Unicode License v3), put down in `service/data/windows_zones.csv` by `tests/rules/time/make-windows-zones`.
"""

import csv
from functools import lru_cache
from importlib import resources
from types import MappingProxyType
from typing import Final

UTC: Final = "UTC"
_LONGEST = 64  # of any name; longer ones are not looked at
_WHATEVER_UTC_IS_CALLED = ("Etc/UTC", "Etc/GMT")
# Where a link leads into another country, because the place's own history was merged away: the place itself.
_OF_THEIR_OWN_COUNTRY = {
    "Africa/Asmera": "Africa/Asmara",
    "Africa/Timbuktu": "Africa/Bamako",
    "America/Coral_Harbour": "America/Atikokan",
    "America/Virgin": "America/St_Thomas",
    "Atlantic/Jan_Mayen": "Arctic/Longyearbyen",
    "Iceland": "Atlantic/Reykjavik",
    "Pacific/Ponape": "Pacific/Pohnpei",
    "Pacific/Truk": "Pacific/Chuuk",
    "Pacific/Yap": "Pacific/Chuuk",
}
# Zones of their own without a country in some releases of the data, links in others.
_AMERICAN = {
    "EST5EDT": "America/New_York",
    "CST6CDT": "America/Chicago",
    "MST7MDT": "America/Denver",
    "PST8PDT": "America/Los_Angeles",
}


class UnknownZone(ValueError):
    """This is no name of a time zone."""


class FixedOffset(UnknownZone):
    """This is an offset from UTC, which knows no summer time, and no place."""


def canonical(name: str) -> str:
    """Give the name to store for a name of the tz database, former or present, or of Windows; case does not count.

    Raises FixedOffset for an offset such as `Etc/GMT-2`, UnknownZone for anything else that is no place's.
    """
    key = name.strip().casefold() if len(name) <= _LONGEST else ""
    zone = _names().get(key)
    if zone is not None:
        return zone
    if key.startswith(("etc/gmt", "gmt+", "gmt-", "utc+", "utc-")):
        message = "an offset from UTC knows no summer time"
        raise FixedOffset(message)
    message = "no name of a zone of the tz database"
    raise UnknownZone(message)


@lru_cache(maxsize=1)
def aliases() -> MappingProxyType[str, tuple[str, ...]]:
    """Give every zone that is stored with all its names in the tz database, former ones too, in small letters."""
    windows = {name.casefold() for name in _of_windows()}
    found: dict[str, list[str]] = {}
    for name, zone in _names().items():
        if name not in windows:
            found.setdefault(zone, []).append(name)
    return MappingProxyType({zone: tuple(names) for zone, names in found.items()})


@lru_cache(maxsize=1)
def countries() -> MappingProxyType[str, str]:
    """Give the country (ISO 3166-1) of every zone that the tz database lists for one."""
    return MappingProxyType({row[2]: row[0] for row in _rows()})


@lru_cache(maxsize=1)
def _names() -> MappingProxyType[str, str]:
    """Give the name to store by every name in small letters."""
    places = _places()
    links = _links()
    names = dict.fromkeys(_WHATEVER_UTC_IS_CALLED, UTC) | _AMERICAN
    for name in links:
        zone = _OF_THEIR_OWN_COUNTRY.get(name, links[name])
        names[name] = UTC if zone in _WHATEVER_UTC_IS_CALLED else zone
    names |= _of_windows() | {place: place for place in places}
    return MappingProxyType({name.casefold(): zone for name, zone in names.items()})


def _places() -> set[str]:
    return {row[2] for row in _rows()} | {UTC}


def _rows() -> list[list[str]]:
    """Give the lines of `zone.tab`: country, coordinates, zone."""
    return [line.split("\t") for line in _of_tzdata("zone.tab") if not line.startswith("#")]


def _links() -> dict[str, str]:
    """Give where each link of the data leads: `L TARGET NAME` (zic(8)); no target is a link itself."""
    rows = (line.split() for line in _of_tzdata("tzdata.zi") if line.startswith("L "))
    return {name: target for _, target, name in rows}


def _of_windows() -> dict[str, str]:
    text = resources.files("service").joinpath("data/windows_zones.csv").read_text("utf-8")
    return {row["windows"]: row["zone"] for row in csv.DictReader(text.splitlines())}


def _of_tzdata(name: str) -> list[str]:
    return resources.files("tzdata.zoneinfo").joinpath(name).read_text("utf-8").splitlines()
