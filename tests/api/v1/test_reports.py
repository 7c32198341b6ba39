"""Reports over HTTP, every figure against one counted here from the rows themselves."""

import statistics
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

import build
import caseload
from caseload import Caseload, Row
from integrations.runtime.world import World
from service.kernel import actor


@pytest.fixture
async def scene(world: World) -> Caseload:
    made = Caseload(world)
    await made.set_up(cases=200)
    return made


@pytest.fixture
async def unused(world: World) -> Caseload:
    """The same people and memoranda, before anything happened."""
    made = Caseload(world)
    await made.set_up(cases=0)
    return made


async def of_memorandum(scene: Caseload, client: httpx.AsyncClient, number: int = 0) -> dict[str, dict[str, Any]]:
    path = f"/v1/memoranda/{scene.memoranda[number].id}/report?from={caseload.FROM}&until={caseload.UNTIL}"
    return caseload.by_name(await scene.get(client, scene.coordinator, path))


def cohort(scene: Caseload) -> list[Row]:
    under = {row.consultation_id for row in scene.rows["offer"] if row.memorandum_id == scene.memoranda[0].id}
    return scene.period("consultation", "opened_at", lambda row: row.id in under)


def logged(scene: Caseload) -> list[Row]:
    wanted = scene.memoranda[0].id
    return scene.period("session", "started_at", lambda row: row.memorandum_id == wanted and not row.is_corrected)


def sent(scene: Caseload) -> list[Row]:
    return scene.period("offer", "sent_at", lambda row: row.memorandum_id == scene.memoranda[0].id)


def accepted_at(scene: Caseload, asked: Row) -> datetime | None:
    found = [o.answered_at for o in scene.rows["offer"] if o.consultation_id == asked.id and o.state == "accepted"]
    return min(found, default=None)


def answered_at(scene: Caseload, asked: Row) -> datetime | None:
    held = [
        row
        for row in scene.rows["session"]
        if row.consultation_id == asked.id and not row.is_corrected and row.outcome not in caseload.NOT_HELD
    ]
    return min((row.ended_at if row.mode == "written" else row.started_at for row in held), default=None)


def hours(pairs: Iterable[tuple[datetime, datetime | None]]) -> list[float]:
    return [(end - start).total_seconds() / 3600 for start, end in pairs if end]


async def test_consultations_are_counted_by_state_and_priority(scene: Caseload, client: httpx.AsyncClient) -> None:
    figures, filed = await of_memorandum(scene, client), cohort(scene)

    assert figures["consultations_filed"]["value"] == len(filed) > 10
    assert caseload.parts(figures["consultations_filed"]) == Counter(row.priority for row in filed)
    for state in ("completed", "unmatched", "cancelled", "expired"):
        assert figures[f"consultations_{state}"]["value"] == sum(row.state == state for row in filed)


@pytest.mark.parametrize("name", ["allocation", "answer", "closing"])
async def test_times_are_medians_and_quartiles_by_priority(
    scene: Caseload, client: httpx.AsyncClient, name: str
) -> None:
    figure = (await of_memorandum(scene, client))[f"hours_to_{name}"]
    ways: dict[str, Callable[[Row], datetime | None]] = {
        "allocation": lambda row: accepted_at(scene, row),
        "answer": lambda row: answered_at(scene, row),
        "closing": lambda row: row.closed_at if row.state == "completed" else None,
    }
    reached = ways[name]
    taken = hours((row.opened_at, reached(row)) for row in cohort(scene))

    assert figure["value"] == pytest.approx(statistics.median(taken))
    assert figure["rows"] == len(taken)
    for part in figure["parts"]:
        of_priority = hours((row.opened_at, reached(row)) for row in cohort(scene) if row.priority == part["key"])
        assert part["rows"] == len(of_priority)
        if len(of_priority) > 1:
            expected = statistics.quantiles(of_priority, n=4, method="inclusive")
            assert [part["lower_quartile"], part["value"], part["upper_quartile"]] == pytest.approx(expected)


