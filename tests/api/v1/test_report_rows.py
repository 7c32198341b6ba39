"""What stands beside a figure: its rows, its denominator, the period before, what was published with its sign."""

from datetime import date
from typing import Any, get_args

import httpx
import pytest
import sqlalchemy as sa

import build
import caseload
from caseload import Caseload
from integrations.runtime.world import World
from service import tables, vocabulary
from service.kernel import actor, clock
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
    found = caseload.by_name(await scene.get(client, scene.admin, f"/v1/{kind}/{scene.under(kind)}/report?{PERIOD}"))
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
    for of in get_args(vocabulary.ReportRows):
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


IDLE: dict[str, tuple[dict[str, Any], dict[str, Any], tuple[str, ...], bool]] = {
    "could": ({}, {}, ("paediatrics",), True),
    "could, below an area": ({}, {}, ("paediatrics.hearts",), True),
    "verified until then": ({}, {"verified_until": caseload.OPENED}, ("paediatrics",), False),
    "never verified": ({}, {"verified_until": None}, ("paediatrics",), False),
    "asked for nothing": ({}, {"offers_per_week": 0}, ("paediatrics",), False),
    "no sessions": ({}, {"sessions_per_week": 0}, ("paediatrics",), False),
    "came afterwards": ({}, {"created_at": caseload.OVER}, ("paediatrics",), False),
    "left": ({"state": "disabled"}, {}, ("paediatrics",), False),
    "an address in doubt": ({"address_unconfirmed_since": caseload.OPENED}, {}, ("paediatrics",), False),
    "another specialty": ({}, {}, ("skin",), False),
    "no specialty": ({}, {}, (), False),
}


@pytest.mark.parametrize("kind", ["memoranda", "programmes", "institutions"])
async def test_al_06_minutes_are_spread_over_all_who_could_have_been_asked_and_nobody_else(
    scene: Caseload, client: httpx.AsyncClient, kind: str
) -> None:
    path = f"/v1/{kind}/{scene.under(kind)}/report?{PERIOD}"
    before = caseload.by_name(await scene.get(client, scene.admin, path))["mentor_minutes_gini"]
    idle = {}
    async with scene.world.database.work(actor.TIMER) as w:
        await build.specialty(w, "paediatrics.hearts", "paediatrics")
        await build.add(w, tables.MemorandumArea(memorandum_id=scene.memoranda[0].id, specialty_code="paediatrics"))
        for who, (fields, profile, specialties, _) in IDLE.items():
            kept: dict[str, Any] = {"created_at": caseload.OPENED, **profile}
            idle[who] = await build.mentor(w, scene.partners[0], specialties=specialties, profile=kept, **fields)
    after = caseload.by_name(await scene.get(client, scene.admin, path))["mentor_minutes_gini"]
    answer = await scene.get(client, scene.admin, f"{after['rows_at']}&limit=200")
    behind = {row["id"]: row["facts"] for row in answer.json()["items"]}
    facts = {"institution_id": str(scene.partners[0].id), "could_be_asked": True, "was_asked": False, "minutes": 0}
    for who, (*_, could) in IDLE.items():
        assert behind.get(str(idle[who].id)) == (facts if could else None), who
    assert after["rows"] == len(behind) == before["rows"] + sum(could for *_, could in IDLE.values())
    assert after["value"] == pytest.approx(counts.gini(row["minutes"] for row in behind.values()))
    assert after["value"] > before["value"]


async def test_al_06_a_network_brings_its_members_as_long_as_they_belong_to_it_and_a_memorandum_as_long_as_it_holds(
    scene: Caseload, client: httpx.AsyncClient
) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        network, member = await build.partner(w), await build.partner(w)
        agreed = await build.memorandum(w, scene.asking, network)
        await build.add(w, tables.Membership(
            id=clock.new_id(), institution_id=member.id, network_id=network.id, from_on=date(2020, 1, 1)
        ))  # fmt: skip
        await build.mentor(w, member, profile={"created_at": caseload.OPENED})

    async def rows() -> int:
        path = f"/v1/institutions/{scene.asking.id}/report?{PERIOD}"
        return int(caseload.by_name(await scene.get(client, scene.admin, path))["mentor_minutes_gini"]["rows"])

    with_it = await rows()
    for change, back in (
        ("UPDATE membership SET until_on = '2026-09-01'", "UPDATE membership SET until_on = NULL"),
        ("UPDATE membership SET from_on = '2026-11-01'", "UPDATE membership SET from_on = '2020-01-01'"),
        ("UPDATE memorandum SET status = 'signed' WHERE id = :id", "UPDATE memorandum SET status = 'active'"),
        (
            "UPDATE memorandum SET valid_from = '2020-01-01', valid_until = '2026-09-01' WHERE id = :id",
            "UPDATE memorandum SET valid_until = NULL",
        ),
        ("UPDATE memorandum SET valid_from = '2026-11-01' WHERE id = :id", "UPDATE memorandum SET valid_from = NULL"),
    ):
        async with scene.world.database.work(actor.TIMER) as w:
            await w.sql(sa.text(change), {"id": agreed.id} if ":id" in change else {})
        assert await rows() == with_it - 1, change
        async with scene.world.database.work(actor.TIMER) as w:
            await w.sql(sa.text(back), {})
    assert await rows() == with_it
