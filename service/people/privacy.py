"""Gives out everything that is stored about one person, and erases a person so that only ids and counts stay.

The facts of sessions, the log's entries and the audit hold ids. They stay as they are, so every chain still verifies
and every report says what it said (invariant L2). What names the person or was written by them is deleted, but for
requests that they filed for a colleague who still waits for the answer: these become the colleague's.
"""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from service import tables
from service.kernel import audit, clock, email_addresses, errors, limits
from service.kernel.work import Work
from service.rules.matching import records
from service.rules.sentences import Sentence

DOSSIERS_A_DAY = 5
"""That one person may fetch of themself: each asks a lot of the database."""
_QUERIES: Mapping[str, str] = {
    "address_changes": "SELECT id, number, before, after, trusted, changed_by, created_at, outcome, settled_at,"
    " settled_by FROM address_change WHERE person_id = :id ORDER BY id",
    "address_wished": "SELECT id, address, expires_at FROM address_wish WHERE person_id = :id",
    "roles": "SELECT role, institution_id, programme_id, department, created_at FROM role_grant WHERE person_id = :id",
    "mentor_profile": "SELECT * FROM mentor_profile WHERE person_id = :id",
    "specialties": "SELECT specialty_code FROM mentor_specialty WHERE person_id = :id ORDER BY 1",
    "languages": "SELECT code, level FROM person_language WHERE person_id = :id ORDER BY 1",
    "weekly_hours": "SELECT weekday, from_minute, until_minute FROM weekly_hours WHERE person_id = :id ORDER BY 1, 2",
    "exceptions": "SELECT kind, from_wall, until_wall FROM availability_exception WHERE person_id = :id ORDER BY 2",
    "consultations": "SELECT * FROM consultation WHERE clinician_id = :id OR created_by = :id ORDER BY id",
    "offers": "SELECT o.*, (SELECT person_id FROM audit WHERE subject_id = o.id AND action = 'override_rule')"
    " AS overridden_by FROM offer o WHERE mentor_id = :id ORDER BY id",
    "overrides": "SELECT o.id, override_rule, override_reason FROM offer o JOIN audit a ON a.subject_id = o.id"
    " AND a.action = 'override_rule' WHERE a.person_id = :id ORDER BY o.id",
    "notes": "SELECT id, note FROM consultation WHERE noted_by = :id UNION ALL"
    " SELECT id, note FROM offer WHERE noted_by = :id UNION ALL"
    " SELECT id, note FROM appointment WHERE noted_by = :id ORDER BY id",
    "appointments": "SELECT p.role, p.status AS answer, p.zone, p.wall, a.* FROM participant p"
    " JOIN appointment a ON a.id = p.appointment_id WHERE p.person_id = :id ORDER BY a.id",
    "advice": "SELECT * FROM advice WHERE mentor_id = :id ORDER BY id",
    "sessions": "SELECT s.*, e.logged_by FROM session s JOIN log_entry e ON e.id = s.id"
    " WHERE s.clinician_id = :id OR s.mentor_id = :id OR :id = ANY(s.participants) ORDER BY s.id",
    "feedback": "SELECT * FROM feedback WHERE person_id = :id ORDER BY id",
    "activities_logged": "SELECT * FROM activity WHERE logged_by = :id ORDER BY id",
    "memorandum_steps": "SELECT * FROM memorandum_transition WHERE actor_id = :id ORDER BY id",
    "policies_saved": "SELECT * FROM policy_version WHERE by = :id ORDER BY id",
    "rehearsals": "SELECT id, programme_id, created_at, state FROM rehearsal WHERE by = :id ORDER BY id",
    "mails": "SELECT id, payload, state, created_at, settled_at, error FROM delivery WHERE person_id = :id ORDER BY id",
    "devices_told": "SELECT id, device, created_at FROM push_subscription WHERE person_id = :id ORDER BY id",
    "digest": "SELECT hour, next_at FROM digest WHERE person_id = :id",
    "links": "SELECT purpose, subject_id, created_at, expires_at, used_at FROM link WHERE person_id = :id ORDER BY id",
    "sign_ins": "SELECT created_at, expires_at, used_at, revoked_at, seen_at, device, is_own_device FROM refresh_token"
    " WHERE person_id = :id ORDER BY id",
    "forms_kept": "SELECT id, path, body, created_at, until FROM kept_post WHERE person_id = :id ORDER BY id",
    "files_sent": "SELECT id, kind, state, is_dry, created_at FROM import_file WHERE person_id = :id ORDER BY id",
    "acts": "SELECT at, action, subject, subject_id, details FROM audit WHERE person_id = :id ORDER BY id",
    "acts_on_them": "SELECT at, actor_kind, person_id, action, details FROM audit WHERE subject_id = :id ORDER BY id",
    "who_read_their_texts": "SELECT at, actor_kind, person_id, subject, subject_id FROM audit"
    " WHERE action = 'read_case_text' AND subject_id IN ("
    "  SELECT id FROM consultation WHERE clinician_id = :id OR created_by = :id"
    "  UNION SELECT id FROM advice WHERE mentor_id = :id"
    "  UNION SELECT id FROM consultation WHERE noted_by = :id UNION SELECT id FROM offer WHERE noted_by = :id"
    "  UNION SELECT id FROM appointment WHERE noted_by = :id UNION SELECT id FROM feedback WHERE person_id = :id"
    "  UNION SELECT s.id FROM session s JOIN log_entry e ON e.id = s.id WHERE e.logged_by = :id) ORDER BY id",
}
_RECORDED = "SELECT body, seen_at FROM mentor_fact WHERE person_id = :id ORDER BY seen_at, id"
_WRITTEN_BY = {"conclusion": "logged_by", "note": "noted_by", "override_reason": "overridden_by"}
"""Which column names a text's author, where it may be somebody else; every other text is the person's own."""
_OPEN = sa.text("""
SELECT (SELECT count(*) FROM seat WHERE person_id = :id AND upper(during) > :now)
     + (SELECT count(*) FROM offer WHERE mentor_id = :id AND (state IN ('pending', 'countered') OR is_late))
     + (SELECT count(*) FROM consultation WHERE clinician_id = :id
        AND state IN ('draft', 'open', 'offered', 'scheduled', 'unmatched'))
     + (SELECT count(*) FROM offer o JOIN consultation c ON c.id = o.consultation_id
        WHERE o.mentor_id = :id AND o.state = 'accepted' AND o.ended_at IS NULL AND c.state = 'scheduled')
""")
_ERASURE = (
    (
        "UPDATE consultation SET question = NULL, tags = '{}', department ="
        " (SELECT g.department FROM role_grant g WHERE g.institution_id = consultation.institution_id"
        " AND g.department = consultation.department AND g.person_id <> :id LIMIT 1)"
        " WHERE (clinician_id = :id OR created_by = :id) AND state IN ('completed', 'cancelled', 'expired')"
    ),
    "UPDATE consultation SET note = NULL WHERE noted_by = :id",
    "UPDATE consultation SET created_by = NULL WHERE created_by = :id AND question IS NOT NULL",
    "UPDATE offer SET note = NULL WHERE noted_by = :id",
    (
        "UPDATE offer SET override_reason = NULL"
        " WHERE id IN (SELECT subject_id FROM audit WHERE person_id = :id AND action = 'override_rule')"
    ),
    "UPDATE appointment SET note = NULL WHERE noted_by = :id",
    "UPDATE advice SET text = NULL WHERE mentor_id = :id",
    (
        "UPDATE session SET conclusion = NULL WHERE clinician_id = :id OR mentor_id = :id"
        " OR id IN (SELECT id FROM log_entry WHERE logged_by = :id)"
    ),
    "UPDATE feedback SET note = NULL WHERE person_id = :id",
    "UPDATE activity SET note = NULL WHERE logged_by = :id",
    "UPDATE memorandum_transition SET reason = NULL WHERE actor_id = :id",
    (
        "UPDATE delivery_attempt SET error = NULL, response = NULL WHERE delivery_id IN"
        " (SELECT id FROM delivery WHERE person_id = :id)"
    ),
    (
        "UPDATE delivery SET payload = '{}', body = NULL, sealed_address = NULL, error = NULL, next_attempt_at = NULL,"
        " settled_at = coalesce(settled_at, :now), state = CASE state WHEN 'pending' THEN 'dropped' ELSE state END"
        " WHERE person_id = :id"
    ),
    # What was chosen from them stays as counts and places, and cannot be made again: what they were is needed no
    # more, and their hours and absences would tell who it was.
    "UPDATE mentor_fact SET person_id = :pseudonym, is_erased = true, body = '' WHERE person_id = :id",
    "DELETE FROM idempotency_key WHERE caller = :text",
    "DELETE FROM rate_limit WHERE bucket LIKE '%:' || :text",
    "DELETE FROM link WHERE person_id = :id",
    "DELETE FROM kept_post WHERE person_id = :id",
    "DELETE FROM push_subscription WHERE person_id = :id",
    "DELETE FROM digest WHERE person_id = :id",
    "DELETE FROM address_wish WHERE person_id = :id",
    "DELETE FROM address_change WHERE person_id = :id",
    "DELETE FROM import_file WHERE person_id = :id",
    "DELETE FROM refresh_token WHERE person_id = :id",
    "DELETE FROM role_grant WHERE person_id = :id",
    "DELETE FROM mentor_specialty WHERE person_id = :id",
    "DELETE FROM person_language WHERE person_id = :id",
    "DELETE FROM weekly_hours WHERE person_id = :id",
    "DELETE FROM availability_exception WHERE person_id = :id",
    (
        "UPDATE mentor_profile SET verified_until = NULL, verified_by = NULL, tags = '{}', opt_ins = '{}',"
        " treats_children = false, availability_zone = 'UTC', version = version + 1 WHERE person_id = :id"
    ),
    (
        "UPDATE person SET email = 'erased-' || :text || '@erased.invalid', display_name = '-',"
        " locale = 'en', zone = 'UTC', state = 'disabled', mail_refused_at = NULL, address_unconfirmed_since = NULL,"
        " notices = '{}', phone = NULL, shows_phone = false, version = version + 1 WHERE id = :id"
    ),
)


