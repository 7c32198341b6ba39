"""The people of the demo, named by their role and city and never after somebody real."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from service import tables, vocabulary
from service.kernel import clock
from service.kernel.work import Work

_VERIFIED = timedelta(days=730)


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoPerson:
    """Somebody of the demo: named by role, at an institution by its code (an admin: of every programme)."""

    email: str
    name: str
    role: vocabulary.Role
    at: str | None = None
    locale: str = "en"
    zone: str = "Europe/Kyiv"
    specialties: Sequence[str] = ()
    languages: Sequence[tuple[str, vocabulary.LanguageLevel]] = ()
    hours: Sequence[tuple[int, int]] = ()  # of every weekday, in minutes
    treats_children: bool = False
    opt_ins: Sequence[vocabulary.Priority] = ()


_LILLE, _KAUNAS = "fr-chu-lille", "lt-kaunas"
DEMO_PEOPLE = (
    DemoPerson(email="admin@programme.example", name="Адміністратор програми", role="programme_admin", locale="uk"),
    DemoPerson(
        email="clinician@chernihiv.example",
        name="Лікар, Чернігів",
        role="clinician",
        at="ua-chernihiv-child",
        locale="uk",
    ),
    DemoPerson(
        email="coordinator@chernihiv.example",
        name="Координатор, Чернігів",
        role="coordinator",
        at="ua-chernihiv-child",
        locale="uk",
    ),
    DemoPerson(
        email="clinician@mechnikov.example",
        name="Лікар, Дніпро",
        role="clinician",
        at="ua-mechnikov",
        locale="uk",
    ),
    DemoPerson(
        email="mentor@lille.example",
        name="Mentor in paediatrics, Lille",
        role="mentor",
        at=_LILLE,
        zone="Europe/Paris",
        specialties=("ped.general", "obp.neonatology"),
        languages=(("fr", "native"), ("en", "C1")),
        hours=((9 * 60, 12 * 60), (14 * 60, 19 * 60)),
        treats_children=True,
        opt_ins=("urgent", "asap"),
    ),
    DemoPerson(
        email="mentor2@lille.example",
        name="Second mentor in paediatrics, Lille",
        role="mentor",
        at=_LILLE,
        zone="Europe/Paris",
        specialties=("ped.general", "obp.neonatology"),
        languages=(("fr", "native"), ("en", "B2")),
        hours=((13 * 60, 18 * 60),),
        treats_children=True,
    ),
    DemoPerson(
        email="coordinator@lille.example", name="Coordinator, Lille", role="coordinator", at=_LILLE, zone="Europe/Paris"
    ),
    DemoPerson(
        email="mentor@kaunas.example",
        name="Mentor in neurosurgery, Kaunas",
        role="mentor",
        at=_KAUNAS,
        zone="Europe/Vilnius",
        specialties=("sur.neuro",),
        languages=(("lt", "native"), ("en", "C1")),
        hours=((10 * 60, 18 * 60),),
        treats_children=True,
    ),
    DemoPerson(
        email="mentor@gustave-roussy.example",
        name="Mentor in oncology, Villejuif",
        role="mentor",
        at="fr-gustave-roussy",
        zone="Europe/Paris",
        specialties=("onc", "onc.mdt"),
        languages=(("fr", "native"), ("en", "C1")),
        hours=((9 * 60, 13 * 60), (15 * 60, 18 * 60)),
    ),
)


def add(w: Work, demo: DemoPerson, institutions: Mapping[str, UUID], programmes: Mapping[str, UUID]) -> None:
    """Add the person, with role and profile; `institutions` and `programmes` are ids by code."""
    person_id = clock.new_id()
    w.add(
        tables.Person(
            id=person_id,
            email=demo.email,
            display_name=demo.name,
            locale=demo.locale,
            zone=demo.zone,
            created_at=w.now,
        )
    )
    places: list[dict[str, Any]] = [{"institution_id": institutions[demo.at]}] if demo.at else []
    places += [{"programme_id": programme_id} for programme_id in programmes.values()] if not demo.at else []
    w.add(
        *(
            tables.RoleGrant(id=clock.new_id(), person_id=person_id, role=demo.role, created_at=w.now, **place)
            for place in places
        )
    )
    if demo.role == "mentor" and demo.at:
        _add_mentor(w, demo, person_id, institutions[demo.at])


def _add_mentor(w: Work, demo: DemoPerson, person_id: UUID, institution_id: UUID) -> None:
    w.add(
        tables.MentorProfile(
            person_id=person_id,
            institution_id=institution_id,
            verified_until=w.now + _VERIFIED,
            sessions_per_week=50,  # the demo is walked more than once a week
            offers_per_week=100,
            treats_children=demo.treats_children,
            opt_ins=list(demo.opt_ins),
            availability_zone=demo.zone,
            created_at=w.now,
        )
    )
    w.add(*(tables.MentorSpecialty(person_id=person_id, specialty_code=code) for code in demo.specialties))
    w.add(*(tables.PersonLanguage(person_id=person_id, code=code, level=level) for code, level in demo.languages))
    w.add(
        *(
            tables.WeeklyHours(id=clock.new_id(), person_id=person_id, weekday=day, from_minute=start, until_minute=end)
            for day in range(5)
            for start, end in demo.hours
        )
    )
