"""Mentors over HTTP: profile, hours on their own clock, bookable times."""

import json
from datetime import timedelta
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

import build
from integrations.runtime.world import World
from service import tables
from service.kernel import actor
from world import TestClock

Json = dict[str, Any]
ANY = {"If-Match": "*"}
PROFILE = {
    "specialties": ["paediatrics"],
    "languages": [{"code": "en", "level": "C1"}],
    "caps": {"sessions_per_week": 3, "offers_per_week": 5},
    "notice_minutes": 0,
    "buffer_minutes": 10,
    "treats_children": True,
    "opt_ins": ["urgent"],
}


class Cast:
    """A hospital and its partner under a memorandum; a mentor there; both coordinators; a hospital without a link."""

    mentor: tables.Person
    asking: tables.Institution
    answering: tables.Institution
    as_mentor: Json
    as_clinician: Json
    as_coordinator: Json
    as_partner: Json
    as_stranger: Json
    path: str


@pytest.fixture
async def cast(world: World) -> Cast:
    found = Cast()
    async with world.database.work(actor.TIMER) as w:
        found.asking, found.answering, far = (
            await build.institution(w),
            await build.partner(w),
            await build.institution(w),
        )
        await build.memorandum(w, found.asking, found.answering)
        found.mentor = await build.mentor(w, found.answering)
        people = {
            "as_mentor": found.mentor,
            "as_clinician": await build.clinician(w, found.asking),
            "as_coordinator": await build.coordinator(w, found.asking),
            "as_partner": await build.coordinator(w, found.answering),
            "as_stranger": await build.coordinator(w, far),
        }
    for name, who in people.items():
        setattr(found, name, await build.bearer(world, who))
    found.path = f"/v1/mentors/{found.mentor.id}"
    return found


async def test_a_profile_comes_back_as_it_was_put(client: httpx.AsyncClient, cast: Cast) -> None:
    wanted = PROFILE | {"tags": ["blast"], "quiet_hours": {"from": "23:00", "until": "06:30"}}
    put = await client.put(f"{cast.path}/profile", json=wanted, headers=cast.as_mentor | ANY)
    assert put.status_code == 200, put.text
    read = await client.get(f"{cast.path}/profile", headers=cast.as_clinician)
    assert read.json() == wanted
    assert read.headers["etag"] == put.headers["etag"]


async def test_a_profile_is_written_by_the_mentor_and_their_side_only(client: httpx.AsyncClient, cast: Cast) -> None:
    async def put(headers: Json) -> int:
        return (await client.put(f"{cast.path}/profile", json=PROFILE, headers=headers | ANY)).status_code

    assert [await put(cast.as_mentor), await put(cast.as_partner)] == [200, 200]
    assert [await put(cast.as_coordinator), await put(cast.as_clinician)] == [403, 403]
    assert await put(cast.as_stranger) == 404


async def test_a_profile_needs_the_version_that_was_read(client: httpx.AsyncClient, cast: Cast) -> None:
    tag = (await client.get(f"{cast.path}/profile", headers=cast.as_mentor)).headers["etag"]
    first = await client.put(f"{cast.path}/profile", json=PROFILE, headers=cast.as_mentor | {"If-Match": tag})
    second = await client.put(f"{cast.path}/profile", json=PROFILE, headers=cast.as_mentor | {"If-Match": tag})
    assert (first.status_code, second.status_code) == (200, 412)


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"specialties": ["witchcraft"]}, "/specialties/0"),
        ({"languages": [{"code": "en", "level": "C1"}, {"code": "en", "level": "B1"}]}, "/languages"),
        ({"languages": [{"code": "en", "level": "fluent"}]}, "/languages/0/level"),
        ({"caps": {"sessions_per_week": -1, "offers_per_week": 5}}, "/caps/sessions_per_week"),
        ({"opt_ins": ["always"]}, "/opt_ins/0"),
        ({"buffer_minutes": 121}, "/buffer_minutes"),
        ({"quiet_hours": {"from": "25:00", "until": "06:00"}}, "/quiet_hours/from"),
        ({"verified_until": "2030-01-01T00:00:00Z"}, "/verified_until"),
    ],
)
async def test_a_profile_that_cannot_be_is_refused_by_field(
    client: httpx.AsyncClient, cast: Cast, change: Json, pointer: str
) -> None:
    answer = await client.put(f"{cast.path}/profile", json=PROFILE | change, headers=cast.as_mentor | ANY)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer), answer.text


HOURS = {
    "zone": "Europe/Kyiv",
    "weekly": [
        {"day": "mon", "from": "16:00", "until": "19:00"},
        {"day": "mon", "from": "20:00", "until": "24:00"},
    ],
    "exceptions": [
        {"from": "2026-12-24T00:00", "until": "2026-12-27T00:00", "kind": "away"},
        {"from": "2026-12-28T10:00", "until": "2026-12-28T12:00", "kind": "extra"},
    ],
}


