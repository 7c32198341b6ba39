"""Reports over HTTP, every figure against one counted here from the rows themselves."""

import random
import statistics
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
import sqlalchemy as sa
from sqlmodel import SQLModel

import build
from integrations.world import World
from service import actor, clock, tables

NOW = datetime(2026, 11, 16, 8, tzinfo=UTC)
FROM, UNTIL = date(2026, 9, 1), date(2026, 11, 1)
OPENED, OVER = (datetime(2026, month, 1, tzinfo=ZoneInfo("Europe/Kyiv")).astimezone(UTC) for month in (9, 11))
NOT_HELD = {"no_show_mentor", "no_show_clinician", "cancelled_late"}
Row = Any


class Scene:
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

    def _case(self) -> list[SQLModel]:
        dice = self.dice
        opened = NOW - timedelta(minutes=dice.randrange(60 * 24 * 90))
        priority = dice.choice(tables.care.PRIORITIES)
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
            outcome=dice.choice(["advice_given", "plan_changed"] * 6 + [*tables.log.OUTCOMES]),
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


@pytest.fixture
async def scene(world: World) -> Scene:
    made = Scene(world)
    await made.set_up(cases=200)
    return made


@pytest.fixture
async def unused(world: World) -> Scene:
    """The same people and memoranda, before anything happened."""
    made = Scene(world)
    await made.set_up(cases=0)
    return made


def by_name(answer: httpx.Response) -> dict[str, dict[str, Any]]:
    assert answer.status_code == 200, answer.text
    return {figure["name"]: figure for figure in answer.json()["figures"]}


def parts(figure: dict[str, Any]) -> dict[str, Any]:
    return {part["key"]: part["value"] for part in figure["parts"]}


async def of_memorandum(scene: Scene, client: httpx.AsyncClient, number: int = 0) -> dict[str, dict[str, Any]]:
    path = f"/v1/memoranda/{scene.memoranda[number].id}/report?from={FROM}&until={UNTIL}"
    return by_name(await scene.get(client, scene.coordinator, path))


def cohort(scene: Scene) -> list[Row]:
    under = {row.consultation_id for row in scene.rows["offer"] if row.memorandum_id == scene.memoranda[0].id}
    return scene.period("consultation", "opened_at", lambda row: row.id in under)


def logged(scene: Scene) -> list[Row]:
    wanted = scene.memoranda[0].id
    return scene.period("session", "started_at", lambda row: row.memorandum_id == wanted and not row.is_corrected)


def sent(scene: Scene) -> list[Row]:
    return scene.period("offer", "sent_at", lambda row: row.memorandum_id == scene.memoranda[0].id)


def accepted_at(scene: Scene, asked: Row) -> datetime | None:
    found = [o.answered_at for o in scene.rows["offer"] if o.consultation_id == asked.id and o.state == "accepted"]
    return min(found, default=None)


def answered_at(scene: Scene, asked: Row) -> datetime | None:
    held = [
        row
        for row in scene.rows["session"]
        if row.consultation_id == asked.id and not row.is_corrected and row.outcome not in NOT_HELD
    ]
    return min((row.ended_at if row.mode == "written" else row.started_at for row in held), default=None)


def hours(pairs: Iterable[tuple[datetime, datetime | None]]) -> list[float]:
    return [(end - start).total_seconds() / 3600 for start, end in pairs if end]


async def test_consultations_are_counted_by_state_and_priority(scene: Scene, client: httpx.AsyncClient) -> None:
    figures, filed = await of_memorandum(scene, client), cohort(scene)

    assert figures["consultations_filed"]["value"] == len(filed) > 10
    assert parts(figures["consultations_filed"]) == Counter(row.priority for row in filed)
    for state in ("completed", "unmatched", "cancelled", "expired"):
        assert figures[f"consultations_{state}"]["value"] == sum(row.state == state for row in filed)


@pytest.mark.parametrize("name", ["allocation", "answer", "closing"])
async def test_times_are_medians_and_quartiles_by_priority(scene: Scene, client: httpx.AsyncClient, name: str) -> None:
    figure = (await of_memorandum(scene, client))[f"hours_to_{name}"]
    reached = {
        "allocation": lambda row: accepted_at(scene, row),
        "answer": lambda row: answered_at(scene, row),
        "closing": lambda row: row.closed_at if row.state == "completed" else None,
    }[name]
    taken = hours((row.opened_at, reached(row)) for row in cohort(scene))

    assert figure["value"] == pytest.approx(statistics.median(taken))
    assert figure["rows"] == len(taken)
    for part in figure["parts"]:
        of_priority = hours((row.opened_at, reached(row)) for row in cohort(scene) if row.priority == part["key"])
        assert part["rows"] == len(of_priority)
        if len(of_priority) > 1:
            expected = statistics.quantiles(of_priority, n=4, method="inclusive")
            assert [part["lower_quartile"], part["value"], part["upper_quartile"]] == pytest.approx(expected)