async def dossier(w: Work, email: str) -> dict[str, Any]:
    """Give everything that is stored about the person, their texts decrypted, and audit it; raises NotFound."""
    return await _contents(w, await _person(w, email), with_texts=True)


async def own_dossier(w: Work) -> dict[str, Any]:
    """Give the actor what is stored about them, and audit it; raises Forbidden for whoever is no person.

    Nor is it given out at an address that waits to be confirmed, since it names the former one. Raises TooManyRequests.
    Without texts of cases: who reads those follows from the case as it stands (invariant D1), and the operator gives
    out one's own (`dossier`).
    """
    person = await w.find(tables.Person, w.actor.person_id) if w.actor.kind == "person" and w.actor.person_id else None
    if person is None or not w.actor.is_address_confirmed:
        raise errors.Forbidden
    await limits.take(w, f"dossier:{person.id}", clock.wall(), DOSSIERS_A_DAY, timedelta(days=1))
    return await _contents(w, person, with_texts=False)


async def _contents(w: Work, person: tables.Person, *, with_texts: bool) -> dict[str, Any]:
    facts = person.model_dump() | {"email": email_addresses.shown(person.email)}
    contents: dict[str, Any] = {"person": facts, "given_out_at": w.now}
    for name, query in _QUERIES.items():
        rows = (await w.sql(sa.text(query), {"id": person.id})).mappings()
        has_texts = with_texts or name in {"address_changes", "address_wished"}  # sealed, but addresses of their own
        contents[name] = [_opened(w, dict(row), person.id if has_texts else None) for row in rows]
    recorded = await w.sql(sa.text(_RECORDED), {"id": person.id})
    contents["recorded_as_mentor"] = [
        {"body": json.loads(records.unpack(row.body)), "seen_at": row.seen_at} for row in recorded
    ]
    audit.record(w, "exported", "person", person.id)
    return contents


