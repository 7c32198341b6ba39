"""What a request can be made of: the lists of the form, each in one statement that loads only what the form shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import sqlalchemy as sa

from service import vocabulary
from service.kernel import access
from service.kernel.work import Work
from service.rules import name_order


@dataclass(frozen=True, slots=True)
class SpecialtyChoice:
    """A specialty as a list to choose from names it."""

    code: str
    parent_code: str | None
    name_en: str
    name_uk: str
    is_bookable: bool


@dataclass(frozen=True, slots=True)
class Colleague:
    """A clinician for whom somebody files."""

    id: UUID
    display_name: str


@dataclass(frozen=True, slots=True)
class Hospital:
    """A hospital for which somebody files."""

    id: UUID
    name: str | None
    name_en: str | None


@dataclass(frozen=True, slots=True)
class Choices:
    """What a request can be made of: specialties by area, partners' countries, colleagues and hospitals to file for.

    Of the person themself: `languages` that they know well enough, best first, and `recent` specialties of theirs.
    """

    specialties: Sequence[tuple[SpecialtyChoice, Sequence[SpecialtyChoice]]]
    countries: Sequence[str]
    colleagues: Sequence[Colleague]
    hospitals: Sequence[Hospital]
    languages: Sequence[str]
    recent: Sequence[SpecialtyChoice]


async def choices(w: Work) -> Choices:
    """Give what a request can be made of; raises Forbidden for anybody who may not file one."""
    access.requires(w, "clinician", "coordinator")
    rows = [SpecialtyChoice(*row) for row in await w.fetch(_SPECIALTIES, {})]
    by_code = {row.code: row for row in rows}
    areas: dict[str, list[SpecialtyChoice]] = {}
    for row in rows:
        if row.is_bookable:
            areas.setdefault(_area(row, by_code), []).append(row)
    coordinated = sorted(w.actor.institutions("coordinator"))
    colleagues = await w.fetch(_COLLEAGUES, {"places": coordinated}) if coordinated else ()
    hospitals = await w.fetch(_HOSPITALS, {"places": sorted(w.actor.institutions("clinician", "coordinator"))})
    values = {"me": w.actor.person_id, "levels": list(reversed(vocabulary.LANGUAGE_LEVELS[2:])), "most": MOST_RECENT}
    (known,) = await w.fetch(_KNOWN, values)
    return Choices(
        [(by_code[area], members) for area, members in areas.items()],
        known.countries,
        sorted((Colleague(*row) for row in colleagues), key=lambda each: (name_order.key(each.display_name), each.id)),
        [Hospital(*row) for row in hospitals],
        known.languages,
        [by_code[code] for code in known.recent if by_code[code].is_bookable],
    )


_SPECIALTIES = sa.text("SELECT code, parent_code, name_en, name_uk, is_bookable FROM specialty ORDER BY code")
MOST_RECENT = 3
_KNOWN = sa.text("""
SELECT ARRAY(
  SELECT DISTINCT i.country FROM memorandum_party p JOIN institution i ON i.id = p.institution_id
  WHERE p.side = 'partner' AND i.country IS NOT NULL
) AS countries, ARRAY(
  SELECT code FROM person_language WHERE person_id = :me AND level = ANY(CAST(:levels AS varchar[]))
  ORDER BY array_position(CAST(:levels AS varchar[]), level), code
) AS languages, ARRAY(
  SELECT specialty_code FROM (
    SELECT specialty_code, row_number() OVER (ORDER BY id DESC) AS place
    FROM consultation WHERE clinician_id = :me ORDER BY id DESC LIMIT 30
  ) AS latest GROUP BY specialty_code ORDER BY min(place) LIMIT :most
) AS recent
""")
_COLLEAGUES = sa.text("""
SELECT DISTINCT p.id, p.display_name FROM role_grant g JOIN person p ON p.id = g.person_id
WHERE g.role = 'clinician' AND g.institution_id = ANY(:places) AND p.state = 'active'
""")
_HOSPITALS = sa.text("SELECT id, name, name_en FROM institution WHERE id = ANY(:places)")


def _area(row: SpecialtyChoice, by_code: Mapping[str, SpecialtyChoice]) -> str:
    while row.parent_code is not None:
        row = by_code[row.parent_code]
    return row.code
