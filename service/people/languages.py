"""The languages that somebody speaks, with their levels: of a mentor the gate asks for them, of others forms do."""

from collections.abc import Mapping

import sqlalchemy as sa
from sqlmodel import col

from service import tables, vocabulary
from service.kernel import audit, errors
from service.kernel.work import Work

MOST = 30


async def of(w: Work, person: tables.Person) -> dict[str, vocabulary.LanguageLevel]:
    """Give the person's languages by code, in the order of the codes."""
    row = tables.PersonLanguage
    rows = await w.sql(sa.select(row).where(col(row.person_id) == person.id).order_by(col(row.code)))
    return {language.code: language.level for language in rows.scalars()}


async def put(w: Work, person: tables.Person, languages: Mapping[str, vocabulary.LanguageLevel]) -> None:
    """Let the person, who acts, speak these languages and no others; nothing happens if they are the same.

    The version of a mentor's profile rises with it, since the profile names them too. Raises Forbidden, Invalid.
    """
    if w.actor.person_id != person.id:
        raise errors.Forbidden
    if len(languages) > MOST:
        raise errors.Invalid("/languages", "these are too many")
    if languages == await of(w, person):
        return
    row = tables.PersonLanguage
    await w.sql(sa.delete(row).where(col(row.person_id) == person.id))
    w.add(*(row(person_id=person.id, code=code, level=languages[code]) for code in sorted(languages)))
    profile = await w.find(tables.MentorProfile, person.id)
    if profile is not None:
        w.touch(profile)
        audit.record(w, "changed", "mentor_profile", person.id)
    w.touch(person)
    audit.record(w, "changed", "person", person.id, fields=["languages"])
