"""The shape of a live registry from a file: counts, zones and codes, and nothing by which somebody could be known.

    {"format": "pobratym-shape 1",
     "hospitals": [{"zone": "Europe/Kyiv", "clinicians": 40}],
     "partners": [{"country": "FR", "zone": "Europe/Paris", "mentors": [["sur.neuro"], ["sur.plastic", "sur.burns"]]}],
     "memoranda": [{"hospital": 0, "partner": 0, "areas": ["sur"]}]}

Places are numbers in these lists. Every text in it must be a code that the product knows, a country or a zone, and
every key one of the above: so a name or an address finds no place, and the file is refused without repeating it.
"""

import json
import re
import zoneinfo
from collections.abc import Mapping
from typing import Any

from lab import worlds
from lab.registry import Partner, Plan

FORMAT = "pobratym-shape 1"
_MOST = 20_000
_COUNTRY = re.compile(r"[A-Z]{2}")
_KEYS = {
    "": {"format", "hospitals", "partners", "memoranda"},
    "hospitals": {"zone", "clinicians"},
    "partners": {"country", "zone", "mentors"},
    "memoranda": {"hospital", "partner", "areas"},
}


class UnfitShape(ValueError):
    """The file is no shape; says where, never what stands there."""

    def __init__(self, place: str, what: str) -> None:
        """Name the place and what must stand there."""
        super().__init__(f"{place}: {what}")


def read(text: str, name: str) -> Plan:
    """Give the plan of a file's text; raises UnfitShape."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise UnfitShape("file", "no JSON") from None
    _has_keys(document, "", "file")
    if document["format"] != FORMAT:
        raise UnfitShape("format", f'must be "{FORMAT}"')
    hospitals, partners, memoranda = (_rows(document, key) for key in ("hospitals", "partners", "memoranda"))
    return Plan(
        name,
        tuple(_whole(row["clinicians"], f"hospitals[{at}].clinicians", _MOST) for at, row in enumerate(hospitals)),
        tuple(_partner(row, f"partners[{at}]") for at, row in enumerate(partners)),
        tuple(_memorandum(row, f"memoranda[{at}]", hospitals, partners) for at, row in enumerate(memoranda)),
        tuple(_zone(row["zone"], f"hospitals[{at}].zone") for at, row in enumerate(hospitals)),
    )


def _has_keys(value: object, kind: str, place: str) -> None:
    if not isinstance(value, dict) or value.keys() != _KEYS[kind]:
        raise UnfitShape(place, f"must have these keys and no others: {', '.join(sorted(_KEYS[kind]))}")


def _rows(document: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    rows = document[key]
    if not isinstance(rows, list) or not 1 <= len(rows) <= _MOST:
        raise UnfitShape(key, f"must be a list of 1 to {_MOST}")
    for at, row in enumerate(rows):
        _has_keys(row, key, f"{key}[{at}]")
    return rows


def _whole(value: object, place: str, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= most:
        raise UnfitShape(place, f"must be a whole number from 0 to {most}")
    return value


def _zone(value: object, place: str) -> str:
    if not isinstance(value, str) or value not in zoneinfo.available_timezones():
        raise UnfitShape(place, "must be the name of a time zone")
    return value


def _codes(value: object, place: str) -> frozenset[str]:
    if not isinstance(value, list) or not all(isinstance(code, str) and code in worlds.tree() for code in value):
        raise UnfitShape(place, "must be a list of codes of specialties")
    return frozenset(value)


def _partner(row: Mapping[str, Any], place: str) -> Partner:
    if not isinstance(row["country"], str) or not _COUNTRY.fullmatch(row["country"]):
        raise UnfitShape(f"{place}.country", "must be the two letters of a country")
    mentors = row["mentors"]
    if not isinstance(mentors, list) or len(mentors) > _MOST:
        raise UnfitShape(f"{place}.mentors", f"must be a list of {_MOST} at most")
    codes = [_codes(each, f"{place}.mentors[{at}]") for at, each in enumerate(mentors)]
    if not all(codes):
        raise UnfitShape(f"{place}.mentors", "each must have a specialty")
    return Partner(row["country"], _zone(row["zone"], f"{place}.zone"), tuple(codes))


def _memorandum(
    row: Mapping[str, Any], place: str, hospitals: list[Mapping[str, Any]], partners: list[Mapping[str, Any]]
) -> tuple[int, int, frozenset[str]]:
    hospital = _whole(row["hospital"], f"{place}.hospital", len(hospitals) - 1)
    partner = _whole(row["partner"], f"{place}.partner", len(partners) - 1)
    return hospital, partner, _codes(row["areas"], f"{place}.areas")
