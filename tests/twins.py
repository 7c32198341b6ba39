"""The twin: the same cases through the service and through the lab give the same offers, in order, at the same dates.

The lab takes the ids of its mentors and requests into the database, since ties are broken by them. What it answers at
an instant is answered there in the service, between sweeps at every instant at which the lab does something. Sessions
are logged on neither side. `tests/lab/test_twin.py` has a few cases of it, `tests/drills/test_twin.py` two hundred.
"""

import csv
from collections.abc import Iterable
from datetime import datetime
from importlib import resources
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa
from sqlmodel import col

import build
from integrations.runtime.world import World as Database
from lab import registry, worlds, year
from lab.behaviours import MODELS, Mentors
from lab.calendars import Calendars
from lab.draws import Draws
from lab.policies import POLICIES
from lab.registry import BEGINS, Size
from lab.worlds import Setting, World
from lab.year import Answered, Run
from service import tables, timers
from service.care import answers, casefile, offers
from service.kernel import actor, clock, errors
from service.kernel.work import Work
from service.rules.case import Mentor
from world import TestClock

POLICY = POLICIES["now"]
Sent = tuple[int, int, datetime, datetime, tuple[datetime, ...]]


class Answer(NamedTuple):
    """What a mentor took, and what the service refused them before."""

    taken: str
    refusals: list[str]


def _taken(start: datetime | None) -> str:
    return f"{start:%d %H:%M}" if start else "in writing"


class Service:
    """The world of a seed as rows, and what the lab does there done here."""

    def __init__(self, database: Database, test_clock: TestClock, world: World) -> None:
        self._database, self._clock, self._world = database.database, test_clock, world
        self._hospitals: list[tables.Institution] = []
        self._clinicians: list[tables.Person] = []

    async def fill(self, plan: registry.Plan) -> None:
        built = self._world.registry
        async with self._database.work(actor.TIMER) as w:
            await _specialties(w)
            self._hospitals = [await build.institution(w) for _ in built.hospitals]
            partners = [
                await build.partner(w, country=each.country, zone=each.zone, working_weekdays=[0, 1, 2, 3, 4])
                for each in plan.partners
            ]
            for hospital, partner, _ in plan.memoranda:
                await build.memorandum(w, self._hospitals[hospital], partners[partner])
            self._clinicians = [await build.clinician(w, self._hospitals[each.hospital]) for each in built.clinicians]
            for each in built.mentors:
                await _mentor(w, partners[each.partner], each.base)

    async def file(self, number: int) -> None:
        request, case = self._world.requests[number], self._world.cases[number]
        clinician = self._clinicians[request.clinician]
        async with self._database.work(actor.TIMER) as w:
            await build.add(
                w,
                tables.Consultation(
                    id=case.consultation_id,
                    programme_id=(await build.programme(w)).id,
                    institution_id=self._hospitals[self._world.registry.clinicians[request.clinician].hospital].id,
                    clinician_id=clinician.id,
                    created_by=clinician.id,
                    specialty_code=case.specialty,
                    priority=case.priority,
                    mode=case.mode,
                    state="open",
                    question=w.seal("What next?", case.consultation_id),
                    languages=sorted(case.languages),
                    age_band=case.age_band,
                    duration_minutes=case.minutes,
                    consent_scope="general",
                    consent_countries=["CA", "US"],
                    consent_given_on=w.now.date(),
                    opened_at=w.now,
                    answer_due_at=case.answer_due_at,
                    created_at=w.now,
                ),
            )
        async with self._database.work(actor.TIMER) as w:
            await offers.first_wave(await casefile.open_case(w, case.consultation_id))

    async def sweep(self, at: datetime) -> None:
        self._clock.set(at)
        assert await timers.once(self._database) == []
        async with self._database.work(actor.TIMER) as w:  # mails leave at once
            await w.sql(sa.text("UPDATE delivery SET offer_id = NULL WHERE offer_id IS NOT NULL"))

    async def answer(self, number: int, mentor: int, *, accepts: bool) -> Answer:
        """Accept the first of the offered times that can be had, else another, else in writing; decline what cannot be.

        Gives what was taken, and what was refused on the way there and why.
        """
        case, who = self._world.cases[number], self._world.registry.mentors[mentor].base.person_id
        async with self._database.work(actor.TIMER) as w:
            row = (
                await w.sql(
                    sa.select(tables.Offer).where(
                        col(tables.Offer.consultation_id) == case.consultation_id, col(tables.Offer.mentor_id) == who
                    )
                )
            ).scalar_one()
            acting = await build.actor(w, await w.read(tables.Person, who))
            ahead: list[datetime | None] = [start for start in row.starts if start > w.now]
        refusals: list[str] = []
        if accepts:
            async with self._database.work(acting) as w:
                others = await answers.next_starts(w, await w.read(tables.Offer, row.id))
            written: list[datetime | None] = [None] if row.kind != "live" else []
            for start in (*ahead, *others, *written):
                try:
                    async with self._database.work(acting) as w:
                        await answers.accept(w, row.id, start)
                except (errors.SlotTaken, errors.GateRefused, errors.TimeNotBookable) as error:
                    refusals.append(f"{_taken(start)}: {type(error).__name__} {getattr(error, 'reasons', '')}")
                    continue
                return Answer(_taken(start), refusals)
        async with self._database.work(acting) as w:
            await answers.decline(w, row.id, "busy")
        return Answer("declined", refusals)

    async def sent(self) -> list[Sent]:
        numbers = {case.consultation_id: number for number, case in enumerate(self._world.cases)}
        mentors = {each.base.person_id: number for number, each in enumerate(self._world.registry.mentors)}
        async with self._database.work(actor.TIMER) as w:
            rows = (await w.sql(sa.select(tables.Offer))).scalars()
            return sorted(
                (numbers[row.consultation_id], mentors[row.mentor_id], row.sent_at, row.answer_by, tuple(row.starts))
                for row in rows
            )


