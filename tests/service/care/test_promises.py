"""What is promised at filing: counted from rows whose time was over, told with its sample, judged (decision 0107)."""

from datetime import timedelta
from typing import Any

import httpx
import pytest

import build
import flow
from integrations.runtime.world import World
from service import tables
from service.care import promises
from service.kernel import actor, clock
from service.rules.promise import Outcomes, Record, Stratum
from world import TestClock

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
DUE = 24 * HOUR  # of an urgent request
LIKE = Stratum("urgent", 2, "live")


class Past(flow.Scene):
    """A scene with requests that were filed long ago."""

    async def filed_before(
        self,
        count: int,
        answered_after: timedelta | None = None,
        *,
        ago: timedelta = 30 * DAY,
        session: dict[str, Any] | None = None,
        **fields: Any,  # noqa: ANN401 - of the request
    ) -> None:
        """Have so many requests; each has a session that began so long after it was filed, if it had one."""
        async with self.world.database.work(actor.TIMER) as w:
            opened_at = w.now - ago
            due = opened_at + DUE
            usual: dict[str, Any] = {
                "priority": "urgent", "state": "completed", "opened_at": opened_at, "closed_at": due,
                "answer_due_at": due, "eligible_mentors": 2, "promised_by": due,
            }  # fmt: skip
            for _ in range(count):
                row = await build.consultation(w, self.people["clinician"], self.asking, **(usual | fields))
                if answered_after is not None:
                    await self._session(w, row, opened_at + answered_after, session or {})

    async def _session(self, w: Any, row: tables.Consultation, at: Any, fields: dict[str, Any]) -> None:  # noqa: ANN401
        values = {"consultation_id": row.id, "memorandum_id": self.memorandum.id, "programme_id": row.programme_id,
                  "route": "direct", "mode": "live", "specialty_code": row.specialty_code, "priority": row.priority,
                  "requesting_institution_id": self.asking.id, "partner_institution_id": self.lille.id,
                  "clinician_id": row.clinician_id, "mentor_id": self.people["mentor"].id, "started_at": at,
                  "ended_at": at + HOUR, "minutes": 30, "outcome": "advice_given", "is_civil_for_requester": True,
                  "is_civil_for_mentor": True}  # fmt: skip
        await build.add(w, tables.Session(id=clock.new_id(), **(values | fields)))

    async def recount(self) -> Record:
        async with self.world.database.work(actor.TIMER) as w:
            return await promises.recount(w, self.programme.id)

    async def file(self, **fields: Any) -> Any:  # noqa: ANN401 - JSON
        return await self.post("clinician", "/v1/consultations", self.wish(**fields), 201)


@pytest.fixture
async def scene(world: World, test_clock: TestClock, client: httpx.AsyncClient) -> Past:
    made = Past(world, test_clock, client)
    await made.set_up()
    return made


async def test_a_filing_is_told_how_many_such_requests_were_answered_in_time_and_when_half_were(scene: Past) -> None:
    await scene.filed_before(10, 2 * HOUR)
    await scene.filed_before(16, 5 * HOUR)
    await scene.filed_before(8)
    await scene.recount()
    filed = await scene.file()
    assert filed["promise"] == {
        "kind": "counted",
        "requests": 34,
        "answered_in_time": 26,
        "half_by": flow.instant(scene.clock.now() + 5 * HOUR),
    }
    again = await scene.get("clinician", f"/v1/consultations/{filed['id']}")
    assert again["promise"] is None
    (row,) = await scene.rows("SELECT * FROM consultation WHERE id = :id", id=filed["id"])
    assert (row.eligible_mentors, row.promised_by) == (2, row.answer_due_at)
    assert row.promised_chance == pytest.approx(26 / 34, abs=0.1)


async def test_a_draft_that_is_opened_and_a_request_of_a_batch(scene: Past) -> None:
    await scene.filed_before(20, HOUR)
    await scene.recount()
    draft = await scene.post("clinician", "/v1/consultations", {**scene.wish(), "consent": None}, 201)
    assert draft["promise"] is None
    consent = scene.wish()["consent"]
    opened = await scene.post("clinician", f"/v1/consultations/{draft['id']}/consent", consent)
    assert opened["promise"]["requests"] == 20
    answer = await scene.call(
        "clinician", "POST", "/v1/consultations", scene.wish(), status=201, headers={"Prefer": "respond-async"}
    )
    assert answer.json()["promise"] is None
    await scene.sweep()
    (row,) = await scene.rows("SELECT * FROM consultation WHERE id = :id", id=answer.json()["id"])
    assert (row.eligible_mentors, row.promised_chance is not None) == (2, True)


