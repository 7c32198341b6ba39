"""Certificates of attendance for continuing education: minutes, topic, day, and a code that a page confirms.

No row holds a code. It names the session by the front of its id, and is proved by a MAC over session and person under
the secret keys; so nobody can make one up, and a code that was printed cannot be read for more than its page shows.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from service import tables, vocabulary
from service.kernel import access, errors
from service.kernel.work import Work
from service.rules.time import availability

MOST = 500
_FRONT, _GROUP = 8, 4
_PROOF = 12
_LENGTH = 32
_ATTENDED = """
SELECT s.id, s.mode, s.minutes, s.started_at, s.is_corrected, s.mentor_id, s.clinician_id, p.id AS person_id,
       p.display_name, p.zone, y.name_en AS topic_en, y.name_uk AS topic_uk,
       g.name AS programme, g.name_en AS programme_en
FROM session s JOIN person p ON p.id = ANY(s.participants)
JOIN specialty y ON y.code = s.specialty_code JOIN programme g ON g.id = s.programme_id
WHERE s.outcome <> ALL(:missed) AND """


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """One person's part in one session; `on` is the day by their own clock. An erased person has no name left."""

    session_id: UUID
    person_id: UUID
    name: str
    role: str
    on: date
    mode: str
    minutes: int
    topic: tuple[str, str]  # in English, in Ukrainian
    programme: tuple[str, str]
    code: str
    is_replaced: bool  # a correction stands in the session's place

    @property
    def initials(self) -> str:
        """The part of the name that may be shown to anybody who holds the code."""
        return " ".join(f"{word[0].upper()}." for word in self.name.split() if word[0].isalpha())


async def of_session(w: Work, session_id: UUID) -> Certificate:
    """Give the actor's own certificate; raises NotFound for a session they cannot see, Forbidden if they took no part.

    Raises Conflict for a session that was corrected, or to which somebody did not come.
    """
    session = await access.visible_session(w, session_id)
    if w.actor.person_id not in session.participants:
        raise errors.Forbidden
    if session.is_corrected:
        msg = "This entry has been corrected: ask for the certificate of the newer one."
        raise errors.Conflict(msg)
    certificates = await _read(w, "s.id = :id AND p.id = :person", id=session_id, person=w.actor.person_id)
    if not certificates:
        msg = "This session did not take place: there is nothing to certify."
        raise errors.Conflict(msg)
    return certificates[0]


async def of_period(w: Work, from_on: date, until_on: date) -> Sequence[Certificate]:
    """Give the actor's certificates of the days (by their own clock) from the first until, not including, the last."""
    if until_on <= from_on:
        raise errors.Invalid("/query/until", "must be later than from: it is the first day not counted")
    person = await w.read(tables.Person, w.actor.person_id)
    return await _read(
        w,
        "p.id = :person AND NOT s.is_corrected AND s.started_at >= :since AND s.started_at < :until"
        " ORDER BY s.started_at, s.id LIMIT :most",
        person=person.id,
        since=availability.day_start(from_on, person.zone),
        until=availability.day_start(until_on, person.zone),
        most=MOST,
    )


async def confirmed(w: Work, code: str) -> Certificate | None:
    """Give the certificate that carries the code, to anybody who holds it; None when the code is not ours."""
    text = code.replace("-", "").replace(" ", "").upper()
    try:
        raw = base64.b32decode(text)
    except ValueError:
        return None
    if len(text) != _LENGTH:
        return None
    low = UUID(bytes=raw[:_FRONT] + bytes(16 - _FRONT))
    high = UUID(bytes=raw[:_FRONT] + b"\xff" * (16 - _FRONT))
    certificates = await _read(w, "s.id BETWEEN :low AND :high", low=low, high=high)
    return next(
        (
            certificate
            for certificate in certificates
            if w.keys.proves(raw[_FRONT:], certificate.session_id, _purpose(certificate.person_id))
        ),
        None,
    )


async def _read(w: Work, condition: str, **values: Any) -> list[Certificate]:  # noqa: ANN401 - the condition's parameters
    rows = await w.sql(sa.text(_ATTENDED + condition), {"missed": list(vocabulary.NOT_HELD), **values})
    return [_certificate(w, row) for row in rows]


def _certificate(w: Work, row: Any) -> Certificate:  # noqa: ANN401 - a row of _ATTENDED
    roles = {row.mentor_id: "mentor", row.clinician_id: "clinician"}
    raw = row.id.bytes[:_FRONT] + w.keys.proof(row.id, _purpose(row.person_id), _PROOF)
    text = base64.b32encode(raw).decode()
    return Certificate(
        session_id=row.id,
        person_id=row.person_id,
        name=row.display_name,
        role=roles.get(row.person_id, "observer"),
        on=availability.local_date(row.started_at, row.zone),
        mode=row.mode,
        minutes=row.minutes,
        topic=(row.topic_en, row.topic_uk),
        programme=(row.programme_en, row.programme),
        code="-".join(text[place : place + _GROUP] for place in range(0, _LENGTH, _GROUP)),
        is_replaced=row.is_corrected,
    )


def _purpose(person_id: UUID) -> str:
    return f"certificate {person_id}"
