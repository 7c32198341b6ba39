"""Sessions and activities of the past from files: new entries at the end of their memoranda's chains.

What is not known of a past case stays unknown: its question, when it was opened, whom else was asked. So such a case
counts in the figures about sessions and minutes, and in no figure about waiting.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlmodel import col

from service import tables, vocabulary
from service.care import sessions
from service.exchange.imports.desk import Desk, FileRow
from service.exchange.imports.links import Links
from service.kernel import clock, errors
from service.kernel.work import Work
from service.outbox import events
from service.registry import activities, memorandum_log
from service.rules.matching import score

Tell = Callable[[int], None]
_SHORTEST, _LONGEST = 15, 240
_UNCHANGED_BY_CORRECTION = {
    "clinician": "clinician_id",
    "mentor": "mentor_id",
    "requesting_institution": "requesting_institution_id",
    "partner_institution": "partner_institution_id",
    "specialty": "specialty_code",
    "mode": "mode",
}
"""What a correction must not change: the columns of the file, and of the table."""


class _Sessions:
    """The sessions of one file, as they become rows."""

    def __init__(self, desk: Desk, links: Links, zones: Mapping[UUID, str], logged: Mapping[UUID, Any]) -> None:
        self.desk, self.links, self.zones = desk, links, zones
        self.logged = dict(logged)  # sessions that may be corrected: their memorandum, and whether they were
        self.cases: dict[UUID, tables.Consultation] = {}
        self.corrected: list[UUID] = []
        self.corrigible: dict[UUID, tables.Session] = {}  # what the file corrects, and its own sessions

    def add(self, row: FileRow) -> tuple[tables.Session, memorandum_log.EntryFacts] | None:
        """Add the session, its consultation and its event; give it with its entry's facts, or None with a fault."""
        desk, values = self.desk, row.values
        fault_count = len(desk.faults)
        memorandum_id = desk.find(row, "memorandum", "memorandum")
        clinician, mentor = desk.find(row, "clinician", "person"), desk.find(row, "mentor", "person")
        asking = desk.find(row, "requesting_institution", "institution")
        answering = desk.find(row, "partner_institution", "institution")
        present = desk.find_all(row, "participants", "person") or [clinician, mentor]
        desk.find(row, "specialty", "specialty")
        self._check(row)
        if len(desk.faults) > fault_count:
            return None
        route = self.links.route(memorandum_id, asking, answering)
        if route is None:
            desk.refuse(row, "memorandum", "does not link the two institutions, or is a draft")
            return None
        session = sessions.build(
            id=values["id"] or clock.new_id(),
            consultation_id=values["consultation_id"] or clock.new_id(),
            memorandum_id=memorandum_id,
            programme_id=self.links.programme[memorandum_id],
            route=values["route"] or route,
            is_memorandum_chosen_anew=values["is_memorandum_chosen_anew"],
            mode=values["mode"],
            specialty_code=values["specialty"],
            priority=values["priority"],
            requesting_institution_id=asking,
            partner_institution_id=answering,
            clinician_id=clinician,
            mentor_id=mentor,
            participants=present,
            started_at=values["started_at"],
            ended_at=values["ended_at"],
            outcome=values["outcome"],
            is_civil_for_requester=self._is_civil(values, "is_civil_for_requester", clinician),
            is_civil_for_mentor=self._is_civil(values, "is_civil_for_mentor", mentor),
        )
        if not (self._correct(row, session) and self._have_case(row, session)):
            return None
        return session, sessions.record(desk.w, session, values["corrects"])

    def _check(self, row: FileRow) -> None:
        values = row.values
        entry = sessions.SessionEntry(
            started_at=values["started_at"], ended_at=values["ended_at"], outcome=values["outcome"]
        )
        try:
            sessions.check_times(self.desk.w, entry)
        except errors.Invalid as error:
            self.desk.refuse_error(row, error)
        if values["minutes"] not in (None, sessions.minutes_of(values["started_at"], values["ended_at"])):
            self.desk.refuse(row, "minutes", "does not follow from start and end")

    def _is_civil(self, values: Mapping[str, Any], column: str, person_id: UUID) -> bool:
        stated: bool | None = values[column]
        if stated is not None:
            return stated
        at: datetime = values["ended_at"] if values["mode"] == "written" else values["started_at"]
        zone = self.zones[person_id]
        return score.is_civil(at, zone)

    def _correct(self, row: FileRow, session: tables.Session) -> bool:
        """Mark the session that this one corrects: an uncorrected one of the same memorandum; False with a fault."""
        old = row.values["corrects"]
        if old is not None:
            if self.logged.get(old) != (session.memorandum_id, False):
                self.desk.refuse(row, "corrects", "is no earlier session of this memorandum that stands uncorrected")
                return False
            if not self._stays(row, session, self.corrigible[old]):
                return False
            self.logged[old] = (session.memorandum_id, True)
            self.corrected.append(old)
        self.logged[session.id] = (session.memorandum_id, False)
        self.corrigible[session.id] = session
        return True

    def _stays(self, row: FileRow, session: tables.Session, old: tables.Session) -> bool:
        """Give the correction the old session's case and appointment; False, with faults, if its facts differ."""
        differing = [
            column for column, name in _UNCHANGED_BY_CORRECTION.items() if getattr(session, name) != getattr(old, name)
        ]
        if row.values["consultation_id"] not in (None, old.consultation_id):
            differing.append("consultation_id")
        for column in differing:
            self.desk.refuse(row, column, "is not that of the session that is corrected")
        session.consultation_id, session.appointment_id = old.consultation_id, old.appointment_id
        return not differing

    def _have_case(self, row: FileRow, session: tables.Session) -> bool:
        """Add or update the session's consultation, which sessions of one file may share; False with a fault."""
        case = self.cases.get(session.consultation_id)
        if case is None:
            case = self.cases[session.consultation_id] = _case(self.desk.w, row.values, session)
            self.desk.w.add(case)
        elif case.clinician_id != session.clinician_id or case.institution_id != session.requesting_institution_id:
            self.desk.refuse(row, "consultation_id", "belongs to another clinician or institution")
            return False
        elif case.state not in vocabulary.CLOSED:
            self.desk.refuse(row, "consultation_id", "names a request that has not ended")
            return False
        if case.opened_at is not None:
            return True  # a request that was opened here ended as it ended
        if session.outcome not in vocabulary.NOT_HELD:
            case.state, case.cancel_reason = "completed", None
        case.closed_at = max(case.closed_at or session.ended_at, session.ended_at)
        return True


