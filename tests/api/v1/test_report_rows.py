"""What stands beside a figure: its rows, its denominator, the period before, what was published with its sign."""

from typing import Any

import httpx
import pytest
import sqlalchemy as sa

import build
import caseload
from caseload import Caseload
from integrations.runtime.world import World
from service import tables
from service.kernel import actor
from service.registry import published_facts
from service.rules.figures import counts, figures

PERIOD = f"from={caseload.FROM}&until={caseload.UNTIL}"


@pytest.fixture
async def scene(world: World) -> Caseload:
    made = Caseload(world)
    await made.set_up(cases=300)
    return made


async def rows_behind(scene: Caseload, client: httpx.AsyncClient, figure: dict[str, Any]) -> list[dict[str, Any]]:
    """Follow the figure's link, page by page."""
    found, after = [], ""
    while True:
        answer = await scene.get(client, scene.admin, f"{figure['rows_at']}&limit=70{after}")
        assert answer.status_code == 200, answer.text
        found += [row["facts"] for row in answer.json()["items"]]
        if answer.json()["next"] is None:
            return found
        after = f"&after={answer.json()['next']}"


@pytest.mark.parametrize("kind", ["memoranda", "programmes", "institutions"])
async def test_the_rows_behind_a_figure_add_up_to_it(scene: Caseload, client: httpx.AsyncClient, kind: str) -> None:
    ids = {"memoranda": scene.memoranda[0].id, "programmes": scene.programme.id, "institutions": scene.asking.id}
    found = caseload.by_name(await scene.get(client, scene.admin, f"/v1/{kind}/{ids[kind]}/report?{PERIOD}"))
    behind = {name: await rows_behind(scene, client, found[name]) for name in
              ("minutes", "consultations_filed", "offers_sent", "follow_up_answers")}  # fmt: skip

    assert sum(row["minutes"] for row in behind["minutes"]) == found["minutes"]["value"] > 0
    assert len(behind["consultations_filed"]) == found["consultations_filed"]["value"]
    in_time = [row for row in behind["consultations_filed"]
               if row["answered_at"] and row["answered_at"] <= row["answer_due_at"]]  # fmt: skip
    assert len(in_time) == found["share_answered_in_time"]["numerator"]
    assert len(behind["offers_sent"]) == found["offers_sent"]["value"]
    assert len(behind["follow_up_answers"]) >= found["follow_up_answers"]["value"] > 0


async def test_every_figure_says_where_its_rows_are(scene: Caseload, client: httpx.AsyncClient) -> None:
    for kind, id_ in (("memoranda", scene.memoranda[0].id), ("programmes", scene.programme.id)):
        answer = await scene.get(client, scene.admin, f"/v1/{kind}/{id_}/report?{PERIOD}")
        links = {figure["rows_at"] for figure in answer.json()["figures"]}
        assert {(await scene.get(client, scene.admin, link)).status_code for link in links} == {200}


async def test_rows_name_nobody_and_hold_no_text(scene: Caseload, client: httpx.AsyncClient) -> None:
    names = {"question", "note", "conclusion", "clinician_id", "participants", "display_name", "email"}
    path = f"/v1/programmes/{scene.programme.id}/report/rows?{PERIOD}&of="
    for of in ("consultations", "offers", "sessions", "answers", "memoranda", "activities"):
        items = (await scene.get(client, scene.admin, path + of)).json()["items"]
        assert not {key for row in items for key in row["facts"]} & names


async def test_a_share_tells_what_was_divided_by_what(scene: Caseload, client: httpx.AsyncClient) -> None:
    answer = await scene.get(client, scene.admin, f"/v1/programmes/{scene.programme.id}/report?{PERIOD}")
    shares = [figure for figure in answer.json()["figures"] if figure["name"].startswith("share_")]
    assert len(shares) == 8
    for figure in shares:
        assert figure["value"] == pytest.approx(figure["numerator"] / figure["denominator"])


async def test_the_period_before_is_as_many_months_before_and_has_its_own_values(
    scene: Caseload, client: httpx.AsyncClient
) -> None:
    path = f"/v1/programmes/{scene.programme.id}/report?"
    compared = await scene.get(client, scene.admin, f"{path}from=2026-10-01&until=2026-11-01&compare=previous")
    before = caseload.by_name(await scene.get(client, scene.admin, f"{path}from=2026-09-01&until=2026-10-01"))
    alone = (await scene.get(client, scene.admin, f"{path}from=2026-10-01&until=2026-11-01")).json()

    assert compared.json()["previous"] == {"from": "2026-09-01", "until": "2026-10-01"}
    assert before["minutes"]["value"] > 0
    of_now = {"memoranda", "memoranda_idle_90_days"}
    for name, figure in caseload.by_name(compared).items():
        assert figure["previous"] == (None if name in of_now else before[name]["value"]), name
    assert (alone["previous"], {figure["previous"] for figure in alone["figures"]}) == (None, {None})


async def test_the_published_milestones_stand_as_they_were_stated_with_their_sources(
    world: World, client: httpx.AsyncClient
) -> None:
    async with world.database.work(actor.TIMER) as w:
        await published_facts.load(w)
        programme = (await w.sql(sa.select(tables.Programme).where(tables.Programme.code == "ua-imp"))).scalar_one()  # type: ignore[arg-type]
        admin = await build.admin(w, programme)
    answer = await client.get(f"/v1/programmes/{programme.id}/report", headers=await build.bearer(world, admin))
    found = caseload.by_name(answer)

    milestones = found["memoranda"]["published"]
    assert [(each["value"], each["op"]) for each in milestones] == [(25, "="), (43, "="), (95, "=")]
    assert [each["note"].split(":")[0] for each in milestones] == [
        "memoranda, month 2023-09", "memoranda, by 2024-05-23", "memoranda, by 2025-10-10",
    ]  # fmt: skip
    assert all("," in each["source"] for each in milestones)
    trained = [each for each in found["activity_people"]["published"] if each["op"] == ">"]
    assert [(each["value"], each["source"][-10:]) for each in trained] == [(700, "2025-10-10")]
    assert ("~", 150) in [(each["op"], each["value"]) for each in found["activities"]["published"]]
    assert caseload.parts(found["activities"])["traineeship"] == 3
    assert found["activity_people"]["value"] == 12


def test_every_figure_has_a_definition_that_is_a_sentence() -> None:
    for figure in figures.all_of(counts.ReportCounts()):
        assert figure.definition.endswith(".")
        assert figure.unit
