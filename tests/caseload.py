"""A few months of made-up care for the tests of reports, and how they read a report."""

import random
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import httpx
import sqlalchemy as sa
from sqlmodel import SQLModel

import build
from integrations.runtime.world import World
from service import tables, vocabulary
from service.kernel import actor, clock

NOW = datetime(2026, 11, 16, 8, tzinfo=UTC)
FROM, UNTIL = date(2026, 9, 1), date(2026, 11, 1)
OPENED, OVER = (datetime(2026, month, 1, tzinfo=ZoneInfo("Europe/Kyiv")).astimezone(UTC) for month in (9, 11))
NOT_HELD = {"no_show_mentor", "no_show_clinician", "cancelled_late"}
Row = Any


class Caseload:
    """Two memoranda of one hospital, a few months of made-up care, and the rows as they lie in the database."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.dice = random.Random(7)

    async def set_up(self, cases: int) -> None:
        async with self.world.database.work(actor.TIMER) as w:
            self.programme = await build.programme(w)
            self.asking = await build.institution(w, region="UA-74")
            self.partners = [await build.partner(w), await build.partner(w, country="LT", zone="Europe/Vilnius")]
            self.clinician = await build.clinician(w, self.asking)
            self.coordinator = await build.coordinator(w, self.asking)
            self.admin = await build.admin(w)
            self.mentors = [[await build.mentor(w, partner) for _ in range(4)] for partner in self.partners]
            self.memoranda = [await build.memorandum(w, self.asking, partner) for partner in self.partners]
            await build.specialty(w, "neonatology")
            for _ in range(cases):
                w.add(*self._case())
        self.rows: dict[str, list[Row]] = {}
        async with self.world.database.work(actor.TIMER) as w:
            for table in ("consultation", "offer", "session", "feedback"):
                self.rows[table] = list((await w.sql(sa.text(f"SELECT * FROM {table}"))).all())

    def under(self, kind: str) -> UUID:
        """Give the first memorandum, the programme or the hospital, by the word of their addresses."""
        ids = {"memoranda": self.memoranda[0].id, "programmes": self.programme.id, "institutions": self.asking.id}
        return ids[kind]

    def _case(self) -> list[SQLModel]:
        dice = self.dice
        opened = NOW - timedelta(minutes=dice.randrange(60 * 24 * 90))
        priority = dice.choice(vocabulary.PRIORITIES)
        due = opened + {"routine": timedelta(days=7), "urgent": timedelta(days=1)}.get(priority, timedelta(hours=8))
        state = dice.choice(["completed", "completed", "completed", "offered", "unmatched", "cancelled", "expired"])
        asked = tables.Consultation(
            id=clock.new_id(),
            created_at=opened,
            programme_id=self.programme.id,
            institution_id=self.asking.id,
            clinician_id=self.clinician.id,
            specialty_code=dice.choice(["paediatrics", "neonatology"]),
            priority=priority,
            mode="either",
            state=state,
            age_band="child",
            duration_minutes=30,
            opened_at=opened,
            answer_due_at=due,
            closed_at=opened + timedelta(minutes=dice.randrange(60, 20_000)) if state != "offered" else None,
        )
        side, waves = dice.randrange(2), dice.randrange(1, 4)
        mentors = dice.sample(self.mentors[side], waves)
        rows: list[SQLModel] = [asked]
        for wave, mentor in enumerate(mentors, start=1):
            rows.append(self._offer(asked, mentor, side, wave, is_last=wave == waves))
        if state == "completed":
            rows += self._session(asked, mentors[-1], side)
        return rows

    def _offer(
        self, asked: tables.Consultation, mentor: tables.Person, side: int, wave: int, *, is_last: bool
    ) -> tables.Offer:
        dice = self.dice
        accepted = is_last and asked.state in {"completed", "offered", "cancelled"} and dice.random() < 0.9
        state = "accepted" if accepted else dice.choice(["declined", "expired", "withdrawn", "pending"])
        sent_at = asked.created_at + timedelta(hours=4 * (wave - 1))
        return tables.Offer(
            id=clock.new_id(),
            created_at=sent_at,
            consultation_id=asked.id,
            mentor_id=mentor.id,
            institution_id=self.partners[side].id,
            memorandum_id=self.memoranda[side].id,
            route="direct",
            kind="either",
            state=state,
            wave=wave,
            sent_at=sent_at,
            answer_by=sent_at + timedelta(hours=4),
            answered_at=sent_at + timedelta(minutes=dice.randrange(1, 600)) if accepted else None,
            decline_reason=dice.choice(["wrong_specialty", "busy"]) if state == "declined" else None,
        )

    def _session(self, asked: tables.Consultation, mentor: tables.Person, side: int) -> list[SQLModel]:
        dice = self.dice
        assert asked.answer_due_at
        started = asked.answer_due_at - timedelta(minutes=dice.randrange(-300, 450))
        minutes = dice.randrange(5, 60)
        made = tables.Session(
            id=clock.new_id(),
            consultation_id=asked.id,
            memorandum_id=self.memoranda[side].id,
            programme_id=self.programme.id,
            route=dice.choice(["direct", "network"]),
            mode=dice.choice(["live", "live", "written"]),
            specialty_code=asked.specialty_code,
            priority=asked.priority,
            requesting_institution_id=self.asking.id,
            partner_institution_id=self.partners[side].id,
            clinician_id=self.clinician.id,
            mentor_id=mentor.id,
            participants=[self.clinician.id, mentor.id],
            started_at=started,
            ended_at=started + timedelta(minutes=minutes),
            minutes=minutes,
            outcome=dice.choice(["advice_given", "plan_changed"] * 2 + [*vocabulary.SESSION_OUTCOMES]),
            is_civil_for_requester=dice.random() < 0.8,
            is_civil_for_mentor=dice.random() < 0.6,
            is_corrected=dice.random() < 0.1,
        )
        answers = [
            tables.Feedback(
                id=clock.new_id(),
                session_id=made.id,
                person_id=who.id,
                side=their,
                is_useful=dice.random() < 0.7,
                patient_outcome=dice.choice([None, "better", "same"]),
                given_at=NOW,
            )
            for who, their in ((self.clinician, "requesting"), (mentor, "partner"))
            if dice.random() < 0.5
        ]
        return [made, *answers]

    async def get(self, client: httpx.AsyncClient, who: tables.Person, path: str) -> httpx.Response:
        return await client.get(path, headers=await build.bearer(self.world, who))

    def period(self, table: str, column: str, keep: Callable[[Row], bool]) -> list[Row]:
        return [row for row in self.rows[table] if (at := getattr(row, column)) and OPENED <= at < OVER and keep(row)]


def by_name(answer: httpx.Response) -> dict[str, dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    return {figure["name"]: figure for figure in answer.json()["figures"]}


def parts(figure: dict[str, Any]) -> dict[str, Any]:
    return {part["key"]: part["value"] for part in figure["parts"]}