async def add_sessions(desk: Desk, rows: Sequence[FileRow], tell: Tell) -> None:
    """Add the sessions to the logs of their memoranda, in the order of the file; nobody is asked for feedback."""
    w = desk.w
    zones = {row.id: row.zone for row in await w.sql(sa.text("SELECT id, zone FROM person"))}
    logged = {
        row.id: (row.memorandum_id, row.is_corrected)
        for row in await w.sql(sa.text("SELECT id, memorandum_id, is_corrected FROM session"))
    }
    batch = _Sessions(desk, await Links.loaded(w), zones, logged)
    old = [row.values["corrects"] for row in rows if row.values["corrects"]]
    corrigible = await w.sql(sa.select(tables.Session).where(col(tables.Session.id).in_(old)))
    batch.corrigible = {session.id: session for session in corrigible.scalars()}
    consultation_ids = {row.values["consultation_id"] for row in rows if row.values["consultation_id"]}
    consultation_ids |= {session.consultation_id for session in batch.corrigible.values()}
    if consultation_ids:
        query = sa.select(tables.Consultation).where(col(tables.Consultation.id).in_(consultation_ids))
        query = query.order_by(col(tables.Consultation.id)).with_for_update(key_share=True)
        batch.cases = {case.id: case for case in (await w.sql(query)).scalars()}
    facts: dict[UUID, list[memorandum_log.EntryFacts]] = {}
    for row in rows:
        added = batch.add(row)
        if added is not None:
            facts.setdefault(added[0].memorandum_id, []).append(added[1])
        tell(1)
    if not desk.faults:
        await _append(w, facts)
        await w.sql(sa.text("UPDATE session SET is_corrected = true WHERE id = ANY(:ids)"), {"ids": batch.corrected})


async def _append(w: Work, facts: Mapping[UUID, Sequence[memorandum_log.EntryFacts]]) -> None:
    """Append the facts to their chains, by memorandum in sorted order, so that locks of heads do not deadlock."""
    for memorandum_id in sorted(facts):
        await memorandum_log.append(w, memorandum_id, facts[memorandum_id])


