"""Who is there in a made-up year: hospitals, partners, the memoranda between them, clinicians and mentors.

Two shapes are made up. `published` has the size of what was published of the programme: sixty hospitals, mostly one
memorandum each, so that a third of the requests reach nobody. In `dense` as many memoranda link fewer places. A third
kind comes from a file of counts and codes (`lab.shapes`). Everything is drawn from the seed, and lists are in order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType
from typing import NamedTuple
from uuid import UUID

from lab.draws import Draws
from service import vocabulary
from service.rules.case import MemorandumLink, Mentor
from service.rules.time.availability import DatedHours, Hours, Weekly

BEGINS = datetime(2026, 1, 5, tzinfo=UTC)
"""The first day of every made-up year, a Monday."""
HOME_ZONE = "Europe/Kyiv"
ZONES: Mapping[str, str] = MappingProxyType({
    "DE": "Europe/Berlin", "PL": "Europe/Warsaw", "FR": "Europe/Paris", "IT": "Europe/Rome", "GB": "Europe/London",
    "LT": "Europe/Vilnius", "NL": "Europe/Amsterdam", "ES": "Europe/Madrid", "SE": "Europe/Stockholm",
    "NO": "Europe/Oslo", "US": "America/New_York", "CA": "America/Toronto",
})  # fmt: skip
_COUNTRIES: Mapping[str, float] = MappingProxyType({
    "DE": 18, "PL": 14, "FR": 12, "IT": 9, "GB": 9, "LT": 7, "NL": 6, "ES": 5, "SE": 4, "NO": 4, "US": 8, "CA": 4,
})  # fmt: skip
DEMAND: Mapping[str, float] = MappingProxyType({
    "sur.trauma_ortho": 11, "sur.neuro": 9, "onc.clinical": 8, "ped.general": 6, "sur.vascular": 6, "sur.plastic": 6,
    "reh.rehabilitation": 6, "med.cardiology": 6, "acu.icu": 5, "med.neurology": 5, "hnk.ophthalmology": 4,
    "ped.oncology": 4, "obp.perinatal": 4, "sur.general": 4, "hnk.maxillofacial": 3, "onc.surgical": 3,
    "med.haematology": 3, "sur.cardiac": 3, "tra.surgery": 2, "mhe.psychiatry": 2,
})  # fmt: skip
"""How often each specialty is asked for, and how often mentors have it."""

_FITTING = 0.66
"""So many clinicians are of a specialty that their hospital's memoranda reach: mostly that is why they were signed."""
_COUNTS: Mapping[int, float] = MappingProxyType({1: 0.55, 2: 0.30, 3: 0.15})  # specialties of a mentor
_KNOWN_FOR, _OF_THE_KNOWN = 4, 0.8
_STAYS_UP = 0.4  # opted in for what cannot wait, at any hour
_HOLIDAYS, _HOLIDAY_DAYS, _ENTERED = 3, (5, 14), 0.5
_SESSIONS_CAP, _OFFERS_CAP = 3, 5  # a week: what the product gives who names none
_NOTICE_MINUTES, BUFFER_MINUTES = 720, 10


