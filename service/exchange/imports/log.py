"""Sessions and activities of the past from files: new entries at the end of their memoranda's chains.

What is not known of a past case stays unknown: its question, when it was opened, whom else was asked. So such a case
counts in the figures about sessions and minutes, and in none about waiting.
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
_KEPT = {
    "clinician": "clinician_id",
    "mentor": "mentor_id",
    "requesting_institution": "requesting_institution_id",
    "partner_institution": "partner_institution_id",
    "specialty": "specialty_code",
    "mode": "mode",
}
"""What a correction leaves as it was: the columns of the file, and of the table."""


class _Sessions:
    """The sessions of one file, as they become rows."""

    def __init__(self, desk: Desk, links: Links, zones: Mapping[UUID, str], logged: Mapping[UUID, Any]) -> None:
        self.desk, self.links, self.zones = desk, links, zones
        self.logged = dict(logged)  # sessions that may be corrected: their memorandum, and whether they were
        self.cases: dict[UUID, tables.Consultation] = {}
        self.corrected: list[UUID] = []
        self.corrigible: dict[UUID, tables.Session] = {}  # what the file corrects, and its own sessions

    def add(self, row: FileRow) -> tuple[tables.Session, memorandum_log.EntryFacts] | None:
        """Keep the session, its consultation and its event; give what its entry is to seal, or None with a fault."""
        desk, values = self.desk, row.values
        faults = len(desk.faults)
        memorandum_id = desk.find(row, "memorandum", "memorandum")
        clinician, mentor = desk.find(row, "clinician", "person"), desk.find(row, "mentor", "person")
        asking = desk.find(row, "requesting_institution", "institution")
        answering = desk.find(row, "partner_institution", "institution")
        present = desk.find_all(row, "participants", "person") or [clinician, mentor]
        desk.find(row, "specialty", "specialty")
        self._check(row)
        if len(desk.faults) > faults:
            return None
        route = self.links.route(memorandum_id, asking, answering)
        if route is None:
            desk.refuse(row, "memorandum", "does not link the two institutions, or is a draft")
            return None
        made = sessions.build(
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
        if not (self._correct(row, made) and self._have_case(row, made)):
            return None
        return made, sessions.record(desk.w, made, values["corrects"])

    def _check(self, row: FileRow) -> None:
        values = row.values
        happened = sessions.SessionEntry(
            started_at=values["started_at"], ended_at=values["ended_at"], outcome=values["outcome"]
        )
        try:
            sessions.check_times(self.desk.w, happened)
        except errors.Invalid as error:
            self.desk.refuse_error(row, error)
        if values["minutes"] not in (None, sessions.minutes_of(values["started_at"], values["ended_at"])):
            self.desk.refuse(row, "minutes", "does not follow from started_at and ended_at")

    def _is_civil(self, values: Mapping[str, Any], column: str, person_id: UUID) -> bool:
        told: bool | None = values[column]
        if told is not None:
            return told
        at: datetime = values["ended_at"] if values["mode"] == "written" else values["started_at"]
        zone = self.zones[person_id]
        return score.is_civil(at, zone)

    def _correct(self, row: FileRow, made: tables.Session) -> bool:
        """Mark what the session corrects: an earlier one of the same memorandum that nothing has corrected yet."""
        old = row.values["corrects"]
        if old is not None:
            if self.logged.get(old) != (made.memorandum_id, False):
                self.desk.refuse(row, "corrects", "is no earlier session of this memorandum that stands uncorrected")
                return False
            if not self._stays(row, made, self.corrigible[old]):
                return False
            self.logged[old] = (made.memorandum_id, True)
            self.corrected.append(old)
        self.logged[made.id] = (made.memorandum_id, False)
        self.corrigible[made.id] = made
        return True

    def _stays(self, row: FileRow, made: tables.Session, old: tables.Session) -> bool:
        """Let the correction belong to the old session's case and appointment; False if it is about something else."""
        differing = [column for column, name in _KEPT.items() if getattr(made, name) != getattr(old, name)]
        if row.values["consultation_id"] not in (None, old.consultation_id):
            differing.append("consultation_id")
        for column in differing:
            self.desk.refuse(row, column, "is not that of the session that is corrected")
        made.consultation_id, made.appointment_id = old.consultation_id, old.appointment_id
        return not differing

    def _have_case(self, row: FileRow, made: tables.Session) -> bool:
        """Keep the consultation behind the session; sessions of one file may share it."""
        case = self.cases.get(made.consultation_id)
        if case is None:
            case = self.cases[made.consultation_id] = _case(self.desk.w, row.values, made)
            self.desk.w.add(case)
        elif case.clinician_id != made.clinician_id or case.institution_id != made.requesting_institution_id:
            self.desk.refuse(row, "consultation_id", "belongs to another clinician or institution")
            return False
        elif case.state not in vocabulary.CLOSED:
            self.desk.refuse(row, "consultation_id", "names a request that has not ended")
            return False
        if case.opened_at is not None:
            return True  # a request that was opened here ended as it ended
        if made.outcome not in vocabulary.NOT_HELD:
            case.state, case.cancel_reason = "completed", None
        case.closed_at = max(case.closed_at or made.ended_at, made.ended_at)
        return True


