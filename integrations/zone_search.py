"""Which zone somebody means who types a town, a country, or a name that some zone has or had, in our languages."""

from functools import lru_cache

import babel

from integrations import catalogues, local_times
from service import vocabulary
from service.rules import name_order
from service.rules.time import zone_names

MOST = 12
_LONGEST = 64


def found(text: str, locale: str) -> list[str]:
    """Give the zones that the text may mean, in the order of their places; one if there is no doubt, at most MOST.

    What is a name of a zone is that zone. Else a whole name goes before the beginning of one, and that before a part.
    """
    try:
        return [zone_names.canonical(text)]
    except zone_names.UnknownZone:
        pass
    sought = _plain(text[:_LONGEST])
    if not sought:
        return []
    for fits in (str.__eq__, str.startswith, str.__contains__):
        zones = {zone for name, named in _index().items() if fits(name, sought) for zone in named}
        if zones:
            return sorted(zones, key=lambda zone: name_order.key(local_times.place(zone, locale)))[:MOST]
    return []


@lru_cache(maxsize=1)
def _index() -> dict[str, set[str]]:
    """Give the zones by each name that somebody may type."""
    index: dict[str, set[str]] = {}
    for zone, names in zone_names.aliases().items():
        towns = {name.rpartition("/")[2] for name in names}
        towns |= {local_times.place(zone, locale) for locale in vocabulary.LOCALES}
        country = zone_names.countries().get(zone)
        if country:
            towns |= {_country(country, locale) for locale in vocabulary.LOCALES}
        for town in towns:
            index.setdefault(_plain(town), set()).add(zone)
    return index


def _country(code: str, locale: str) -> str:
    return str(babel.Locale.parse(catalogues.of(locale).formats).territories.get(code, code))


def _plain(text: str) -> str:
    return " ".join(text.casefold().replace("_", " ").replace("-", " ").split())
