"""What waits for a person is found by one statement: the same as is told from all rows, one by one, in plain Python."""

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

import build
import world as simulated
from integrations.runtime.world import World
from pages.scene import Scene
from service import tables, vocabulary
from service.care import answers, appointments, sessions
from service.kernel import access, clock
from service.kernel.actor import Actor
from service.kernel.work import Work
from service.rules import policy
from service.worklists import waiting

SEEDS = range(2)
DAY = timedelta(days=1)
DOORS: Mapping[str, Callable[..., Awaitable[Any]]] = {
    "offer": access.visible_offer,
    "appointment": access.visible_appointment,
    "consultation": access.visible_consultation,
    "session": access.visible_session,
    "person": access.visible_person,
}
Told = tuple[str, str, object, object, object]


async def made_up(w: Work, dice: random.Random) -> Sequence[tables.Person]:
    """Some dozen cases in every state, of people with one role, with several, and with one that they have lost."""
    kyiv, lviv, lille = await build.institution(w), await build.institution(w), await build.partner(w)
    clinicians = [await build.clinician(w, kyiv), await build.clinician(w, lviv), await build.person(w)]
    mentors = [await build.mentor(w, lille), await build.mentor(w, lille)]
    await build.grant(w, mentors[0], "coordinator", lille)
    await build.grant(w, clinicians[1], "coordinator", lviv)
    overseers = [await build.coordinator(w, kyiv), await build.coordinator(w, lille), await build.admin(w)]
    clinicians[0].mail_refused_at = mentors[1].mail_refused_at = w.now
    memorandum = await build.memorandum(w, [kyiv, lviv], lille)
    for number in range(60):
        who = dice.choice(clinicians)
        place = lviv if who is clinicians[1] else kyiv
        state = dice.choice(vocabulary.CONSULTATION_STATES)
        case = await build.consultation(
            w,
            who,
            place,
            state=state,
            created_at=w.now - timedelta(days=number),
            advice_due_at=w.now + timedelta(hours=number) if state == "scheduled" and number % 2 else None,
            answer_due_at=w.now + timedelta(hours=dice.randrange(-30, 60)),
            clinician_left_at=w.now if who is clinicians[2] else None,
            closed_at=w.now if state in vocabulary.CLOSED else None,
        )
        await _with_offers(w, dice, case, mentors, memorandum)
        if dice.random() < 0.7:
            await _with_a_call(w, dice, case, dice.choice(mentors), memorandum)
    await w.flush()
    return [*clinicians, *mentors, *overseers]


async def _with_offers(
    w: Work, dice: random.Random, case: tables.Consultation, mentors: Sequence[Any], memorandum: tables.Memorandum
) -> None:
    for mentor in mentors:
        state = dice.choice(vocabulary.STORED_OFFER_STATES)
        starts = [w.now + timedelta(hours=dice.randrange(-5, 50)) for _ in range(2)]
        await build.offer(
            w,
            case,
            mentor,
            memorandum,
            state=state,
            counter_starts=starts if state == "countered" else [],
            answer_by=w.now + timedelta(minutes=dice.randrange(-900, 900)),
            is_late=state == "expired" and dice.random() < 0.5,
            ended_at=w.now if state == "accepted" and dice.random() < 0.3 else None,
        )


async def _with_a_call(
    w: Work, dice: random.Random, case: tables.Consultation, mentor: tables.Person, memorandum: tables.Memorandum
) -> None:
    """One that is booked, over, or logged and asked about, in a slot that nobody else has."""
    earliest, latest = dice.choice([(-60 * 24 * 32, 0), (-40, 60 * 40)])
    at = w.now + timedelta(minutes=dice.randrange(earliest, latest))
    row = await build.appointment(w, case, mentor, memorandum, starts_at=at, status="cancelled")
    row.status = dice.choice(["booked", "booked", "booked", "fulfilled", "cancelled"])
    if dice.random() < 0.5:
        row.proposed_starts = [w.now + timedelta(hours=dice.randrange(-9, 60))]
        row.proposed_by = dice.choice([mentor.id, case.clinician_id])
    if row.status == "fulfilled":
        profile = await w.read(tables.MentorProfile, mentor.id)
        session = await build.add(w, _session(case, mentor, row, profile.institution_id))
        for person_id in (case.clinician_id, mentor.id):
            await build.add(w, _question(w, dice, person_id, session.id))
        if dice.random() < 0.5:
            await build.add(w, _answer(w, session.id, mentor.id, "partner"))


