"""Memoranda over HTTP: recorded by admins, read by their parties, led through their life."""

from datetime import UTC, date, datetime
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

import build
from integrations.runtime.world import World
from service import tables
from service.kernel import actor
from service.registry import memoranda
from world import TestClock

Json = dict[str, Any]
ANY = {"If-Match": "*"}


class Cast:
    """A programme with an admin, two institutions and their coordinators, one institution without a part in it."""

    programme: tables.Programme
    asking: tables.Institution
    answering: tables.Institution
    as_admin: Json
    as_asking: Json
    as_answering: Json
    as_stranger: Json

    def draft(self, **fields: object) -> Json:
        parties = [
            {"institution_id": str(self.asking.id), "side": "requesting"},
            {"institution_id": str(self.answering.id), "side": "partner"},
        ]
        return {"programme_id": str(self.programme.id), "kind": "bilateral", "parties": parties} | fields


@pytest.fixture
async def cast(world: World) -> Cast:
    found = Cast()
    async with world.database.work(actor.TIMER) as w:
        found.programme = await build.programme(w)
        found.asking, found.answering, far = (
            await build.institution(w),
            await build.partner(w),
            await build.institution(w),
        )
        people = {
            "as_admin": await build.admin(w),
            "as_asking": await build.coordinator(w, found.asking),
            "as_answering": await build.coordinator(w, found.answering),
            "as_stranger": await build.coordinator(w, far),
        }
    for name, who in people.items():
        setattr(found, name, await build.bearer(world, who))
    return found


async def recorded(client: httpx.AsyncClient, cast: Cast, **fields: object) -> str:
    made = await client.post("/v1/memoranda", json=cast.draft(**fields), headers=cast.as_admin)
    assert made.status_code == 201, made.text
    return str(made.headers["location"])


async def step(client: httpx.AsyncClient, cast: Cast, path: str, to: str, on: str = "2026-11-01") -> httpx.Response:
    return await client.post(f"{path}/transitions", json={"to": to, "on": on}, headers=cast.as_admin)


async def test_a_memorandum_is_recorded_as_a_draft_and_read_by_both_sides(
    world: World, client: httpx.AsyncClient, cast: Cast
) -> None:
    async with world.database.work(actor.TIMER) as w:
        await build.specialty(w, "oncology")
    path = await recorded(
        client,
        cast,
        areas=["oncology"],
        activities=["teleconsultation"],
        signed={"date": "2025-10-10", "precision": "by"},
        valid_from="2026-01-01",
        valid_until="2028-01-01",
        budget={"minutes": 600, "per": "year"},
        source="002",
    )
    answers = [
        (await client.get(path, headers=who)).json() for who in (cast.as_asking, cast.as_answering, cast.as_admin)
    ]
    assert answers[0] == answers[1] == answers[2]
    assert answers[0] | {"id": None} == {
        "id": None,
        **cast.draft(),
        "status": "draft",
        "areas": ["oncology"],
        "activities": ["teleconsultation"],
        "signed": {"date": "2025-10-10", "precision": "by"},
        "valid_from": "2026-01-01",
        "valid_until": "2028-01-01",
        "budget": {"minutes": 600, "per": "year", "minutes_left": 600},
        "source": "002",
        "note": None,
        "code": None,
        "renewed_by": None,
    }


async def test_a_memorandum_is_missing_for_who_has_no_part_in_it(client: httpx.AsyncClient, cast: Cast) -> None:
    path = await recorded(client, cast)
    assert (await client.get(path, headers=cast.as_stranger)).status_code == 404
    assert (await client.get("/v1/memoranda", headers=cast.as_stranger)).json()["items"] == []
    assert len((await client.get("/v1/memoranda", headers=cast.as_asking)).json()["items"]) == 1


async def test_a_member_reads_the_memorandum_of_its_network(
    world: World, client: httpx.AsyncClient, cast: Cast
) -> None:
    path = await recorded(client, cast)
    async with world.database.work(actor.TIMER) as w:
        hospital = await build.institution(w)
        await build.add(
            w,
            tables.Membership(
                id=hospital.id, institution_id=hospital.id, network_id=cast.answering.id, from_on=w.now.date()
            ),
        )
        headers = await build.coordinator(w, hospital)
    assert (await client.get(path, headers=await build.bearer(world, headers))).status_code == 200


