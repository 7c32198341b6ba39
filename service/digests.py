"""The mail that a person may switch on: once a day, at an hour of their own clock, what waits for them; else no mail.

It counts what waits by its kind, and tells the first deadline: no case, no text, no name. Each ends with a link that
switches it off.
"""

from collections import Counter
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from service import tables, vocabulary
from service.kernel import clock
from service.kernel.work import Work
from service.outbox import deliveries
from service.outbox.events import instant
from service.people import logins
from service.rules.time import daily
from service.worklists import waiting

DUE = "SELECT person_id AS id FROM digest WHERE next_at <= :now"
_LOCKED = (
    sa.select(tables.Digest)
    .where(col(tables.Digest.person_id) == sa.bindparam("person"))
    .with_for_update()
    .execution_options(populate_existing=True)
)
AT_MOST = 200
"""So many things are counted: whoever has more has enough to do."""
LATEST = timedelta(hours=3)
"""How late a digest still comes: what would come in the evening, because nothing ran in the morning, is left out."""
LINK = timedelta(days=60)
"""How long the link switches it off."""


async def send(w: Work, person_id: UUID) -> None:
    """The person is mailed what waits for them, if something does and it is time; the next one is due tomorrow."""
    digest: tables.Digest | None = (await w.sql(_LOCKED, {"person": person_id})).scalar_one_or_none()
    if digest is None or digest.next_at > w.now:
        return
    person = await w.read(tables.Person, person_id)
    due_at, digest.next_at = digest.next_at, daily.next_at(w.now, person.zone, digest.hour)
    if person.state != "active" or w.now - due_at > LATEST:
        return
    reader = await logins.caller(w, person_id, clock.new_id())
    entries = await waiting.entries(w, reader, limit=AT_MOST)
    if not entries:
        return
    counts = Counter(entry.kind for entry in entries)
    first_due_at = min((entry.due_at for entry in entries if entry.due_at), default=None)
    stop = deliveries.NewLink(
        id=clock.new_id(),
        person_id=person_id,
        purpose=vocabulary.STOP_DIGEST,
        expires_at=w.now + LINK,
        created_at=w.now,
    )
    await deliveries.mail(
        w,
        template="digest",
        person=person,
        values={
            "waiting": {kind: counts[kind] for kind in vocabulary.WORK_KINDS if counts[kind]},
            "first_due_at": first_due_at and instant(first_due_at),
            "page": "/",
        },
        links={"stop_digest": stop},
        useless_after=digest.next_at,
    )