def _session(
    case: tables.Consultation, mentor: tables.Person, row: tables.Appointment, place_id: UUID
) -> tables.Session:
    return sessions.build(
        id=clock.new_id(),
        appointment_id=row.id,
        consultation_id=case.id,
        memorandum_id=row.memorandum_id,
        programme_id=case.programme_id,
        route="direct",
        mode="live",
        specialty_code=case.specialty_code,
        priority=case.priority,
        requesting_institution_id=case.institution_id,
        partner_institution_id=place_id,
        clinician_id=case.clinician_id,
        mentor_id=mentor.id,
        participants=(case.clinician_id, mentor.id),
        started_at=row.starts_at,
        ended_at=row.ends_at,
        outcome="advice_given",
        is_civil_for_requester=True,
        is_civil_for_mentor=True,
    )


def _question(w: Work, dice: random.Random, person_id: object, session_id: object) -> tables.Link:
    values: dict[str, Any] = {
        "id": clock.new_id(),
        "person_id": person_id,
        "subject_id": session_id,
        "created_at": w.now,
        "purpose": "feedback",
        "expires_at": w.now + timedelta(hours=dice.randrange(-20, 90)),
        "used_at": w.now if dice.random() < 0.2 else None,
    }
    return tables.Link(**values)


def _answer(w: Work, session_id: Any, person_id: Any, side: str) -> tables.Feedback:  # noqa: ANN401 - ids
    return tables.Feedback(
        id=clock.new_id(), session_id=session_id, person_id=person_id, side=side, is_useful=True, given_at=w.now
    )


@pytest.fixture
async def scene(world: World, test_clock: simulated.TestClock) -> Scene:
    made = Scene(world, test_clock)
    await made.set_up()
    return made