async def test_only_the_programmes_admins_write(world: World, client: httpx.AsyncClient, cast: Cast) -> None:
    path = await recorded(client, cast)
    async with world.database.work(actor.TIMER) as w:
        other = await build.admin(w, await build.programme(w, code="elsewhere"))
    as_other = await build.bearer(world, other)
    body = {"to": "signed", "on": "2026-11-01"}
    assert (await client.post("/v1/memoranda", json=cast.draft(), headers=cast.as_asking)).status_code == 403
    assert (await client.post("/v1/memoranda", json=cast.draft(), headers=as_other)).status_code == 403
    assert (await client.patch(path, json={"note": "x"}, headers=cast.as_asking | ANY)).status_code == 403
    assert (await client.post(f"{path}/transitions", json=body, headers=cast.as_answering)).status_code == 403
    assert (await client.post(f"{path}/transitions", json=body, headers=as_other)).status_code == 404


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"parties": []}, "/parties"),
        ({"areas": ["witchcraft"]}, "/areas/0"),
        ({"signed": {"precision": "on"}}, "/signed"),
        ({"signed": {"date": "2026-01-01", "precision": "unknown"}}, "/signed"),
        ({"valid_from": "2026-01-01", "valid_until": "2026-01-01"}, "/valid_until"),
        ({"valid_from": "2026-02-30"}, "/valid_from"),
        ({"budget": {"minutes": 60}}, "/budget/per"),
        ({"budget": {"minutes": -1, "per": "year"}}, "/budget/minutes"),
        ({"status": "active"}, "/status"),
        ({"kind": "national"}, "/kind"),
    ],
)
async def test_a_memorandum_that_cannot_be_is_refused_by_field(
    client: httpx.AsyncClient, cast: Cast, fields: Json, pointer: str
) -> None:
    answer = await client.post("/v1/memoranda", json=cast.draft(**fields), headers=cast.as_admin)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


async def test_parties_stand_on_both_sides_and_exist(client: httpx.AsyncClient, cast: Cast) -> None:
    asking, answering = cast.draft()["parties"]
    nobody = {"institution_id": "0193f3c4-7b1e-7cc0-8a3e-0d5c1f6f2a11", "side": "partner"}
    for parties, pointer in (
        ([asking, answering | {"side": "requesting"}], "/parties"),
        ([asking, asking | {"side": "partner"}], "/parties"),
        ([asking, nobody], "/parties/1/institution_id"),
        ([asking, answering, nobody], "/parties"),
    ):
        body = cast.draft(parties=parties)
        answer = await client.post("/v1/memoranda", json=body, headers=cast.as_admin)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


async def test_a_change_names_what_it_changes(client: httpx.AsyncClient, cast: Cast) -> None:
    path = await recorded(client, cast, note="kept", budget={"minutes": 60, "per": "month"})
    changed = await client.patch(path, json={"budget": None, "source": "004"}, headers=cast.as_admin | ANY)
    assert changed.status_code == 200, changed.text
    assert (changed.json()["budget"], changed.json()["source"], changed.json()["note"]) == (None, "004", "kept")
    for field in ("parties", "status", "programme_id"):
        refused = await client.patch(path, json={field: None}, headers=cast.as_admin | ANY)
        assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, f"/{field}")