@dataclass(frozen=True, slots=True)
class Partner:
    """A hospital abroad; `mentors` are the specialties of each."""

    country: str
    zone: str
    mentors: tuple[frozenset[str], ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a registry is made of: clinicians by hospital, partners, (hospital, partner, areas) of each memorandum."""

    name: str
    clinicians: tuple[int, ...]
    partners: tuple[Partner, ...]
    memoranda: tuple[tuple[int, int, frozenset[str]], ...]
    zones: tuple[str, ...] = ()  # of the hospitals; none: all in HOME_ZONE


class Clinician(NamedTuple):
    """Somebody who asks."""

    person_id: UUID
    hospital: int
    specialty: str


class Person(NamedTuple):
    """A mentor: the standing facts that the rules know, and what nobody entered."""

    base: Mentor
    partner: int
    unentered: tuple[tuple[date, date], ...]  # holidays, last day exclusive, by their own calendar


@dataclass(frozen=True, slots=True)
class Registry:
    """Everybody, by number; `reached` names for each hospital its mentors with the links to them."""

    hospitals: tuple[UUID, ...]
    zones: tuple[str, ...]
    clinicians: tuple[Clinician, ...]
    mentors: tuple[Person, ...]
    reached: tuple[tuple[tuple[int, Mentor], ...], ...]


@dataclass(frozen=True, slots=True)
class Size:
    """How many there are in a shape that is made up."""

    hospitals: int
    partners: int
    memoranda: int = 95
    clinicians: int = 1000
    mentors: int = 300


SIZES: Mapping[str, Size] = MappingProxyType({"published": Size(60, 55), "dense": Size(20, 30)})


def plan(name: str, draws: Draws, size: Size | None = None) -> Plan:
    """Draw a plan of one of SIZES, or of a size of one's own."""
    size = size or SIZES[name]
    countries = [draws.weighted(_COUNTRIES, "country", number) for number in range(size.partners)]
    specialties: list[list[frozenset[str]]] = [[] for _ in countries]
    for number in range(size.mentors):
        # Every partner has somebody; the others are wherever there are many: a partner's share is drawn once.
        at = number if number < size.partners else _by_share(draws, size.partners, number)
        specialties[at].append(_specialties(draws, number, at))
    return Plan(
        name,
        tuple(_split(size.clinicians, size.hospitals)),
        tuple(Partner(code, ZONES[code], tuple(own)) for code, own in zip(countries, specialties, strict=True)),
        tuple(_memoranda(draws, size)),
    )


def _specialties(draws: Draws, number: int, at: int) -> frozenset[str]:
    """Draw those of a mentor: mostly of the few for which their hospital is known."""
    known = [draws.weighted(DEMAND, "known for", at, each) for each in range(_KNOWN_FOR)]
    count = draws.weighted(_COUNTS, "specialties", number)
    return frozenset(
        draws.one_of(known, "specialty", number, each)
        if draws.is_so(_OF_THE_KNOWN, "is known", number, each)
        else draws.weighted(DEMAND, "specialty", number, each)
        for each in range(count)
    )


def _split(total: int, parts: int) -> list[int]:
    return [total * (at + 1) // parts - total * at // parts for at in range(parts)]


def _by_share(draws: Draws, partners: int, number: int) -> int:
    return int(draws.uniform("partner", number) ** 1.5 * partners)


def _memoranda(draws: Draws, size: Size) -> list[tuple[int, int, frozenset[str]]]:
    """Each hospital has one; half of the others go to the first quarter of them, as it is with the well known."""
    pairs: dict[tuple[int, int], None] = {}
    for number in range(size.memoranda * 9):
        if number < size.hospitals:
            hospital = number
        elif draws.is_so(0.5, "known", number):
            hospital = draws.whole(0, max(0, size.hospitals // 4 - 1), "hospital", number)
        else:
            hospital = draws.whole(0, size.hospitals - 1, "hospital", number)
        pairs.setdefault((hospital, draws.whole(0, size.partners - 1, "linked", number)))
        if len(pairs) == size.memoranda:
            break
    return [(hospital, partner, frozenset()) for hospital, partner in pairs]


def build(layout: Plan, draws: Draws, days: int) -> Registry:
    """Draw everybody of the plan, with their hours, languages and holidays."""
    zones = layout.zones or tuple(HOME_ZONE for _ in layout.clinicians)
    mentors = [
        _person(draws, number, at, partner, specialties, days)
        for number, (at, partner, specialties) in enumerate(
            (at, partner, own) for at, partner in enumerate(layout.partners) for own in partner.mentors
        )
    ]
    reached = [_reached(draws, layout, hospital, mentors) for hospital in range(len(layout.clinicians))]
    clinicians = [
        _clinician(draws, number, hospital, reached[hospital])
        for number, hospital in enumerate(at for at, count in enumerate(layout.clinicians) for _ in range(count))
    ]
    ids = tuple(draws.uuid("hospital", number) for number in range(len(layout.clinicians)))
    return Registry(ids, zones, tuple(clinicians), tuple(mentors), tuple(tuple(each) for each in reached))


def _clinician(draws: Draws, number: int, hospital: int, reached: Sequence[tuple[int, Mentor]]) -> Clinician:
    specialty = draws.weighted(DEMAND, "clinician", number)
    if reached and draws.is_so(_FITTING, "fitting", number):
        _, mentor = draws.one_of(reached, "like", number)
        specialty = draws.one_of(sorted(mentor.specialties), "of", number)
    return Clinician(draws.uuid("person", number), hospital, specialty)


def _reached(draws: Draws, layout: Plan, hospital: int, mentors: Sequence[Person]) -> list[tuple[int, Mentor]]:
    """Give the mentors of the hospital's partners; those of one partner share its links, as the rules expect."""
    links: dict[int, tuple[MemorandumLink, ...]] = {}
    for number, (side, partner, areas) in enumerate(layout.memoranda):
        if side == hospital:
            signed = (BEGINS - timedelta(days=draws.whole(30, 900, "signed", number))).date()
            link = MemorandumLink(memorandum_id=draws.uuid("memorandum", number), areas=areas, signed_on=signed)
            links[partner] = (*links.get(partner, ()), link)
    return [
        (number, person.base._replace(links=links[person.partner]))
        for number, person in enumerate(mentors)
        if person.partner in links
    ]


def _person(draws: Draws, number: int, at: int, partner: Partner, specialties: frozenset[str], days: int) -> Person:
    entered, unentered = _holidays(draws, number, days)
    languages: dict[str, vocabulary.LanguageLevel] = {"en": "C1" if draws.is_so(0.7, "english", number) else "B2"}
    if draws.is_so(0.15, "ukrainian", number):
        languages["uk"] = "C1"
    does_stay_up = draws.is_so(_STAYS_UP, "stays up", number)
    base = Mentor(
        person_id=draws.uuid("mentor", number),
        institution_id=draws.uuid("partner", at),
        country=partner.country,
        zone=partner.zone,
        specialties=specialties,
        languages=languages,
        hours=Hours(partner.zone, _week(draws, number), entered),
        verified_until=BEGINS + timedelta(days=days + 400),
        treats_children=any(code.startswith("ped.") for code in specialties) or draws.is_so(0.35, "children", number),
        opt_ins=frozenset({"stat", "asap"}) if does_stay_up else frozenset(),
        notice_minutes=_NOTICE_MINUTES,
        buffer_minutes=BUFFER_MINUTES,
        working_weekdays=(0, 1, 2, 3, 4),
        sessions_cap=_SESSIONS_CAP,
        offers_cap=_OFFERS_CAP,
    )
    return Person(base, at, unentered)


def _week(draws: Draws, number: int) -> tuple[Weekly, ...]:
    """Draw on which three to five weekdays they have time, and when; some evenings too."""
    chosen = sorted(draws.shuffled(range(5), "weekdays", number)[: draws.whole(3, 5, "count of days", number)])
    begins = draws.whole(8, 13, "begins", number) * 60
    ends = min(21 * 60, begins + draws.whole(4, 9, "hours", number) * 60)
    return tuple(Weekly(day, begins, ends) for day in chosen)


def _holidays(draws: Draws, number: int, days: int) -> tuple[tuple[DatedHours, ...], tuple[tuple[date, date], ...]]:
    """Draw the holidays of each half-year; half of them were entered, of the others the rules know nothing."""
    entered: list[DatedHours] = []
    unentered: list[tuple[date, date]] = []
    for each in range(max(1, round(_HOLIDAYS * days / 182))):
        first = BEGINS.replace(tzinfo=None) + timedelta(days=draws.whole(0, days, "holiday", number, each))
        last = first + timedelta(days=draws.whole(*_HOLIDAY_DAYS, "days", number, each))
        if draws.is_so(_ENTERED, "entered", number, each):
            entered.append(DatedHours("away", first, last))
        else:
            unentered.append((first.date(), last.date()))
    return tuple(entered), tuple(unentered)