class Oracle:
    """All rows, and what of them waits for somebody, told one by one."""

    def __init__(self, w: Work, who: Actor) -> None:
        self.w, self.who = w, who

    async def told(self) -> list[Told]:
        self.cases = {row.id: row for row in await self._all(tables.Consultation)}
        found = [
            *(self._offers(await self._all(tables.Offer))),
            *(self._calls(await self._all(tables.Appointment), await self._all(tables.Participant))),
            *(self._questions(*[await self._all(kind) for kind in (tables.Link, tables.Session, tables.Feedback)])),
            *(self._cases(await self._all(tables.Appointment))),
            *(await self._addresses(await self._all(tables.Person))),
        ]
        return sorted(set(found), key=lambda each: (each[2] or waiting.NEVER, each[0], each[1]))

    async def _all(self, kind: Any) -> list[Any]:  # noqa: ANN401 - a table
        return list((await self.w.sql(sa.select(kind))).scalars())

    def _is_own(self, case: tables.Consultation) -> bool:
        return case.clinician_id == self.who.person_id and case.institution_id in self.who.institutions("clinician")

    def _offers(self, offers: Sequence[tables.Offer]) -> list[Told]:
        found: list[Told] = []
        for offer in offers:
            case = self.cases[offer.consultation_id]
            is_put_to_them = offer.mentor_id == self.who.person_id
            answers_for = offer.institution_id in self.who.institutions("coordinator")
            if (is_put_to_them or answers_for) and offer.state == "pending" and offer.answer_by > self.w.now:
                found.append(("offer", str(offer.id), offer.answer_by, offer.mentor_id, f"/offers/{offer.id}"))
            if (is_put_to_them or answers_for) and offer.is_late:
                due = max(offer.answer_by, case.answer_due_at or offer.answer_by)
                found.append(("late_offer", str(offer.id), due, offer.mentor_id, f"/offers/{offer.id}"))
            if self._is_own(case) and offer.state == "countered" and case.state not in vocabulary.CLOSED:
                page = f"/consultations/{case.id}"
                found.append(("counter", str(offer.id), max(offer.counter_starts), case.clinician_id, page))
            is_promised = offer.state == "accepted" and offer.ended_at is None and case.state == "scheduled"
            if is_put_to_them and is_promised and case.advice_due_at:
                page = f"/consultations/{case.id}"
                found.append(("advice", str(case.id), case.advice_due_at, offer.mentor_id, page))
        return found

    def _calls(self, calls: Sequence[tables.Appointment], parts: Sequence[tables.Participant]) -> list[Told]:
        found: list[Told] = []
        mine = {part.appointment_id: part.role for part in parts if part.person_id == self.who.person_id}
        mentors = {(part.appointment_id, part.person_id) for part in parts if part.role == "mentor"}
        for call in calls:
            role, case = mine.get(call.id), self.cases[call.consultation_id]
            if role is None or call.status != "booked" or call.ends_at <= self.w.now - waiting.STILL_TO_LOG:
                continue
            is_over, page = call.ends_at <= self.w.now, f"/consultations/{case.id}"
            proposing = "mentor" if (call.id, call.proposed_by) in mentors else "clinician"
            acts = role == "mentor" or case.institution_id in self.who.institutions("clinician")
            until = max(call.proposed_starts, default=self.w.now)
            if not is_over and until > self.w.now and proposing != role and acts:
                found.append(("move", str(call.id), until, self.who.person_id, page))
            if is_over:
                found.append(("log", str(call.id), call.ends_at + waiting.STILL_TO_LOG, self.who.person_id, page))
            elif call.starts_at <= self.w.now + waiting.JOIN_WITHIN:
                found.append(("join", str(call.id), call.starts_at, self.who.person_id, page))
        return found

    def _questions(
        self, links: Sequence[tables.Link], held: Sequence[tables.Session], given: Sequence[tables.Feedback]
    ) -> list[Told]:
        found: list[Told] = []
        for link in links:
            session = next((row for row in held if row.id == link.subject_id), None)
            is_open = link.purpose == "feedback" and link.used_at is None and link.expires_at > self.w.now
            if session is None or link.person_id != self.who.person_id or not is_open:
                continue
            if not any(answer.session_id == session.id and answer.person_id == link.person_id for answer in given):
                page = f"/consultations/{session.consultation_id}"
                found.append(("feedback", str(session.id), link.expires_at, link.person_id, page))
        return found

    def _cases(self, calls: Sequence[tables.Appointment]) -> list[Told]:
        found: list[Told] = []
        text_lasts = timedelta(days=policy.DEFAULT.case_text_days)
        for case in self.cases.values():
            page, is_kept = f"/consultations/{case.id}", case.institution_id in self.who.institutions("coordinator")
            if case.state == "unmatched" and (self._is_own(case) or (is_kept and case.clinician_left_at is None)):
                found.append(("unmatched", str(case.id), case.answer_due_at, case.clinician_id, page))
            if case.state == "draft" and self._is_own(case):
                found.append(("draft", str(case.id), case.created_at + text_lasts, case.clinician_id, page))
            is_theirs = is_kept or case.programme_id in self.who.programmes("programme_admin")
            if case.clinician_left_at and case.state not in vocabulary.CLOSED and is_theirs:
                starts = [
                    call.starts_at for call in calls if call.consultation_id == case.id and call.status == "booked"
                ]
                due = next(iter(starts), None) or case.advice_due_at or case.answer_due_at
                found.append(("unattended", str(case.id), due, self.who.person_id, page))
        return found

    async def _addresses(self, people: Sequence[tables.Person]) -> list[Told]:
        if not self.who.holds(*vocabulary.OVERSEEING_PEOPLE):
            return []
        grants = await self._all(tables.RoleGrant)
        kept = {row.person_id for row in grants if row.institution_id in self.who.institutions("coordinator")}
        return [
            ("address", str(person.id), None, self.who.person_id, "/people")
            for person in people
            if person.mail_refused_at
            and person.id != self.who.person_id
            and (person.id in kept or self.who.programmes("programme_admin"))
        ]


