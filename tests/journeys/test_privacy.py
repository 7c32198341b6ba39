"""One person, given out whole and taken out whole: nothing names them afterwards, and everything that counts stays."""

import json
from datetime import timedelta
from uuid import UUID

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import BYTEA

import flow
import world as simulated
from flow import Scene
from integrations.runtime.world import World
from service import tables
from service.kernel import actor, crypto, errors
from service.people import privacy
from service.registry import memorandum_log
from service.reporting import reports

pytestmark = pytest.mark.races

NAME, ADDRESS = "Canaryname Zebra", "canaryname@zebra.example"
WRITTEN = ("question", "conclusion", "feedback", "advice", "decline", "activity")


def canary(field: str) -> str:
    return f"canary{field}zebra"


@pytest.fixture
async def scene(world: World, test_clock: simulated.TestClock, client: httpx.AsyncClient) -> Scene:
    """The clinician and the mentor have the same rare name; each has written in every place where they can."""
    made = Scene(world, test_clock, client)
    await made.set_up()
    for who in ("clinician", "mentor"):
        person = made.people[who]
        person.display_name, person.email = f"{NAME} {who}", f"{who}.{ADDRESS}"
        await made.rows(
            "UPDATE person SET display_name = :name, email = :email WHERE id = :id RETURNING 1",
            id=person.id,
            name=person.display_name,
            email=person.email,
        )
    await _a_life(made)
    return made


async def _a_life(scene: Scene) -> None:
    first = await scene.request(question=canary("question"))
    mine = await scene.offer()
    await scene.post("mentor", f"/v1/offers/{mine['id']}/decline", {"reason": "busy", "note": canary("decline")})
    await scene.post("clinician", f"/v1/consultations/{first}/cancel", {"reason": "other", "note": canary("question")})
    booked = await scene.booked(question=canary("question"))
    scene.clock.set(flow.read_instant(booked["ends_at"]))
    happened = flow.happened(booked) | {"conclusion": canary("conclusion")}
    logged = await scene.post("mentor", f"/v1/appointments/{booked['id']}/session", happened, 201)
    told = {"is_useful": True, "note": canary("feedback")}
    for who in ("clinician", "mentor"):
        await scene.post(who, f"/v1/sessions/{logged['id']}/feedback", told, 201)
    asked = await scene.request(mode="written", question=canary("question"))
    mine = await scene.offer()
    await scene.post("mentor", f"/v1/offers/{mine['id']}/accept")
    await scene.post("mentor", f"/v1/consultations/{asked}/advice", {"text": canary("advice"), "minutes": 20}, 201)
    for who in ("clinician", "mentor"):
        await scene.client.post("/v1/auth/sign-in-links", json={"email": scene.people[who].email})
    await scene.get("clinician", f"/v1/consultations/{asked}")
    scene.clock.forward(days=1)
    await scene.sweep()


async def erase(scene: Scene, who: str) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        await privacy.erase(w, scene.people[who].email)


async def everything(scene: Scene) -> str:
    """The text of every row of every table, with every sealed value opened."""
    found = []
    async with scene.world.database.work(actor.TIMER) as w:
        for table in tables.metadata.sorted_tables:
            found += list((await w.sql(sa.text(f"SELECT CAST(t AS text) FROM {table.name} t"))).scalars())
            for column in table.columns:
                if isinstance(column.type, BYTEA) and "id" in table.columns:
                    for row in await w.sql(sa.select(table.c.id, column).where(column.is_not(None))):
                        found.append(_opened(scene, row[1], row[0]))
    return "\n".join(found)


def _opened(scene: Scene, value: bytes, row_id: object) -> str:
    try:
        return scene.world.keys.decrypt(value, row_id)  # type: ignore[arg-type]
    except (crypto.CannotDecrypt, IndexError, UnicodeDecodeError):
        return ""


async def figures(scene: Scene) -> object:
    async with scene.world.database.work(actor.TIMER) as w:
        return (await reports.programme(w, scene.programme.id)).figures


async def test_canaries_are_found_before_anything_is_erased(scene: Scene) -> None:
    text = await everything(scene)
    said = [word for word in WRITTEN if word != "activity"]
    assert [word for word in said if canary(word) not in text] == []
    assert NAME in text
    assert ADDRESS in text


async def test_nothing_that_names_them_or_that_they_wrote_stays_in_any_column(scene: Scene) -> None:
    await erase(scene, "mentor")
    after_one = await everything(scene)
    assert f"{NAME} mentor" not in after_one
    assert f"mentor.{ADDRESS}" not in after_one
    assert [word for word in ("conclusion", "advice", "decline") if canary(word) in after_one] == []
    assert canary("question") in after_one
    await erase(scene, "clinician")
    text = await everything(scene)
    assert [word for word in WRITTEN if canary(word) in text] == []
    assert NAME not in text
    assert ADDRESS not in text