async def erase(w: Work, email: str) -> UUID:
    """Erase the person: nothing names them, and they cannot sign in; ids and counts stay. Gives the id.

    Raises NotFound, and Conflict while something waits for the person: call it off or hand it over first.
    """
    person = await _person(w, email)
    await w.lock_people([person.id])
    waiting = (await w.sql(_OPEN, {"id": person.id, "now": w.now})).scalar_one()
    if waiting:
        key = "{count} requests, offers or appointments wait for this person: call them off or hand them over first."
        raise errors.Conflict(Sentence(key, count=waiting))
    values = {"id": person.id, "text": str(person.id), "now": w.now, "pseudonym": clock.new_id()}
    for statement in _ERASURE:
        await w.sql(sa.text(statement), {name: value for name, value in values.items() if f":{name}" in statement})
    audit.record(w, "erased", "person", person.id)
    return person.id


async def _person(w: Work, email: str) -> tables.Person:
    stored = email_addresses.as_stored(email)
    query = sa.select(tables.Person).where(
        sa.func.lower(col(tables.Person.email)) == stored.lower(), col(tables.Person.kind) == "person"
    )
    person: tables.Person | None = (await w.sql(query)).scalar_one_or_none()
    if person is None:
        email_addresses.requires_carried("/email", email, utf8=w.carries_utf8)
        raise errors.NotFound
    return person


def _opened(w: Work, row: Mapping[str, Any], person_id: UUID | None) -> dict[str, Any]:
    """Give the row with its sealed texts decrypted, and None for those that somebody else than the person wrote."""
    opened = dict(row)
    for name, value in row.items():
        if isinstance(value, bytes):
            is_theirs = person_id is not None and row.get(_WRITTEN_BY.get(name, ""), person_id) == person_id
            opened[name] = w.unseal(value, row["id"]) if is_theirs else None
    return opened
