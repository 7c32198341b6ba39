"""Uzbekistan and AP-HP beside Ukraine, from the published facts: its own policy, languages, clocks and countries."""

import ast
import json
from datetime import UTC, datetime, timedelta
from importlib import resources
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

import build
import flow
import service
import world as simulated
from flow import Scene
from integrations.runtime.world import World
from service import tables
from service.kernel import actor
from service.kernel.work import Work
from service.registry import published_facts

TUESDAY_IN_TASHKENT = datetime(2026, 11, 17, 9, tzinfo=UTC)
BESIDE = {
    "service/rules/time/availability.py",
    "service/people/demo_people.py",
}  # old zones; demo people
WISH = {"specialty": "ped.general", "languages": ["fr"], "priority": "urgent"}


async def of_code(w: Work, kind: Any, code: str) -> Any:  # noqa: ANN401 - a table with a code
    return (await w.sql(sa.select(kind).where(kind.code == code))).scalar_one()


@pytest.fixture
async def scene(world: World, test_clock: simulated.TestClock, client: httpx.AsyncClient) -> Scene:
    """The published registry with people on both sides of both programmes; Ukraine's memorandum is active already."""
    made = Scene(world, test_clock, client)
    async with world.database.work(actor.TIMER) as w:
        await published_facts.load(w)
        await published_facts.load_demo(w)
        made.programme = await of_code(w, tables.Programme, "uz-aphp")
        made.asking = await of_code(w, tables.Institution, "uz-minzdrav")
        made.lille = await of_code(w, tables.Institution, "fr-aphp")
        made.memorandum = await of_code(w, tables.Memorandum, "m-uz-aphp")
        tashkent = {"locale": "en", "zone": "Asia/Tashkent"}
        made.people["clinician"] = await build.clinician(w, made.asking, **tashkent)
        made.people["coordinator"] = await build.coordinator(w, made.asking, **tashkent)
        made.people["admin"] = await build.admin(w, made.programme, **tashkent)
        made.people["other admin"] = await build.admin(w, await of_code(w, tables.Programme, "ua-imp"))
        made.people["mentor"] = await build.mentor(
            w, made.lille, specialties=["ped.general"], languages={"fr": "native"}, weekly=[(1, 9 * 60, 17 * 60)]
        )
    test_clock.set(TUESDAY_IN_TASHKENT - timedelta(hours=2))
    return made


async def activated(scene: Scene) -> None:
    """The admin of this programme says what its memorandum now covers, and that it holds; with a pace of its own."""
    path = f"/v1/memoranda/{scene.memorandum.id}"
    await _patch(scene, path, {"activities": ["traineeship", "teleconsultation"]})
    await scene.post("admin", f"{path}/transitions", {"to": "active", "on": "2026-11-01"})
    policy = {"policy": {"priorities": {"urgent": {"answer_due_minutes": 300}}}}
    await _patch(scene, f"/v1/programmes/{scene.programme.id}", policy)


async def _patch(scene: Scene, path: str, body: dict[str, Any]) -> None:
    found = await scene.call("admin", "GET", path, status=200)
    await scene.call("admin", "PATCH", path, body, headers={"If-Match": found.headers["etag"]}, status=200)


async def test_what_the_memorandum_does_not_cover_is_not_done_under_it(scene: Scene) -> None:
    asked = await scene.request(**WISH)
    found = await scene.get("coordinator", f"/v1/consultations/{asked}/candidates")
    (reasons,) = [one["reasons"] for one in found["excluded"] if one["mentor"] == str(scene.people["mentor"].id)]
    assert "no_memorandum" in reasons
    assert (await scene.get("clinician", f"/v1/consultations/{asked}"))["state"] == "unmatched"


async def test_a_consultation_is_filed_matched_booked_logged_and_reported_there(scene: Scene) -> None:
    await activated(scene)
    asked = await scene.request(**WISH)
    case = await scene.get("clinician", f"/v1/consultations/{asked}")
    assert case["programme_id"] == str(scene.programme.id)
    assert flow.read_instant(case["answer_due_at"]) == scene.clock.now() + timedelta(hours=5)
    mine = await scene.offer()
    booked = await scene.post("mentor", f"/v1/offers/{mine['id']}/accept", {"starts_at": mine["starts"][0]})
    assert booked["memorandum_id"] == str(scene.memorandum.id)
    (mail, *_) = await scene.rows(
        "SELECT payload FROM delivery WHERE person_id = :id AND jsonb_exists(payload, 'calendar')",
        id=scene.people["clinician"].id,
    )
    zones = json.dumps(mail.payload)
    assert "Asia/Tashkent" in zones
    assert "Europe/Kyiv" not in zones
    scene.clock.set(flow.read_instant(booked["ends_at"]))
    await scene.post("mentor", f"/v1/appointments/{booked['id']}/session", flow.happened(booked), 201)
    assert await sessions_of(scene, "admin", scene.programme.id) == 1


async def test_nothing_of_it_counts_or_is_seen_in_the_other_programme(scene: Scene) -> None:
    await test_a_consultation_is_filed_matched_booked_logged_and_reported_there(scene)
    (other,) = await scene.rows("SELECT id FROM programme WHERE code = 'ua-imp'")
    assert await sessions_of(scene, "other admin", other.id) == 0
    await scene.call("other admin", "GET", f"/v1/programmes/{scene.programme.id}/report", status=403)
    await scene.call("other admin", "GET", f"/v1/memoranda/{scene.memorandum.id}/log", status=404)
    (policy,) = await scene.rows("SELECT policy FROM programme WHERE code = 'ua-imp'")
    assert policy.policy == {}


async def sessions_of(scene: Scene, who: str, programme_id: object) -> int:
    report = await scene.get(who, f"/v1/programmes/{programme_id}/report?from=2026-11-01&until=2026-12-01")
    return int(next(figure["value"] for figure in report["figures"] if figure["name"] == "sessions"))


def constants() -> set[str]:
    """What only one programme has: its code, its country, its zone, and its side's institutions."""
    published = json.loads(resources.files("service").joinpath("data", "facts.json").read_text("utf-8"))
    own = {row[name] for row in published["programmes"] for name in ("code", "country", "timezone")}
    return own | {row["id"] for row in published["institutions"]}


def strings(source: str) -> set[str]:
    """Every text of the program that is no docstring."""
    tree = ast.parse(source)
    told = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in told
    }


def test_no_rule_and_no_verb_holds_a_constant_of_one_programme() -> None:
    root = Path(service.__file__).parent
    found = {
        name: strings(path.read_text("utf-8")) & constants()
        for path in root.rglob("*.py")
        if (name := path.relative_to(root.parent).as_posix()) not in BESIDE
    }
    assert len(found) > 50
    assert {name: texts for name, texts in found.items() if texts} == {}


def test_a_constant_of_one_programme_would_be_found() -> None:
    assert strings('"""UA"""\nif country == "UA":\n    zone = "Europe/Kyiv"') & constants() == {"UA", "Europe/Kyiv"}