async def test_shares_in_time_leave_out_what_is_undecided(scene: Caseload, client: httpx.AsyncClient) -> None:
    figures = await of_memorandum(scene, client)
    for name, reached in (("allocated", accepted_at), ("answered", answered_at)):
        at = {row.id: reached(scene, row) for row in cohort(scene)}
        decided = [
            row
            for row in cohort(scene)
            if at[row.id] or (row.answer_due_at <= caseload.NOW and row.state != "cancelled")
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


async def test_first_waves_and_backups_are_shares_of_consultations(scene: Caseload, client: httpx.AsyncClient) -> None:
    figures = await of_memorandum(scene, client)
    offers = {row.id: [o for o in scene.rows["offer"] if o.consultation_id == row.id] for row in cohort(scene)}
    first = {key: [o for o in each if o.wave == 1] for key, each in offers.items()}
    over = [each for each in first.values() if each and not any(o.state in {"pending", "countered"} for o in each)]
    taken = [each for each in over if any(o.state == "accepted" for o in each)]
    backed = [each for each in offers.values() if max(o.wave for o in each) > 1]

    assert figures["share_first_wave_accepted"]["value"] == pytest.approx(len(taken) / len(over))
    assert figures["share_needing_backup"]["value"] == pytest.approx(len(backed) / len(offers))


async def test_offers_are_counted_by_the_memorandum_they_were_sent_under(
    scene: Caseload, client: httpx.AsyncClient
) -> None:
    figures, offers = await of_memorandum(scene, client), sent(scene)
    weeks = (caseload.OVER - caseload.OPENED) / timedelta(days=7)
    weekly = Counter((row.mentor_id, row.sent_at.astimezone(UTC).isocalendar()[:2]) for row in offers)

    assert figures["offers_sent"]["value"] == len(offers)
    assert figures["wrong_specialty_declines"]["value"] == sum(
        row.decline_reason == "wrong_specialty" for row in offers
    )
    per_week = len(offers) / len({row.mentor_id for row in offers}) / weeks
    assert figures["offers_per_mentor_week"]["value"] == pytest.approx(per_week)
    assert caseload.parts(figures["offers_per_mentor_week"]) == {"most": max(weekly.values())}


async def test_sessions_minutes_and_advices_leave_corrected_entries_out(
    scene: Caseload, client: httpx.AsyncClient
) -> None:
    figures, rows = await of_memorandum(scene, client), logged(scene)
    live = [row for row in rows if row.mode == "live"]
    held = [row for row in live if row.outcome not in caseload.NOT_HELD]

    assert figures["sessions"]["value"] == len(held) > 3
    assert caseload.parts(figures["sessions"]) == Counter(row.outcome for row in live)
    assert figures["minutes"]["value"] == sum(row.minutes for row in rows)
    assert figures["written_advices"]["value"] == len(rows) - len(live)
    assert caseload.parts(figures["routes"]) == Counter(row.route for row in rows)
    broken = Counter(row.outcome.split("_")[1] for row in live if row.outcome.startswith("interrupted"))
    assert caseload.parts(figures["interruptions"]) == broken
    for side in ("requester", "mentor"):
        outside = [row for row in held if not getattr(row, f"is_civil_for_{side}")]
        assert figures[f"share_outside_civil_hours_{side}"]["value"] == pytest.approx(len(outside) / len(held))


async def test_the_spread_of_minutes_counts_mentors_asked_in_vain(scene: Caseload, client: httpx.AsyncClient) -> None:
    figures = await of_memorandum(scene, client)
    minutes = dict.fromkeys((row.mentor_id for row in sent(scene)), 0)
    for row in logged(scene):
        minutes[row.mentor_id] = minutes.get(row.mentor_id, 0) + row.minutes
    values = list(minutes.values())
    pairwise = sum(abs(a - b) for a in values for b in values) / (2 * len(values) * sum(values))

    assert figures["mentor_minutes_gini"]["value"] == pytest.approx(pairwise)
    assert figures["mentor_minutes_top_quarter"]["value"] == pytest.approx(max(values) / sum(values))


async def test_follow_up_areas_and_places_are_counted(scene: Caseload, client: httpx.AsyncClient) -> None:
    figures, rows = await of_memorandum(scene, client), logged(scene)
    of_period = {
        row.id for row in scene.period("session", "started_at", lambda row: row.memorandum_id == scene.memoranda[0].id)
    }
    answers = [row for row in scene.rows["feedback"] if row.session_id in of_period]

    assert figures["follow_up_answers"]["value"] == len(answers) > 0
    useful = Counter(row.side for row in answers if row.is_useful)
    assert caseload.parts(figures["follow_up_answers"])["requesting_useful"] == useful["requesting"]
    assert caseload.parts(figures["areas"]) == Counter(row.specialty_code for row in rows)
    assert caseload.parts(figures["partner_countries"]) == {"FR": len(rows)}
    assert caseload.parts(figures["requesting_regions"]) == {"UA-74": len(rows)}


async def test_a_programme_and_an_institution_report_on_everything_of_theirs(
    scene: Caseload, client: httpx.AsyncClient
) -> None:
    period = f"from={caseload.FROM}&until={caseload.UNTIL}"
    of_programme = caseload.by_name(
        await scene.get(client, scene.admin, f"/v1/programmes/{scene.programme.id}/report?{period}")
    )
    path = f"/v1/institutions/{scene.asking.id}/report?{period}&zone=Europe/Kyiv"
    of_institution = caseload.by_name(await scene.get(client, scene.coordinator, path))
    everything = scene.period("session", "started_at", lambda row: not row.is_corrected)

    assert of_programme["minutes"]["value"] == sum(row.minutes for row in everything)
    assert of_institution["minutes"]["value"] == of_programme["minutes"]["value"]
    assert of_institution["offers_sent"]["value"] == of_programme["offers_sent"]["value"]
    assert caseload.parts(of_programme["memoranda"]) == {"active": 2}
    assert of_institution["consultations_filed"]["value"] == len(
        scene.period("consultation", "opened_at", lambda _: True)
    )


async def test_an_admin_of_another_programme_sees_nothing_of_an_institution(
    scene: Caseload, client: httpx.AsyncClient
) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        other = await build.admin(w, await build.programme(w, code="uz-partnership"))
    figures = caseload.by_name(await scene.get(client, other, f"/v1/institutions/{scene.asking.id}/report"))

    assert figures["minutes"]["value"] == figures["offers_sent"]["value"] == figures["memoranda"]["value"] == 0


async def test_a_counter_is_an_allocation_when_the_other_side_takes_it(
    unused: Caseload, client: httpx.AsyncClient
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
    figures = caseload.by_name(await unused.get(client, unused.admin, f"/v1/memoranda/{memorandum.id}/report"))

    assert figures["hours_to_allocation"]["value"] == pytest.approx(5)


async def test_hours_left_and_idle_days_are_of_now(scene: Caseload, client: httpx.AsyncClient) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        partner = await build.partner(w)
        fresh = await build.memorandum(
            w, scene.asking, partner, budget_minutes=90, budget_per="year", valid_from=date(2026, 11, 1)
        )
    figures = caseload.by_name(await scene.get(client, scene.coordinator, f"/v1/memoranda/{fresh.id}/report"))
    used = await of_memorandum(scene, client)
    last = max(row.started_at for row in scene.rows["session"]
               if row.memorandum_id == scene.memoranda[0].id and not row.is_corrected)  # fmt: skip

    assert (figures["hours_left"]["value"], figures["idle_days"]["value"]) == (1.5, 15)
    assert (used["hours_left"]["value"], used["idle_days"]["value"]) == (None, max(0, (caseload.NOW - last).days))