async def _specialties(w: Work) -> None:
    text = resources.files("service").joinpath("data/specialties.csv").read_text("utf-8")
    rows = list(csv.DictReader(text.splitlines()))
    for row in rows:
        await build.specialty(w, row["code"], row["parent"] or None)
    second = [(row["code"], also) for row in rows for also in row["also_parents"].split(";") if also]
    for code, also in second:
        await build.add(w, tables.SpecialtyParent(code=code, also_parent_code=also))


async def _mentor(w: Work, partner: tables.Institution, base: Mentor) -> None:
    who = await build.mentor(
        w,
        partner,
        id=base.person_id,
        specialties=sorted(base.specialties),
        languages=base.languages,
        weekly=base.hours.weekly,
        verified_until=base.verified_until,
        profile={"treats_children": base.treats_children, "opt_ins": sorted(base.opt_ins)},
    )
    for each in base.hours.exceptions:
        away: dict[str, Any] = {"from_wall": each.from_wall, "until_wall": each.until_wall, "kind": each.kind}
        await build.add(w, tables.AvailabilityException(id=clock.new_id(), person_id=who.id, **away))


def in_the_lab(world: World, monkeypatch: pytest.MonkeyPatch) -> tuple[Run, list[tuple[datetime, int, Any]]]:
    """Give the lab's year, and everything that it did, in its order."""
    steps: list[tuple[datetime, int, Any]] = []
    monkeypatch.setattr(Calendars, "_meet", lambda *_: None)
    plan = year._Year._plan

    def noted(self: year._Year, at: datetime, kind: int, subject: object) -> None:
        steps.append((at, kind, subject))
        plan(self, at, kind, subject)

    monkeypatch.setattr(year._Year, "_plan", noted)
    run = year.live(world, POLICY, Mentors(MODELS["clock"], world.registry, world.draws))
    return run, sorted(steps, key=lambda step: step[:2])


async def both(
    database: Database,
    test_clock: TestClock,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
    size: Size,
    days: int,
    cases: int,
) -> tuple[list[str], list[str]]:
    """Give the offers of the service and those of the lab, of so many cases of a seed, as lines."""
    plan = registry.plan("small", Draws(seed), size)
    made = worlds.make(Setting("small", "even", days, cases, plan), seed)
    run, steps = in_the_lab(made, monkeypatch)
    test_clock.set(BEGINS)
    service = Service(database, test_clock, made)
    await service.fill(plan)
    taken: set[int] = set()
    for at, kind, subject in steps:
        test_clock.set(at)
        if kind == year._FILED:
            await service.file(subject.number)
        await service.sweep(at)
        if kind == year._ANSWER and subject[0].number not in taken:
            case, offer, reaction = subject
            if offer.state == "withdrawn":
                continue
            answer = await service.answer(case.number, offer.mentor, accepts=reaction.accepts)
            expected = _expected(run.answers.get(case.number), offer.mentor)
            assert answer.taken == expected, (f"case {case.number}, mentor {offer.mentor}, {at}", answer, expected)
            if expected != "declined":
                taken.add(case.number)
            await service.sweep(at)  # whoever is next after a decline is asked at once, as in the lab
    return shown(await service.sent()), shown(sorted(run.offers))


def _expected(answered: Answered | None, mentor: int) -> str:
    """Say what the mentor took in the lab."""
    if answered is None or answered.mentor != mentor:
        return "declined"
    return _taken(answered.at if answered.is_live else None)


def shown(sent: Iterable[Sent]) -> list[str]:
    """Give each offer as a line, so that a difference can be read."""
    return [
        f"{case} {mentor} {at:%d %H:%M:%S} until {until:%d %H:%M:%S}: {[f'{start:%d-%H:%M}' for start in starts]}"
        for case, mentor, at, until, starts in sent
    ]
