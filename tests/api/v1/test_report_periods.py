"""Reports over HTTP: from when until when, and who may read them."""

from datetime import timedelta
from zoneinfo import ZoneInfo

import httpx
import pytest

import build
import caseload
from caseload import Caseload
from integrations.runtime.world import World
from service.kernel import actor, clock


@pytest.fixture
async def scene(world: World) -> Caseload:
    made = Caseload(world)
    await made.set_up(cases=400)
    return made


@pytest.fixture
async def unused(world: World) -> Caseload:
    """The same people and memoranda, before anything happened."""
    made = Caseload(world)
    await made.set_up(cases=0)
    return made


async def test_an_empty_period_has_counts_of_nothing_and_no_shares(scene: Caseload, client: httpx.AsyncClient) -> None:
    path = f"/v1/memoranda/{scene.memoranda[0].id}/report?from=2001-01-01&until=2001-01-02"
    figures = caseload.by_name(await scene.get(client, scene.coordinator, path))

    assert figures["sessions"]["value"] == figures["minutes"]["value"] == figures["consultations_filed"]["value"] == 0
    for name in ("hours_to_answer", "share_answered", "mentor_minutes_gini", "offers_per_mentor_week"):
        assert figures[name]["value"] is None


async def test_without_dates_the_report_reaches_from_the_first_day_until_tomorrow(
    unused: Caseload, client: httpx.AsyncClient
) -> None:
    answer = await unused.get(client, unused.coordinator, f"/v1/memoranda/{unused.memoranda[0].id}/report")

    assert (answer.json()["from"], answer.json()["until"]) == ("2026-01-01", "2026-11-17")
    assert answer.json()["zone"] == "Europe/Kyiv"


async def test_a_day_begins_when_it_does_in_the_zone(scene: Caseload, client: httpx.AsyncClient) -> None:
    first = min(scene.rows["consultation"], key=lambda row: row.opened_at)
    for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):
        day = first.opened_at.astimezone(ZoneInfo(zone)).date()
        path = f"/v1/programmes/{scene.programme.id}/report?until={day}&from={day - timedelta(days=1)}&zone={zone}"
        before = caseload.by_name(await scene.get(client, scene.admin, path))
        path = path.replace(f"until={day}", f"until={day + timedelta(days=1)}")
        after = caseload.by_name(await scene.get(client, scene.admin, path))
        assert before["consultations_filed"]["value"] == 0
        assert after["consultations_filed"]["value"] >= 1
    last = max(scene.rows["consultation"], key=lambda row: row.opened_at)
    for zone in ("Pacific/Kiritimati", "Pacific/Pago_Pago"):
        day = last.opened_at.astimezone(ZoneInfo(zone)).date()
        path = f"/v1/programmes/{scene.programme.id}/report?until=2027-01-01&from={day}&zone={zone}"
        with_it = caseload.by_name(await scene.get(client, scene.admin, path))
        without = caseload.by_name(
            await scene.get(client, scene.admin, path.replace(f"from={day}", f"from={day + timedelta(days=1)}"))
        )
        assert with_it["consultations_filed"]["value"] >= 1
        assert without["consultations_filed"]["value"] == 0


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
    unused: Caseload, client: httpx.AsyncClient, query: str, pointer: str
) -> None:
    answer = await unused.get(client, unused.coordinator, f"/v1/memoranda/{unused.memoranda[0].id}/report?{query}")

    assert (answer.status_code, [fault["pointer"] for fault in answer.json()["errors"]]) == (422, [pointer])


async def test_the_farthest_days_there_are_can_be_asked_for(unused: Caseload, client: httpx.AsyncClient) -> None:
    path = f"/v1/memoranda/{unused.memoranda[0].id}/report?from=2000-01-01&until=2199-12-31&zone=Pacific/Kiritimati"

    assert (await unused.get(client, unused.coordinator, path)).status_code == 200


async def test_only_coordinators_of_the_parties_and_admins_read_a_memorandums_report(
    unused: Caseload, client: httpx.AsyncClient
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
    unused: Caseload, client: httpx.AsyncClient
) -> None:
    of_programme = f"/v1/programmes/{unused.programme.id}/report"
    of_institution = f"/v1/institutions/{unused.asking.id}/report"

    assert (await unused.get(client, unused.coordinator, of_programme)).status_code == 403
    assert (await unused.get(client, unused.clinician, of_institution)).status_code == 403
    assert (await unused.get(client, unused.admin, f"/v1/programmes/{clock.new_id()}/report")).status_code == 404
    assert (await client.get(of_programme)).status_code == 401
