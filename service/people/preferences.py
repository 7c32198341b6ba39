"""What people choose for themselves, and nobody else for them: extra notices, and whether their telephone is shown."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from service import tables, vocabulary
from service.kernel import access, audit, errors
from service.kernel.work import Work
from service.rules.time import daily

USUAL_HOUR = 7
"""Of the morning, by the person's own clock, when a digest comes unless they name another hour."""
_PHONE = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
_BETWEEN = re.compile(r"[\s().\-\u2010-\u2013]")


@dataclass(frozen=True, slots=True)
class Preferences:
    """What a person has chosen, and the version of their row."""

    notices: Sequence[str]  # of `vocabulary.NOTICES`
    digest_hour: int  # by their own clock; the usual one while no digest comes
    phone: str | None
    shows_phone: bool
    version: int


async def own(w: Work, *, lock: bool = False) -> tables.Person:
    """Give the actor's own row; raises Forbidden for whoever is no person."""
    if w.actor.kind != "person" or w.actor.person_id is None:
        raise errors.Forbidden
    return await access.visible_person(w, w.actor.person_id, lock=lock)


async def read(w: Work) -> Preferences:
    """Give what the actor has chosen; raises Forbidden for whoever is no person."""
    person = await own(w)
    return _of(person, await w.find(tables.Digest, person.id))


async def change(w: Work, person: tables.Person, changes: Mapping[str, Any]) -> Preferences:
    """The person, whose row is locked (`own`), has chosen any of `notices`, `digest_hour`, `phone`, `shows_phone`.

    Taking the telephone away takes back that it is shown. Raises Invalid; Forbidden for who is not active any more.
    """
    if person.state != "active":
        raise errors.Forbidden  # since a moment ago: whoever disabled or erased them had the lock first
    if set(changes.get("notices", ())) - set(vocabulary.NOTICES):
        raise errors.Invalid("/notices", "no such notice can be chosen")
    if "notices" in changes:
        person.notices = sorted(set(changes["notices"]))
    if any(code.endswith(".sms") for code in person.notices) and not changes.get("phone", person.phone):
        raise errors.Invalid("/phone", "text messages need a number: give one")
    if "phone" in changes:
        person.phone = None if changes["phone"] is None else phone(changes["phone"])
        person.shows_phone = person.shows_phone and person.phone is not None
    if "shows_phone" in changes:
        if changes["shows_phone"] and person.phone is None:
            raise errors.Invalid("/shows_phone", "there is no number to show: give one first")
        person.shows_phone = changes["shows_phone"]
    digest = await _keep_digest(w, person, changes.get("digest_hour"))
    w.touch(person)
    audit.record(w, "changed", "person", person.id, fields=sorted(changes))
    return _of(person, digest)


async def have_pushed(w: Work) -> None:
    """The actor has begun to be told on a device: of all that can be pushed, unless they had chosen some."""
    person = await own(w, lock=True)
    if not any(code.endswith(".push") for code in person.notices):
        pushed = [code for code in vocabulary.NOTICES if code.endswith(".push")]
        await change(w, person, {"notices": [*person.notices, *pushed]})


async def follow_zone(w: Work, person: tables.Person) -> None:
    """The person's clock is another one now, and their digest comes by it."""
    digest = await w.find(tables.Digest, person.id)
    if digest:
        digest.next_at = daily.next_at(w.now, person.zone, digest.hour)


async def stop_digest(w: Work, person: tables.Person) -> None:
    """The person is mailed no digest any more; twice is once."""
    if "digest.mail" not in person.notices:
        return
    person.notices = [code for code in person.notices if code != "digest.mail"]
    await _keep_digest(w, person, None)
    w.touch(person)
    audit.record(w, "changed", "person", person.id, fields=["notices"])


def phone(text: str) -> str:
    """Give the number as it is stored, `+` and digits, whatever stands between them; raises Invalid."""
    number = _BETWEEN.sub("", text)
    if number.startswith("00"):
        number = f"+{number[2:]}"
    if not _PHONE.fullmatch(number):
        raise errors.Invalid("/phone", "must be a number with its country's code, such as +380 44 123 45 67")
    return number


async def _keep_digest(w: Work, person: tables.Person, hour: int | None) -> tables.Digest | None:
    """Have the row of the person's digest as they wish it, at the hour that they name, and give it."""
    digest = await w.find(tables.Digest, person.id)
    if "digest.mail" not in person.notices:
        if digest:
            await w.delete(digest)
        return None
    if digest is None:
        digest = tables.Digest(person_id=person.id, hour=USUAL_HOUR if hour is None else hour, next_at=w.now)
        w.add(digest)
    elif hour is None or hour == digest.hour:
        return digest
    else:
        digest.hour = hour
    digest.next_at = daily.next_at(w.now, person.zone, digest.hour)
    return digest


def _of(person: tables.Person, digest: tables.Digest | None) -> Preferences:
    hour = digest.hour if digest else USUAL_HOUR
    return Preferences(person.notices, hour, person.phone, person.shows_phone, person.version)