async def test_counts_and_chains_stay_as_they_were(scene: Scene) -> None:
    before = await figures(scene)
    for who in ("clinician", "mentor"):
        await erase(scene, who)
    assert await figures(scene) == before
    async with scene.world.database.work(actor.TIMER) as w:
        found = await memorandum_log.verify_all(w)
    assert [(one.ok, one.entries) for one in found.values()] == [(True, 2)]


async def test_what_the_others_wrote_on_the_case_of_somebody_erased_ends_with_its_retention(scene: Scene) -> None:
    await erase(scene, "clinician")
    assert canary("advice") in await everything(scene)
    scene.clock.forward(days=91)
    await scene.sweep()
    text = await everything(scene)
    assert [word for word in ("advice", "decline", "feedback", "conclusion") if canary(word) in text] == []


async def test_nobody_signs_in_as_them_and_no_token_of_theirs_counts(scene: Scene) -> None:
    address = scene.people["mentor"].email
    await erase(scene, "mentor")
    assert (await scene.call("mentor", "GET", "/v1/me")).status_code == 401
    await scene.client.post("/v1/auth/sign-in-links", json={"email": address})
    mentor = scene.people["mentor"].id
    assert await scene.rows("SELECT 1 FROM link WHERE person_id = :id", id=mentor) == []
    assert await scene.rows("SELECT 1 FROM delivery WHERE person_id = :id AND payload <> '{}'", id=mentor) == []
    (row,) = await scene.rows("SELECT action FROM audit WHERE subject_id = :id ORDER BY id DESC LIMIT 1", id=mentor)
    assert row.action == "erased"


async def test_somebody_for_whom_something_waits_is_not_erased(scene: Scene) -> None:
    await scene.request()
    for who in ("clinician", "mentor"):
        with pytest.raises(errors.Conflict):
            await erase(scene, who)
    assert NAME in await everything(scene)


async def test_what_was_filed_for_a_colleague_who_still_waits_stays_without_the_name_of_who_filed_it(
    scene: Scene,
) -> None:
    for word in ("live", "over"):
        wish = scene.wish(question=canary(word)) | {"clinician_id": str(scene.people["clinician"].id)}
        body = {name: value for name, value in wish.items() if value is not None}
        filed = await scene.post("coordinator", "/v1/consultations", body, 201)
    await scene.post("coordinator", f"/v1/consultations/{filed['id']}/cancel", {"reason": "other"})
    await erase(scene, "coordinator")
    text = await everything(scene)
    assert canary("live") in text
    assert canary("over") not in text
    who = scene.people["coordinator"].id
    assert await scene.rows("SELECT 1 FROM consultation WHERE question IS NOT NULL AND created_by = :id", id=who) == []


async def test_a_person_is_given_everything_that_is_kept_about_them_and_no_text_of_others(scene: Scene) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        found = await privacy.dossier(w, scene.people["clinician"].email.upper())
    text = json.dumps(found, default=str, ensure_ascii=False)
    assert found["person"]["display_name"] == f"{NAME} clinician"
    assert len(found["sessions"]) == 2
    assert canary("question") in text
    assert canary("feedback") in text
    assert [word for word in ("advice", "decline", "conclusion") if canary(word) in text] == []
    readers = {row["person_id"] for row in found["who_read_their_texts"]}
    assert scene.people["clinician"].id in readers
    assert f"mentor.{ADDRESS}" not in text
    assert scene.clock.now() - found["given_out_at"] < timedelta(seconds=1)


async def test_a_mentor_is_not_given_what_the_other_side_wrote_beside_their_offer_or_appointment(scene: Scene) -> None:
    booked = await scene.booked()
    called_off = {"reason": "no_longer_needed", "note": canary("off")}
    await scene.post("coordinator", f"/v1/appointments/{booked['id']}/cancel", called_off)
    asked = await scene.request()
    mine = await scene.offer()
    await scene.rows(
        "UPDATE offer SET override_rule = 'notice', override_reason = :reason WHERE id = :id RETURNING 1",
        id=UUID(mine["id"]),
        reason=scene.world.keys.encrypt(canary("override"), UUID(mine["id"])),
    )
    declined = {"reason": "busy", "note": canary("partner")}
    await scene.post("partner", f"/v1/offers/{mine['id']}/decline", declined)
    await scene.post("coordinator", f"/v1/consultations/{asked}/cancel", {"reason": "other", "note": canary("coord")})
    dossiers = {}
    async with scene.world.database.work(actor.TIMER) as w:
        for who in ("mentor", "clinician", "coordinator", "partner"):
            found = await privacy.dossier(w, scene.people[who].email)
            dossiers[who] = json.dumps(found, default=str, ensure_ascii=False)
    words = ("off", "override", "partner", "coord", "decline", "advice")
    given = {who: [word for word in words if canary(word) in text] for who, text in dossiers.items()}
    assert given == {
        "mentor": ["decline", "advice"],
        "clinician": [],
        "coordinator": ["off", "coord"],
        "partner": ["partner"],
    }


async def test_nobody_by_that_address_is_a_plain_answer(scene: Scene) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        with pytest.raises(errors.NotFound):
            await privacy.dossier(w, "nobody@nowhere.example")
