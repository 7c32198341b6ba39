"""What somebody's own profile shows: how they are named and reached, what they speak and choose, where they sign in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from service import tables, vocabulary
from service.kernel.work import Work
from service.outbox import push_subscriptions
from service.people import devices, languages, own_address, people, preferences


@dataclass(frozen=True, slots=True)
class OwnProfile:
    """The actor, as they see themself; `hours_zone` is that of a mentor's hours, None for others.

    `told_on` are the devices that news is pushed to, `push_key` what a browser needs for it, once it was made.
    """

    person: tables.Person
    languages: Mapping[str, vocabulary.LanguageLevel]
    devices: Sequence[devices.Device]
    chosen: preferences.Preferences
    told_on: Sequence[push_subscriptions.Device]
    push_key: str | None
    wished: str | None  # the address that they have asked for and not confirmed
    hours_zone: str | None


async def read(w: Work) -> OwnProfile:
    """Give the actor's own profile; raises Forbidden for whoever is no person."""
    person = await people.oneself(w)
    mentor = await w.find(tables.MentorProfile, person.id)
    key = await push_subscriptions.find_key(w)
    return OwnProfile(
        person,
        await languages.of(w, person),
        await devices.of(w),
        await preferences.read(w),
        await push_subscriptions.devices(w),
        key.public if key else None,
        await own_address.wished(w, person),
        mentor.availability_zone if mentor else None,
    )