async def test_shares_in_time_leave_out_what_is_undecided(scene: Scene, client: httpx.AsyncClient) -> None:
    figures = await of_memorandum(scene, client)
    for name, reached in (("allocated", accepted_at), ("answered", answered_at)):
        at = {row.id: reached(scene, row) for row in cohort(scene)}
        decided = [
            row for row in cohort(scene) if at[row.id] or (row.answer_due_at <= NOW and row.state != "cancelled")
        ]
        in_time = [row for row in decided if at[row.id] and at[row.id] <= row.answer_due_at]
        assert figures[f"share_{name}_in_time"]["value"] == pytest.approx(len(in_time) / len(decided))
        assert figures[f"share_{name}_in_time"]["rows"] == len(decided)
    answered = [row for row in decided if at[row.id]]
    quick = [row for row in answered if at[row.id] - row.opened_at <= timedelta(days=1)]
    assert figures["share_answered"]["value"] == pytest.approx(len(answered) / len(decided))
    assert figures["share_answered_within_day"]["value"] == pytest.approx(
        len(quick) / figures["share_answered_within_day"]["rows"]
    )


async def test_first_waves_and_backups_are_shares_of_consultations(scene: Scene, client: httpx.AsyncClient) -> None:
    figures = await of_memorandum(scene, client)
    offers = {row.id: [o for o in scene.rows["offer"] if o.consultation_id == row.id] for row in cohort(scene)}
    first = {key: [o for o in each if o.wave == 1] for key, each in offers.items()}
    over = [each for each in first.values() if each and not any(o.state in {"pending", "countered"} for o in each)]
    taken = [each for each in over if any(o.state == "accepted" for o in each)]
    backed = [each for each in offers.values() if max(o.wave for o in each) > 1]

    assert figures["share_first_wave_accepted"]["value"] == pytest.approx(len(taken) / len(over))
    assert figures["share_needing_backup"]["value"] == pytest.approx(len(backed) / len(offers))