async def test_a_memorandum_goes_through_its_life_and_tells_of_it(
    world: World, client: httpx.AsyncClient, cast: Cast
) -> None:
    path = await recorded(client, cast)
    for to in ("signed", "active", "suspended", "active", "expired"):
        answer = await step(client, cast, path, to)
        assert (answer.status_code, answer.json()["status"]) == (200, to), answer.text
    assert answer.json()["signed"] == {"date": "2026-11-01", "precision": "on"}
    assert (answer.json()["valid_from"], answer.json()["valid_until"]) == ("2026-11-01", "2026-11-02")
    async with world.database.work(actor.TIMER) as w:
        events = (await w.sql(sa.select(tables.Event).order_by(sa.text("id")))).scalars().all()
    assert [event.type.removeprefix("memorandum.") for event in events] == [
        "activated",
        "suspended",
        "activated",
        "expired",
    ]
    assert set(events[0].institution_ids) == {cast.asking.id, cast.answering.id}
    steps = (await client.get(f"{path}/transitions", headers=cast.as_asking)).json()["items"]
    assert [(found["from"], found["to"]) for found in steps][:2] == [("draft", "signed"), ("signed", "active")]


@pytest.mark.parametrize("to", ["active", "suspended", "expired", "draft"])
async def test_a_step_that_does_not_follow_is_refused(client: httpx.AsyncClient, cast: Cast, to: str) -> None:
    path = await recorded(client, cast)
    answer = await step(client, cast, path, to)
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/illegal-transition")
    assert (answer.json()["from_state"], answer.json()["to_state"]) == ("draft", to)


async def test_a_step_is_recorded_once_its_day_has_come(client: httpx.AsyncClient, cast: Cast) -> None:
    path = await recorded(client, cast)
    answer = await step(client, cast, path, "signed", on="2026-11-17")
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/on")
    assert (await step(client, cast, path, "signed", on="2026-11-16")).status_code == 200


async def test_memoranda_are_filtered(client: httpx.AsyncClient, cast: Cast) -> None:
    path = await recorded(client, cast)
    await recorded(client, cast)
    await step(client, cast, path, "signed")
    page = (await client.get("/v1/memoranda?status=signed", headers=cast.as_admin)).json()
    assert [f"/v1/memoranda/{item['id']}" for item in page["items"]] == [path]
    query = f"programme_id={cast.programme.id}&institution_id={cast.asking.id}&limit=1"
    page = (await client.get(f"/v1/memoranda?{query}", headers=cast.as_admin)).json()
    assert (len(page["items"]), page["next"] is None) == (1, False)


async def test_a_renewal_names_a_memorandum_that_exists(client: httpx.AsyncClient, cast: Cast) -> None:
    path, newer = await recorded(client, cast), await recorded(client, cast)
    answer = await client.patch(path, json={"renewed_by": newer.rsplit("/", 1)[1]}, headers=cast.as_admin | ANY)
    assert answer.json()["renewed_by"] == newer.rsplit("/", 1)[1]
    nothing = {"renewed_by": "0193f3c4-7b1e-7cc0-8a3e-0d5c1f6f2a11"}
    assert (await client.patch(path, json=nothing, headers=cast.as_admin | ANY)).status_code == 404


async def test_areas_are_replaced(world: World, client: httpx.AsyncClient, cast: Cast) -> None:
    async with world.database.work(actor.TIMER) as w:
        for code in ("oncology", "neonatology"):
            await build.specialty(w, code)
    path = await recorded(client, cast, areas=["oncology"])
    changed = await client.patch(path, json={"areas": ["neonatology"]}, headers=cast.as_admin | ANY)
    assert changed.json()["areas"] == ["neonatology"]
    refused = await client.patch(path, json={"areas": ["witchcraft"]}, headers=cast.as_admin | ANY)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/areas/0")


async def test_a_memorandum_ends_on_the_first_day_it_no_longer_holds(
    world: World, cast: Cast, test_clock: TestClock
) -> None:
    async with world.database.work(actor.TIMER) as w:
        row = await build.memorandum(w, cast.asking, cast.answering, valid_until=date(2026, 11, 18))
    statuses = []
    for instant in (datetime(2026, 11, 17, 21, 59, tzinfo=UTC), datetime(2026, 11, 17, 22, tzinfo=UTC)):
        test_clock.set(instant)
        async with world.database.work(actor.TIMER) as w:
            await memoranda.expire(w, row.id)
        async with world.database.work(actor.TIMER) as w:
            statuses.append((await w.read(tables.Memorandum, row.id)).status)
    assert statuses == ["active", "expired"]