@pytest.mark.parametrize(("count", "is_told"), [(19, False), (20, True)])
async def test_below_twenty_such_requests_nothing_is_said(scene: Past, count: int, is_told: bool) -> None:
    await scene.filed_before(count, HOUR)
    await scene.filed_before(25, HOUR, eligible_mentors=3)
    await scene.recount()
    filed = await scene.file()
    assert (filed["promise"] is not None) is is_told
    (row,) = await scene.rows("SELECT * FROM consultation WHERE id = :id", id=filed["id"])
    assert (row.promised_chance is not None) is is_told


async def test_that_nobody_is_eligible_is_said_whatever_the_rows_say(scene: Past) -> None:
    await scene.filed_before(30, HOUR, eligible_mentors=0)
    await scene.recount()
    filed = await scene.file(languages=["ja"])
    assert filed["promise"] == {"kind": "nobody_eligible", "requests": None, "answered_in_time": None, "half_by": None}
    (row,) = await scene.rows("SELECT * FROM consultation WHERE id = :id", id=filed["id"])
    assert (row.eligible_mentors, row.promised_chance) == (0, None)


COUNTED: list[tuple[dict[str, Any], Outcomes | None]] = [
    ({"answered_after": 3 * HOUR}, Outcomes(1, 1, 3.0)),
    ({}, Outcomes(1, 0, None)),
    ({"answered_after": DUE}, Outcomes(1, 1, 24.0)),
    ({"answered_after": DUE + HOUR}, Outcomes(1, 0, None)),
    ({"state": "cancelled", "cancel_reason": "resolved_locally"}, Outcomes(1, 0, None)),
    ({"state": "cancelled", "cancel_reason": "filed_by_mistake"}, None),
    ({"answered_after": HOUR, "session": {"outcome": "no_show_mentor"}}, Outcomes(1, 0, None)),
    ({"answered_after": HOUR, "session": {"is_corrected": True}}, Outcomes(1, 0, None)),
    ({"answered_after": HOUR, "session": {"mode": "written"}}, Outcomes(1, 1, 2.0)),
    ({"answered_after": HOUR, "ago": 3 * DAY - HOUR}, None),  # its time was over less than two days ago
    ({"answered_after": HOUR, "ago": 3 * DAY}, Outcomes(1, 1, 1.0)),
    ({"answered_after": HOUR, "ago": 366 * DAY}, None),
    ({"answered_after": HOUR, "eligible_mentors": None}, None),
]


@pytest.mark.parametrize(("past", "expected"), COUNTED)
async def test_what_is_counted(scene: Past, past: dict[str, Any], expected: Outcomes | None) -> None:
    await scene.filed_before(1, **past)
    assert (await scene.recount()).outcomes.get(LIKE) == expected


async def test_four_mentors_and_more_are_one_kind_and_the_kept_record_is_what_was_counted(scene: Past) -> None:
    await scene.filed_before(2, HOUR, eligible_mentors=4)
    await scene.filed_before(3, HOUR, eligible_mentors=70, promised_chance=1.0)
    await scene.filed_before(2, eligible_mentors=1, promised_chance=0.25)
    record = await scene.recount()
    assert record.outcomes[Stratum("urgent", 4, "live")] == Outcomes(5, 5, 1.0)
    assert {number: each.promises for number, each in record.bins.items()} == {2: 2, 9: 3}
    async with scene.world.database.work(actor.TIMER) as w:
        assert await promises._record(w, scene.programme.id) == record


async def test_promises_that_prove_wrong_are_switched_off_and_told_and_come_back(scene: Past) -> None:
    await scene.filed_before(90, promised_chance=0.85)
    await scene.filed_before(30, HOUR, promised_chance=0.85)
    assert await promises.recount_due(scene.world.database) == [promises.Switched(scene.programme.code, is_off=True)]
    assert await promises.recount_due(scene.world.database) == []  # counted within the hour
    assert (await scene.file())["promise"] is None
    assert (await scene.file(languages=["ja"]))["promise"]["kind"] == "nobody_eligible"
    shown = await scene.get("admin", f"/v1/programmes/{scene.programme.id}/promises")
    assert shown["is_off"] is True
    assert shown["tenths"] == [
        {"from_chance": 0.8, "until_chance": 0.9, "promises": 120, "mean_chance": 0.85, "answered_in_time": 30,
         "is_off": True}
    ]  # fmt: skip
    figures = (await scene.client.get("/metrics")).text
    assert f'pobratym_promise_off{{programme="{scene.programme.code}"}} 1.0' in figures

    await scene.filed_before(330, HOUR, promised_chance=0.85)
    scene.clock.forward(hours=1, seconds=1)
    assert await promises.recount_due(scene.world.database) == [promises.Switched(scene.programme.code, is_off=False)]
    assert (await scene.file())["promise"]["requests"] == 450
    assert "pobratym_promise_off{" not in (await scene.client.get("/metrics")).text


async def test_a_programme_without_a_count_shows_none(scene: Past) -> None:
    shown = await scene.get("admin", f"/v1/programmes/{scene.programme.id}/promises")
    assert shown == {"counted_at": None, "is_off": False, "tenths": []}