async def test_offers_are_counted_by_the_memorandum_they_were_sent_under(
    scene: Scene, client: httpx.AsyncClient
) -> None:
    figures, offers = await of_memorandum(scene, client), sent(scene)
    weeks = (OVER - OPENED) / timedelta(days=7)
    weekly = Counter((row.mentor_id, (row.sent_at - OPENED) // timedelta(days=7)) for row in offers)

    assert figures["offers_sent"]["value"] == len(offers)
    assert figures["wrong_specialty_declines"]["value"] == sum(
        row.decline_reason == "wrong_specialty" for row in offers
    )
    per_week = len(offers) / len({row.mentor_id for row in offers}) / weeks
    assert figures["offers_per_mentor_week"]["value"] == pytest.approx(per_week)
    assert parts(figures["offers_per_mentor_week"]) == {"most": max(weekly.values())}


async def test_sessions_minutes_and_advices_leave_corrected_entries_out(
    scene: Scene, client: httpx.AsyncClient
) -> None:
    figures, rows = await of_memorandum(scene, client), logged(scene)
    live = [row for row in rows if row.mode == "live"]
    held = [row for row in live if row.outcome not in NOT_HELD]

    assert figures["sessions"]["value"] == len(held) > 3
    assert parts(figures["sessions"]) == Counter(row.outcome for row in live)
    assert figures["minutes"]["value"] == sum(row.minutes for row in rows)
    assert figures["written_advices"]["value"] == len(rows) - len(live)
    assert parts(figures["routes"]) == Counter(row.route for row in rows)
    broken = Counter(row.outcome.split("_")[1] for row in live if row.outcome.startswith("interrupted"))
    assert parts(figures["interruptions"]) == broken
    for side in ("requester", "mentor"):
        outside = [row for row in held if not getattr(row, f"is_civil_for_{side}")]
        assert figures[f"share_outside_civil_hours_{side}"]["value"] == pytest.approx(len(outside) / len(held))


async def test_the_spread_of_minutes_counts_mentors_asked_in_vain(scene: Scene, client: httpx.AsyncClient) -> None:
    figures = await of_memorandum(scene, client)
    minutes = dict.fromkeys((row.mentor_id for row in sent(scene)), 0)
    for row in logged(scene):
        minutes[row.mentor_id] = minutes.get(row.mentor_id, 0) + row.minutes
    values = list(minutes.values())
    pairwise = sum(abs(a - b) for a in values for b in values) / (2 * len(values) * sum(values))

    assert figures["mentor_minutes_gini"]["value"] == pytest.approx(pairwise)
    assert figures["mentor_minutes_top_quarter"]["value"] == pytest.approx(max(values) / sum(values))


async def test_follow_up_areas_and_places_are_counted(scene: Scene, client: httpx.AsyncClient) -> None:
    figures, rows = await of_memorandum(scene, client), logged(scene)
    of_period = {
        row.id for row in scene.period("session", "started_at", lambda row: row.memorandum_id == scene.memoranda[0].id)
    }
    answers = [row for row in scene.rows["feedback"] if row.session_id in of_period]

    assert figures["follow_up_answers"]["value"] == len(answers) > 0
    useful = Counter(row.side for row in answers if row.is_useful)
    assert parts(figures["follow_up_answers"])["requesting_useful"] == useful["requesting"]
    assert parts(figures["areas"]) == Counter(row.specialty_code for row in rows)
    assert parts(figures["partner_countries"]) == {"FR": len(rows)}
    assert parts(figures["requesting_regions"]) == {"UA-74": len(rows)}


async def test_a_programme_and_an_institution_report_on_everything_of_theirs(
    scene: Scene, client: httpx.AsyncClient
) -> None:
    period = f"from={FROM}&until={UNTIL}"
    of_programme = by_name(await scene.get(client, scene.admin, f"/v1/programmes/{scene.programme.id}/report?{period}"))
    path = f"/v1/institutions/{scene.asking.id}/report?{period}&zone=Europe/Kyiv"
    of_institution = by_name(await scene.get(client, scene.coordinator, path))
    everything = scene.period("session", "started_at", lambda row: not row.is_corrected)

    assert of_programme["minutes"]["value"] == sum(row.minutes for row in everything)
    assert of_institution["minutes"]["value"] == of_programme["minutes"]["value"]
    assert of_institution["offers_sent"]["value"] == of_programme["offers_sent"]["value"]
    assert parts(of_programme["memoranda"]) == {"active": 2}
    assert of_institution["consultations_filed"]["value"] == len(
        scene.period("consultation", "opened_at", lambda _: True)
    )


async def test_an_admin_of_another_programme_sees_nothing_of_an_institution(
    scene: Scene, client: httpx.AsyncClient
) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        other = await build.admin(w, await build.programme(w, code="uz-partnership"))
    figures = by_name(await scene.get(client, other, f"/v1/institutions/{scene.asking.id}/report"))

    assert figures["minutes"]["value"] == figures["offers_sent"]["value"] == figures["memoranda"]["value"] == 0


async def test_a_counter_is_an_allocation_when_the_other_side_takes_it(
    unused: Scene, client: httpx.AsyncClient
) -> None:
    opened = datetime(2026, 9, 7, 8, tzinfo=UTC)
    async with unused.world.database.work(actor.TIMER) as w:
        asking, partner = await build.institution(w), await build.partner(w)
        clinician, mentor = await build.clinician(w, asking), await build.mentor(w, partner)
        memorandum = await build.memorandum(w, asking, partner)
        asked = await build.consultation(w, clinician, asking, opened_at=opened, state="scheduled")
        offer = await build.offer(
            w, asked, mentor, memorandum, state="accepted", sent_at=opened, answered_at=opened + timedelta(hours=1),
            counter_starts=[opened + timedelta(days=2)],
        )  # fmt: skip
        booked = await build.appointment(w, asked, mentor, memorandum, created_at=opened + timedelta(hours=5))
        taking_part = sa.text("UPDATE participant SET offer_id = :offer WHERE appointment_id = :appointment")
        await w.sql(taking_part, {"offer": offer.id, "appointment": booked.id})
        await w.sql(sa.text("UPDATE participant SET offer_id = NULL WHERE role <> 'mentor'"))
    figures = by_name(await unused.get(client, unused.admin, f"/v1/memoranda/{memorandum.id}/report"))

    assert figures["hours_to_allocation"]["value"] == pytest.approx(5)


async def test_hours_left_and_idle_days_are_of_now(scene: Scene, client: httpx.AsyncClient) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        partner = await build.partner(w)
        fresh = await build.memorandum(
            w, scene.asking, partner, budget_minutes=90, budget_per="year", valid_from=date(2026, 11, 1)
        )
    figures = by_name(await scene.get(client, scene.coordinator, f"/v1/memoranda/{fresh.id}/report"))
    used = await of_memorandum(scene, client)
    last = max(row.started_at for row in scene.rows["session"]
               if row.memorandum_id == scene.memoranda[0].id and not row.is_corrected)  # fmt: skip

    assert (figures["hours_left"]["value"], figures["idle_days"]["value"]) == (1.5, 15)
    assert (used["hours_left"]["value"], used["idle_days"]["value"]) == (None, max(0, (NOW - last).days))


async def test_an_empty_period_has_counts_of_nothing_and_no_shares(scene: Scene, client: httpx.AsyncClient) -> None:
    path = f"/v1/memoranda/{scene.memoranda[0].id}/report?from=2001-01-01&until=2001-01-02"
    figures = by_name(await scene.get(client, scene.coordinator, path))

    assert figures["sessions"]["value"] == figures["minutes"]["value"] == figures["consultations_filed"]["value"] == 0
    for name in ("hours_to_answer", "share_answered", "mentor_minutes_gini", "offers_per_mentor_week"):
        assert figures[name]["value"] is None


async def test_without_dates_the_report_reaches_from_the_first_day_until_tomorrow(
    unused: Scene, client: httpx.AsyncClient
) -> None:
    answer = await unused.get(client, unused.coordinator, f"/v1/memoranda/{unused.memoranda[0].id}/report")

    assert (answer.json()["from"], answer.json()["until"]) == ("2026-01-01", "2026-11-17")
    assert answer.json()["zone"] == "Europe/Kyiv"


async def test_a_day_begins_when_it_does_in_the_zone(scene: Scene, client: httpx.AsyncClient) -> None:
    first = min(scene.rows["consultation"], key=lambda row: row.opened_at)
    for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):
        day = first.opened_at.astimezone(ZoneInfo(zone)).date()
        path = f"/v1/programmes/{scene.programme.id}/report?until={day}&from={day - timedelta(days=1)}&zone={zone}"
        before = by_name(await scene.get(client, scene.admin, path))
        path = path.replace(f"until={day}", f"until={day + timedelta(days=1)}")
        after = by_name(await scene.get(client, scene.admin, path))
        assert before["consultations_filed"]["value"] == 0
        assert after["consultations_filed"]["value"] >= 1


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("from=2026-11-02&until=2026-11-02", "/query/until"),
        ("from=2026-11-03&until=2026-11-02", "/query/until"),
        ("from=9999-01-01", "/query/from"),
        ("from=0001-01-01", "/query/from"),
        ("until=2026-02-30", "/query/until"),
        ("until=2026-11-02T00:00:00Z", "/query/until"),
        ("until=20261102", "/query/until"),
        ("from=%00", "/query/from"),
        ("zone=Europe", "/query/zone"),
        ("zone=localtime", "/query/zone"),
        ("zone=" + "x" * 5000, "/query/zone"),
    ],
)
async def test_hostile_periods_are_refused_by_name(
    unused: Scene, client: httpx.AsyncClient, query: str, pointer: str
) -> None:
    answer = await unused.get(client, unused.coordinator, f"/v1/memoranda/{unused.memoranda[0].id}/report?{query}")

    assert (answer.status_code, [fault["pointer"] for fault in answer.json()["errors"]]) == (422, [pointer])