async def add_activities(desk: Desk, rows: Sequence[FileRow], tell: Tell) -> None:
    """Add the activities; those that name a memorandum are entries of its chain, in the order of the file."""
    links = await Links.loaded(desk.w)
    result = await desk.w.sql(sa.text("SELECT id, memorandum_id, is_corrected FROM activity"))
    logged = {row.id: (row.memorandum_id, row.is_corrected) for row in result}
    corrected: list[UUID] = []
    facts: dict[UUID, list[memorandum_log.EntryFacts]] = {}
    for row in rows:
        fact = _add_activity(desk, links, row, logged, corrected)
        if fact is not None and fact[0] is not None:
            facts.setdefault(fact[0], []).append(fact[1])
        tell(1)
    if not desk.faults:
        await _append(desk.w, facts)
        await desk.w.sql(sa.text("UPDATE activity SET is_corrected = true WHERE id = ANY(:ids)"), {"ids": corrected})


def _add_activity(
    desk: Desk, links: Links, row: FileRow, logged: dict[UUID, tuple[UUID | None, bool]], corrected: list[UUID]
) -> tuple[UUID | None, memorandum_log.EntryFacts] | None:
    values, fault_count = row.values, len(desk.faults)
    programme_id = desk.find(row, "programme", "programme")
    memorandum_id = desk.find(row, "memorandum", "memorandum") if values["memorandum"] else None
    entry = activities.ActivityEntry(
        kind=values["kind"],
        on=values["on"],
        period=values["period"],
        from_on=values["from"],
        until_on=values["until"],
        days=values["days"],
        people=None if values["people_count"] is None else (values["people_op"] or "=", values["people_count"]),
        specialties=desk.find_all(row, "specialties", "specialty"),
        places=[
            activities.Place(place, end)
            for end in vocabulary.DIRECTIONS
            for place in desk.find_all(row, f"{end}_institutions", "institution")
        ],
        note=values["note"],
        source=values["source"],
    )
    if values["people_op"] and values["people_count"] is None:
        desk.refuse(row, "people_count", "goes with the sign of the number of people")
    if len({place.institution_id for place in entry.places}) < len(entry.places):
        desk.refuse(row, "to_institutions", "an institution is there twice")
    if memorandum_id and programme_id and links.programme[memorandum_id] != programme_id:
        desk.refuse(row, "memorandum", "is of another programme")
    if values["corrects"] is not None and logged.get(values["corrects"]) != (memorandum_id, False):
        desk.refuse(row, "corrects", "is no earlier activity of this memorandum that stands uncorrected")
    try:
        if programme_id:
            checked = replace(entry, note=None, source=None) if desk.is_confirmed else entry
            activities.check(desk.w, checked, desk.zones[programme_id])
    except (errors.Invalid, errors.PersonalDataFound) as error:
        desk.refuse_error(row, error)
    if len(desk.faults) > fault_count:
        return None
    activity = activities.build(
        desk.w, programme_id, memorandum_id, entry, row_id=values["id"], corrects=values["corrects"]
    )
    activity.code, activity.published_kind = values["code"], values["published_kind"]
    logged[activity.id] = (memorandum_id, False)
    if activity.corrects is not None:
        logged[activity.corrects] = (memorandum_id, True)
        corrected.append(activity.corrects)
    places = [place.institution_id for place in entry.places]
    parties = links.parties(memorandum_id) if memorandum_id else ()
    audience = events.Audience(programme_id, memorandum_id, (*parties, *places))
    events.record(
        desk.w, "activity.logged", None, activity.id, audience, state=activity.kind, corrects=activity.corrects
    )
    return memorandum_id, activities.record(desk.w, activity, entry.specialties, entry.places)


def _case(w: Work, values: Mapping[str, Any], session: tables.Session) -> tables.Consultation:
    return tables.Consultation(
        id=session.consultation_id,
        programme_id=session.programme_id,
        institution_id=session.requesting_institution_id,
        clinician_id=session.clinician_id,
        specialty_code=session.specialty_code,
        priority=session.priority,
        mode=session.mode,
        state="cancelled",
        cancel_reason="other",
        age_band=values["age_band"],
        duration_minutes=min(max(session.minutes, _SHORTEST), _LONGEST),
        closed_at=session.ended_at,
        is_forgotten=True,  # a case of the past comes without text, and none is added
        created_at=w.now,
    )