def told(entries: Sequence[waiting.Entry]) -> list[Told]:
    return [(each.kind, str(each.subject_id), each.due_at, each.whose_turn_id, each.page) for each in entries]


async def in_pages(w: Work, who: Actor, size: int) -> list[Told]:
    found: list[Told] = []
    after: waiting.Place | None = None
    while True:
        rows = await waiting.entries(w, who, limit=size, after=after)
        found += told(rows[:size])
        if len(rows) <= size:
            return found
        after = rows[size - 1].place


async def test_what_waits_is_what_plain_rows_tell_in_pages_of_any_size(w: Work) -> None:
    kinds: set[str] = set()
    for person in [each for seed in SEEDS for each in await made_up(w, random.Random(seed))]:
        who = await build.actor(w, person)
        expected = await Oracle(w, who).told()
        assert told(await waiting.entries(w, who, limit=200)) == expected
        assert await in_pages(w, who, 9) == expected
        kinds |= {each[0] for each in expected}
    assert kinds == set(vocabulary.WORK_KINDS)


async def test_whoever_something_waits_for_sees_it(w: Work) -> None:
    """No rule of its own: what is listed is what `access` opens to the same person."""
    seen = 0
    for person in await made_up(w, random.Random(9)):
        who = w.actor = await build.actor(w, person)
        for entry in await waiting.entries(w, who, limit=200):
            await DOORS[entry.subject](w, entry.subject_id)
            seen += 1
    assert seen > 40


async def test_a_system_has_no_list(w: Work) -> None:
    place = await build.institution(w)
    client = await build.system(w, place)
    assert await waiting.entries(w, Actor("system", client.id), limit=9) == []


async def test_each_step_takes_what_waited_from_one_and_gives_it_to_the_other(scene: Scene) -> None:
    """The story of one case: whose turn it is."""

    async def turn(who: tables.Person) -> list[str]:
        entries = await scene.act(who, _of_actor)
        return [entry.kind for entry in entries]

    await scene.ask()
    (offer,) = await scene.rows("SELECT id, starts FROM offer")
    assert (await turn(scene.clinician), await turn(scene.mentor)) == ([], ["offer"])
    await scene.act(scene.mentor, answers.counter, offer.id, [offer.starts[0] + timedelta(days=1)])
    assert (await turn(scene.clinician), await turn(scene.mentor)) == (["counter"], [])
    await scene.act(scene.clinician, answers.accept_counter, offer.id, offer.starts[0] + timedelta(days=1))
    (call,) = await scene.rows("SELECT id, starts_at, ends_at FROM appointment")
    await scene.act(scene.clinician, appointments.move, call.id, call.starts_at + timedelta(days=7, minutes=7))
    assert "move" in await turn(scene.mentor)
    assert "move" not in await turn(scene.clinician)
    await scene.act(scene.mentor, appointments.decline_move, call.id, call.starts_at + timedelta(days=7, minutes=7))
    scene.clock.set(call.starts_at)
    assert (await turn(scene.clinician), await turn(scene.mentor)) == (["join"], ["join"])
    scene.clock.set(call.ends_at)
    assert (await turn(scene.clinician), await turn(scene.mentor)) == (["log"], ["log"])
    entry = sessions.SessionEntry(started_at=call.starts_at, ended_at=call.ends_at, outcome="advice_given")
    session = await scene.act(scene.mentor, sessions.log, call.id, entry)
    assert (await turn(scene.clinician), await turn(scene.mentor)) == (["feedback"], ["feedback"])
    await scene.act(
        scene.clinician, sessions.give_feedback, session.id, is_useful=True, patient_outcome=None, note=None
    )
    assert (await turn(scene.clinician), await turn(scene.mentor)) == ([], ["feedback"])


async def _of_actor(w: Work) -> Sequence[waiting.Entry]:
    return await waiting.entries(w, w.actor, limit=50)