async def test_the_farthest_days_there_are_can_be_asked_for(unused: Scene, client: httpx.AsyncClient) -> None:
    path = f"/v1/memoranda/{unused.memoranda[0].id}/report?from=2000-01-01&until=2199-12-31&zone=Pacific/Kiritimati"

    assert (await unused.get(client, unused.coordinator, path)).status_code == 200


async def test_only_coordinators_of_the_parties_and_admins_read_a_memorandums_report(
    unused: Scene, client: httpx.AsyncClient
) -> None:
    async with unused.world.database.work(actor.TIMER) as w:
        elsewhere = await build.institution(w)
        both = await build.coordinator(w, elsewhere)
        await build.grant(w, both, "clinician", unused.asking)
        readers = {
            "own": unused.coordinator,
            "partner": await build.coordinator(w, unused.partners[0]),
            "other partner": await build.coordinator(w, unused.partners[1]),
            "stranger": await build.coordinator(w, elsewhere),
            "both": both,
            "clinician": unused.clinician,
            "mentor": unused.mentors[0][0],
            "admin": unused.admin,
            "other admin": await build.admin(w, await build.programme(w, code="uz-partnership")),
        }
    path = f"/v1/memoranda/{unused.memoranda[0].id}/report"
    statuses = {name: (await unused.get(client, who, path)).status_code for name, who in readers.items()}

    assert statuses == {
        "own": 200,
        "partner": 200,
        "other partner": 404,
        "stranger": 404,
        "both": 403,
        "clinician": 403,
        "mentor": 403,
        "admin": 200,
        "other admin": 404,
    }


async def test_programme_reports_are_its_admins_and_institution_reports_their_coordinators(
    unused: Scene, client: httpx.AsyncClient
) -> None:
    of_programme = f"/v1/programmes/{unused.programme.id}/report"
    of_institution = f"/v1/institutions/{unused.asking.id}/report"

    assert (await unused.get(client, unused.coordinator, of_programme)).status_code == 403
    assert (await unused.get(client, unused.clinician, of_institution)).status_code == 403
    assert (await unused.get(client, unused.admin, f"/v1/programmes/{clock.new_id()}/report")).status_code == 404
    assert (await client.get(of_programme)).status_code == 401
