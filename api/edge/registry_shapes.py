"""Shapes of the registry that a request's body and a row of a file have in common."""

from typing import Annotated, Any

from pydantic import Field

from api.edge import bodies, shapes
from service import vocabulary

PROGRAMME_EXAMPLE = {
    "code": "ua-international-medical-partnership",
    "name": "Міжнародне медичне партнерство",
    "name_en": "International Medical Partnership",
    "country": "UA",
    "zone": "Europe/Kyiv",
    "policy": {"hold_minutes": 20},
}
_SPECIALTY = {
    "code": "obp.neonatology",
    "parent": "obp",
    "also_parents": ["ped"],
    "name_en": "Neonatology",
    "name_uk": "Неонатологія",
    "snomed_ct": None,
    "is_bookable": True,
}
INSTITUTION_EXAMPLE = {
    "code": "fr-chu-lille",
    "name": "Університетська лікарня Лілля",
    "name_en": "Lille University Hospital",
    "kind": "university_hospital",
    "country": "FR",
    "region": None,
    "city": "Lille",
    "zone": "Europe/Paris",
    "working_weekdays": list(vocabulary.WEEKDAYS[:5]),
    "languages": ["fr", "en"],
    "aliases": [],
    "shows_its_name": False,
    "sources": ["002"],
    "note": None,
}
Region = Annotated[str, Field(pattern=r"^[A-Z]{2}-[A-Z0-9]{1,3}$", description="ISO 3166-2.")]
Weekdays = Annotated[list[vocabulary.Weekday], Field(max_length=7)]
Names = Annotated[list[shapes.Line], Field(max_length=50)]
Languages = Annotated[list[shapes.Language], Field(max_length=20)]


class NewProgramme(shapes.Shape):
    """A national partnership programme; `policy` holds the numbers in which it differs from the usual ones."""

    model_config = bodies.like(PROGRAMME_EXAMPLE)
    code: shapes.Code
    name: shapes.Line
    name_en: shapes.Line
    country: shapes.Country
    zone: shapes.Zone
    policy: Annotated[dict[str, Any], Field(default_factory=dict)]


class Specialty(shapes.Shape):
    """A node of the specialty tree; those that are not bookable are for areas of memoranda only."""

    model_config = bodies.like(_SPECIALTY)
    code: shapes.Code
    parent: shapes.Code | None = None
    also_parents: Annotated[list[shapes.Code], Field(max_length=10, default_factory=list)]
    name_en: shapes.Line
    name_uk: shapes.Line
    snomed_ct: Annotated[str, Field(pattern=r"^[0-9]{6,18}$")] | None = None
    is_bookable: bool = True


class NewInstitution(shapes.Shape):
    """A hospital, network, ministry, agency or organisation; what nobody knows is null."""

    model_config = bodies.like(INSTITUTION_EXAMPLE)
    code: shapes.Code | None = None
    name: shapes.Line | None = None
    name_en: shapes.Line | None = None
    kind: shapes.Code
    country: shapes.Country | None = None
    region: Region | None = None
    city: shapes.Line | None = None
    zone: shapes.Zone | None = None
    working_weekdays: Annotated[Weekdays, Field(default_factory=lambda: list(vocabulary.WEEKDAYS[:5]))]
    languages: Annotated[Languages, Field(default_factory=list)]
    aliases: Annotated[Names, Field(default_factory=list)]
    shows_its_name: bool = False
    sources: Annotated[Names, Field(default_factory=list)]
    note: shapes.Note | None = None