async def test_hours_come_back_as_they_were_put(client: httpx.AsyncClient, cast: Cast) -> None:
    put = await client.put(f"{cast.path}/availability", json=HOURS, headers=cast.as_mentor | ANY)
    assert put.status_code == 200, put.text
    assert (await client.get(f"{cast.path}/availability", headers=cast.as_mentor)).json() == HOURS


async def test_an_old_name_of_kyiv_is_stored_as_kyiv(client: httpx.AsyncClient, cast: Cast) -> None:
    wanted = HOURS | {"zone": "Europe/Kiev"}
    put = await client.put(f"{cast.path}/availability", json=wanted, headers=cast.as_mentor | ANY)
    assert put.json()["zone"] == "Europe/Kyiv"


async def test_a_change_of_hours_is_told_once_with_a_new_version(
    world: World, client: httpx.AsyncClient, cast: Cast
) -> None:
    put = await client.put(f"{cast.path}/availability", json=HOURS, headers=cast.as_mentor | ANY)
    async with world.database.work(actor.TIMER) as w:
        event = (await w.sql(sa.select(tables.Event))).scalar_one()
    assert event.type == "mentor.availability_changed"
    assert (event.subject_id, event.institution_ids) == (cast.mentor.id, [cast.answering.id])
    assert put.headers["etag"] == f'"{json.loads(event.body)["data"]["version"]}"'


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"zone": "Europe"}, "/zone"),
        ({"weekly": [{"day": "mon", "from": "19:00", "until": "16:00"}]}, "/weekly/0/until"),
        ({"weekly": [{"day": "mon", "from": "16:00", "until": "16:00"}]}, "/weekly/0/until"),
        ({"weekly": [{"day": "someday", "from": "16:00", "until": "17:00"}]}, "/weekly/0/day"),
        ({"weekly": [{"day": "mon", "from": "24:00", "until": "24:00"}]}, "/weekly/0/from"),
        (
            {
                "weekly": [
                    {"day": "mon", "from": "16:00", "until": "19:00"},
                    {"day": "mon", "from": "18:59", "until": "20:00"},
                ]
            },
            "/weekly/1",
        ),
        (
            {"exceptions": [{"from": "2027-03-28T03:30", "until": "2027-03-28T12:00", "kind": "away"}]},
            "/exceptions/0/from",
        ),
        (
            {"exceptions": [{"from": "2027-03-27T03:30", "until": "2027-03-28T03:00", "kind": "extra"}]},
            "/exceptions/0/until",
        ),
        (
            {"exceptions": [{"from": "2027-03-27T12:00", "until": "2027-03-27T12:00", "kind": "away"}]},
            "/exceptions/0/until",
        ),
        (
            {"exceptions": [{"from": "2027-03-27T12:00Z", "until": "2027-03-27T13:00", "kind": "away"}]},
            "/exceptions/0/from",
        ),
    ],
)
async def test_hours_that_cannot_be_are_refused_by_field(
    client: httpx.AsyncClient, cast: Cast, change: Json, pointer: str
) -> None:
    answer = await client.put(f"{cast.path}/availability", json=HOURS | change, headers=cast.as_mentor | ANY)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer), answer.text


async def test_hours_that_touch_do_not_overlap(client: httpx.AsyncClient, cast: Cast) -> None:
    weekly = [{"day": "mon", "from": "16:00", "until": "19:00"}, {"day": "mon", "from": "19:00", "until": "20:00"}]
    answer = await client.put(
        f"{cast.path}/availability", json=HOURS | {"weekly": weekly}, headers=cast.as_mentor | ANY
    )
    assert answer.status_code == 200


async def slots(client: httpx.AsyncClient, cast: Cast, query: str, headers: Json | None = None) -> Json:
    answer = await client.get(f"{cast.path}/slots?{query}", headers=headers or cast.as_clinician)
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


DAY = "from=2026-11-18T00:00:00Z&until=2026-11-19T00:00:00Z&minutes=30"


async def test_slots_lie_on_the_grid_inside_the_hours_in_both_local_times(
    client: httpx.AsyncClient, cast: Cast
) -> None:
    items = (await slots(client, cast, DAY))["items"]
    assert items[0] == {
        "starts_at": "2026-11-18T08:00:00Z",
        "ends_at": "2026-11-18T08:30:00Z",
        "mentor_local": "2026-11-18T09:00",
        "requester_local": "2026-11-18T10:00",
    }
    assert items[-1]["ends_at"] == "2026-11-18T16:00:00Z"
    assert len(items) == 31


async def test_a_mentor_sees_their_own_clock_only(client: httpx.AsyncClient, cast: Cast) -> None:
    assert (await slots(client, cast, DAY, cast.as_mentor))["items"][0]["requester_local"] is None


