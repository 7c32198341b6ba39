"""What somebody's own profile shows: how they are named and reached, what they speak, where they are signed in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service import tables, vocabulary
from service.kernel.work import Work
from service.people import devices, languages, people


@dataclass(frozen=True, slots=True)
class OwnProfile:
    """The actor, as they see themself; `hours_zone` is that of a mentor's hours, None for others."""

    person: tables.Person
    languages: Mapping[str, vocabulary.LanguageLevel]
    devices: Sequence[devices.Device]
    hours_zone: str | None


async def read(w: Work) -> OwnProfile:
    """Give the actor's own profile; raises Forbidden for whoever is no person."""
    person = await people.oneself(w)
    mentor = await w.find(tables.MentorProfile, person.id)
    return OwnProfile(
        person,
        await languages.of(w, person),
        await devices.of(w),
        mentor.availability_zone if mentor else None,
    )