async def add_sessions(desk: Desk, rows: Sequence[FileRow], tell: Tell) -> None:
    """Have the sessions in the logs of their memoranda, in the order of the file; nobody is asked for an answer."""
    w = desk.w
    zones = {row.id: row.zone for row in await w.sql(sa.text("SELECT id, zone FROM person"))}
    logged = {
        row.id: (row.memorandum_id, row.is_corrected)
        for row in await w.sql(sa.text("SELECT id, memorandum_id, is_corrected FROM session"))
    }
    work = _Sessions(desk, await Links.loaded(w), zones, logged)
    old = [row.values["corrects"] for row in rows if row.values["corrects"]]
    found = await w.sql(sa.select(tables.Session).where(col(tables.Session.id).in_(old)))
    work.corrigible = {session.id: session for session in found.scalars()}
    wanted = {row.values["consultation_id"] for row in rows if row.values["consultation_id"]}
    wanted |= {session.consultation_id for session in work.corrigible.values()}
    if wanted:
        query = sa.select(tables.Consultation).where(col(tables.Consultation.id).in_(wanted))
        query = query.order_by(col(tables.Consultation.id)).with_for_update(key_share=True)
        work.cases = {case.id: case for case in (await w.sql(query)).scalars()}
    facts: dict[UUID, list[memorandum_log.EntryFacts]] = {}
    for row in rows:
        made = work.add(row)
        if made is not None:
            facts.setdefault(made[0].memorandum_id, []).append(made[1])
        tell(1)
    if not desk.faults:
        await _append(w, facts)
        await w.sql(sa.text("UPDATE session SET is_corrected = true WHERE id = ANY(:ids)"), {"ids": work.corrected})


async def _append(w: Work, facts: Mapping[UUID, Sequence[memorandum_log.EntryFacts]]) -> None:
    """Put the facts into their chains, a memorandum after another in one order for everybody who locks heads."""
    for memorandum_id in sorted(facts):
        await memorandum_log.append(w, memorandum_id, facts[memorandum_id])


async def add_activities(desk: Desk, rows: Sequence[FileRow], tell: Tell) -> None:
    """Have the activities; those that name a memorandum are entries of its chain, in the order of the file."""
    links = await Links.loaded(desk.w)
    there = await desk.w.sql(sa.text("SELECT id, memorandum_id, is_corrected FROM activity"))
    logged = {row.id: (row.memorandum_id, row.is_corrected) for row in there}
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
    values, faults = row.values, len(desk.faults)
    programme_id = desk.find(row, "programme", "programme")
    memorandum_id = desk.find(row, "memorandum", "memorandum") if values["memorandum"] else None
    done = activities.ActivityEntry(
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
        desk.refuse(row, "people_count", "goes with people_op")
    if len({place.institution_id for place in done.places}) < len(done.places):
        desk.refuse(row, "to_institutions", "an institution is there twice")
    if memorandum_id and programme_id and links.programme[memorandum_id] != programme_id:
        desk.refuse(row, "memorandum", "is of another programme")
    if values["corrects"] is not None and logged.get(values["corrects"]) != (memorandum_id, False):
        desk.refuse(row, "corrects", "is no earlier activity of this memorandum that stands uncorrected")
    try:
        if programme_id:
            checked = replace(done, note=None, source=None) if desk.is_confirmed else done
            activities.check(desk.w, checked, desk.zones[programme_id])
    except (errors.Invalid, errors.PersonalDataFound) as error:
        desk.refuse_error(row, error)
    if len(desk.faults) > faults:
        return None
    made = activities.build(desk.w, programme_id, memorandum_id, done, row_id=values["id"], corrects=values["corrects"])
    made.code, made.published_kind = values["code"], values["published_kind"]
    logged[made.id] = (memorandum_id, False)
    if made.corrects is not None:
        logged[made.corrects] = (memorandum_id, True)
        corrected.append(made.corrects)
    places = [place.institution_id for place in done.places]
    parties = links.parties(memorandum_id) if memorandum_id else ()
    audience = events.Audience(programme_id, memorandum_id, (*parties, *places))
    events.record(desk.w, "activity.logged", None, made.id, audience, state=made.kind, corrects=made.corrects)
    return memorandum_id, activities.record(desk.w, made, done.specialties, done.places)


def _case(w: Work, values: Mapping[str, Any], made: tables.Session) -> tables.Consultation:
    return tables.Consultation(
        id=made.consultation_id,
        programme_id=made.programme_id,
        institution_id=made.requesting_institution_id,
        clinician_id=made.clinician_id,
        specialty_code=made.specialty_code,
        priority=made.priority,
        mode=made.mode,
        state="cancelled",
        cancel_reason="other",
        age_band=values["age_band"],
        duration_minutes=min(max(made.minutes, _SHORTEST), _LONGEST),
        closed_at=made.ended_at,
        is_forgotten=True,  # a case of the past comes without text, and none is added
        created_at=w.now,
    )