async def test_what_is_booked_is_no_slot_nor_is_the_buffer_behind_it(
    world: World, client: httpx.AsyncClient, cast: Cast
) -> None:
    async with world.database.work(actor.TIMER) as w:
        memorandum = (await w.sql(sa.select(tables.Memorandum))).scalar_one()
        clinician = await build.clinician(w, cast.asking)
        case = await build.consultation(w, clinician, cast.asking)
        start = w.now.replace(hour=10) + timedelta(days=2)
        await build.appointment(w, case, cast.mentor, memorandum, starts_at=start)
    starts = {item["starts_at"][11:16] for item in (await slots(client, cast, DAY))["items"]}
    assert {"09:15", "10:45"} <= starts
    assert not {"09:30", "09:45", "10:00", "10:30"} & starts


async def test_no_slot_is_sooner_than_the_notice(client: httpx.AsyncClient, cast: Cast, test_clock: TestClock) -> None:
    until = (test_clock.instant + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    items = (await slots(client, cast, f"from=2026-11-16T08:00:00Z&until={until}"))["items"]
    assert items == []
    longer = (await slots(client, cast, "from=2026-11-16T08:00:00Z&until=2026-11-18T00:00:00Z"))["items"]
    assert longer[0]["starts_at"] == "2026-11-17T08:00:00Z"


async def test_quiet_hours_are_no_slots_unless_opted_in(client: httpx.AsyncClient, cast: Cast) -> None:
    hours = {"zone": "Europe/Paris", "weekly": [{"day": "wed", "from": "20:00", "until": "24:00"}], "exceptions": []}
    await client.put(f"{cast.path}/availability", json=hours, headers=cast.as_mentor | ANY)
    assert (await slots(client, cast, DAY))["items"][-1]["ends_at"] == "2026-11-18T21:00:00Z"
    await client.put(f"{cast.path}/profile", json=PROFILE | {"opt_ins": ["routine"]}, headers=cast.as_mentor | ANY)
    assert (await slots(client, cast, DAY))["items"][-1]["ends_at"] == "2026-11-18T23:00:00Z"


async def test_an_unverified_mentor_has_no_slots(world: World, client: httpx.AsyncClient, cast: Cast) -> None:
    async with world.database.work(actor.TIMER) as w:
        (await w.read(tables.MentorProfile, cast.mentor.id)).verified_until = None
    assert (await slots(client, cast, DAY))["items"] == []


async def test_slots_come_in_pages(client: httpx.AsyncClient, cast: Cast) -> None:
    first = await slots(client, cast, f"{DAY}&limit=20")
    rest = await slots(client, cast, f"{DAY}&limit=20&after={first['next']}")
    assert [len(first["items"]), len(rest["items"]), rest["next"]] == [20, 11, None]
    assert rest["items"][0]["starts_at"] > first["items"][-1]["starts_at"]


@pytest.mark.parametrize(
    "query",
    [
        "from=2026-11-18T00:00:00Z&until=2026-11-18T00:00:00Z",
        "from=2026-11-18T00:00:00Z&until=2027-01-17T00:00:01Z",
        "from=2026-11-18T00:00:00Z",
        "from=2026-11-18T00:00:00&until=2026-11-19T00:00:00Z",
        f"{DAY}&limit=201",
        f"{DAY}0",
        f"{DAY}&after=nonsense",
    ],
)
async def test_a_search_that_cannot_be_is_refused(client: httpx.AsyncClient, cast: Cast, query: str) -> None:
    answer = await client.get(f"{cast.path}/slots?{query}", headers=cast.as_clinician)
    assert answer.status_code == 422


async def test_mentors_are_listed_to_those_whom_a_memorandum_links(client: httpx.AsyncClient, cast: Cast) -> None:
    async def ids(headers: Json, query: str = "") -> list[str]:
        page = (await client.get(f"/v1/mentors{query}", headers=headers)).json()
        return [item["id"] for item in page["items"]]

    mentor = [str(cast.mentor.id)]
    assert await ids(cast.as_clinician) == await ids(cast.as_partner) == await ids(cast.as_mentor) == mentor
    assert await ids(cast.as_stranger) == []
    assert await ids(cast.as_clinician, "?specialty=paediatrics&country=FR&language=en") == mentor
    for miss in ("specialty=oncology", "country=LT", "language=de"):
        assert await ids(cast.as_clinician, f"?{miss}") == []


async def test_a_memorandum_that_is_not_active_links_nobody(
    world: World, client: httpx.AsyncClient, cast: Cast
) -> None:
    async with world.database.work(actor.TIMER) as w:
        (await w.sql(sa.select(tables.Memorandum))).scalar_one().status = "suspended"
    assert (await client.get(f"{cast.path}/profile", headers=cast.as_clinician)).status_code == 404
