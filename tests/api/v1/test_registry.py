"""The registry over HTTP: everybody signed in reads, admins write, everybody else is refused."""

from typing import Any

import httpx
import pytest

import build
from integrations.runtime.world import World
from service import tables
from service.kernel import actor

Json = dict[str, Any]
ANY = {"If-Match": "*"}


@pytest.fixture
async def admin(world: World) -> dict[str, str]:
    async with world.database.work(actor.TIMER) as w:
        who = await build.admin(w)
    return await build.bearer(world, who)


async def institution(world: World, **fields: object) -> tables.Institution:
    async with world.database.work(actor.TIMER) as w:
        return await build.institution(w, **fields)


async def test_an_admin_registers_an_institution_that_everybody_reads(
    client: httpx.AsyncClient, admin: Json, caller: Json
) -> None:
    body: Json = {"kind": "hospital", "name_en": "Haifa Hospital", "country": "IL", "zone": "Asia/Jerusalem"}
    body |= {"working_weekdays": ["sun", "mon", "tue", "wed", "thu"]}
    made = await client.post("/v1/institutions", json=body, headers=admin)
    assert made.status_code == 201, made.text
    read = await client.get(made.headers["location"], headers=caller)
    assert read.json() == made.json()
    assert read.json()["working_weekdays"] == ["mon", "tue", "wed", "thu", "sun"]
    assert (read.json()["name"], read.json()["city"]) == (None, None)


async def test_an_old_name_of_kyiv_is_stored_as_kyiv(client: httpx.AsyncClient, admin: Json) -> None:
    made = await client.post("/v1/institutions", json={"kind": "hospital", "zone": "Europe/Kiev"}, headers=admin)
    assert made.json()["zone"] == "Europe/Kyiv"


@pytest.mark.parametrize(
    "zone", ["right/Europe/Kyiv", "posix/UTC", "localtime", "Factory", "Europe", "x" * 5000, "US/Pacific-New"]
)
async def test_a_zone_that_is_no_canonical_name_is_refused(client: httpx.AsyncClient, admin: Json, zone: str) -> None:
    made = await client.post("/v1/institutions", json={"kind": "hospital", "zone": zone}, headers=admin)
    assert made.status_code == 422
    assert made.json()["errors"][0]["pointer"] == "/zone"


@pytest.mark.parametrize("zone", ["Asia/Calcutta", "India Standard Time", "asia/kolkata"])
async def test_ft_13_the_zones_present_name_is_stored_whatever_it_is_called(
    client: httpx.AsyncClient, admin: Json, zone: str
) -> None:
    made = await client.post("/v1/institutions", json={"kind": "hospital", "zone": zone}, headers=admin)
    assert made.json()["zone"] == "Asia/Kolkata"


async def test_ft_13_an_offset_is_refused_with_its_reason(client: httpx.AsyncClient, admin: Json) -> None:
    made = await client.post("/v1/institutions", json={"kind": "hospital", "zone": "Etc/GMT-2"}, headers=admin)
    assert made.status_code == 422
    assert "summer time" in made.json()["errors"][0]["detail"]


async def test_a_code_that_is_taken_is_refused(client: httpx.AsyncClient, admin: Json) -> None:
    body = {"kind": "hospital", "code": "twice"}
    assert (await client.post("/v1/institutions", json=body, headers=admin)).status_code == 201
    again = await client.post("/v1/institutions", json=body, headers=admin)
    assert (again.status_code, again.json()["type"]) == (409, "/problems/exists")


async def test_only_admins_write(world: World, client: httpx.AsyncClient, caller: Json) -> None:
    found = await institution(world)
    answers = [
        await client.post("/v1/institutions", json={"kind": "hospital"}, headers=caller),
        await client.patch(f"/v1/institutions/{found.id}", json={"city": "Lviv"}, headers=caller | ANY),
        await client.post("/v1/specialties", json={"code": "x", "name_en": "X", "name_uk": "X"}, headers=caller),
    ]
    assert [answer.status_code for answer in answers] == [403] * 3


async def test_a_change_needs_the_version_that_was_read(world: World, client: httpx.AsyncClient, admin: Json) -> None:
    path = f"/v1/institutions/{(await institution(world)).id}"
    tag = (await client.get(path, headers=admin)).headers["etag"]
    assert (await client.patch(path, json={"city": "Lviv"}, headers=admin)).status_code == 428
    changed = await client.patch(path, json={"city": "Lviv"}, headers=admin | {"If-Match": tag})
    assert (changed.status_code, changed.json()["city"]) == (200, "Lviv")
    assert changed.headers["etag"] != tag
    assert (await client.patch(path, json={"city": "Kyiv"}, headers=admin | {"If-Match": tag})).status_code == 412


async def test_a_change_touches_only_what_it_names_and_null_means_unknown(
    world: World, client: httpx.AsyncClient, admin: Json
) -> None:
    found = await institution(world, city="Chernihiv", note="kept")
    answer = await client.patch(f"/v1/institutions/{found.id}", json={"city": None}, headers=admin | ANY)
    assert (answer.json()["city"], answer.json()["note"], answer.json()["zone"]) == (None, "kept", "Europe/Kyiv")
    refused = await client.patch(f"/v1/institutions/{found.id}", json={"kind": None}, headers=admin | ANY)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/kind")


async def test_a_page_of_institutions_goes_on_where_the_last_ended(
    world: World, client: httpx.AsyncClient, caller: Json
) -> None:
    for _ in range(4):
        await institution(world)
    seen: list[str] = []
    after = ""
    while True:
        page = (await client.get(f"/v1/institutions?limit=2{after}", headers=caller)).json()
        seen += [item["id"] for item in page["items"]]
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert len(seen) == len(set(seen)) == 5
    assert seen == sorted(seen)


async def test_institutions_are_filtered_by_country_and_kind(
    world: World, client: httpx.AsyncClient, caller: Json
) -> None:
    found = await institution(world, country="LT", kind="ministry")
    await institution(world, country="LT")
    page = (await client.get("/v1/institutions?country=LT&kind=ministry", headers=caller)).json()
    assert [item["id"] for item in page["items"]] == [str(found.id)]


async def test_a_membership_has_dates_and_ends(world: World, client: httpx.AsyncClient, admin: Json) -> None:
    hospital, network = await institution(world), await institution(world, kind="hospital_network")
    path = f"/v1/institutions/{hospital.id}/memberships"
    made = await client.post(path, json={"network_id": str(network.id), "from": "2026-01-01"}, headers=admin)
    assert made.status_code == 201, made.text
    ended = await client.post(f"{path}/{made.json()['id']}/end", json={"until": "2026-12-01"}, headers=admin)
    assert ended.json()["until"] == "2026-12-01"
    assert (await client.get(path, headers=admin)).json()["items"] == [ended.json()]
    early = await client.post(f"{path}/{made.json()['id']}/end", json={"until": "2026-01-01"}, headers=admin)
    assert (early.status_code, early.json()["errors"][0]["pointer"]) == (422, "/until")


async def test_a_membership_in_itself_or_in_nothing_is_refused(
    world: World, client: httpx.AsyncClient, admin: Json
) -> None:
    hospital = await institution(world)
    for network_id in (hospital.id, "0193f3c4-7b1e-7cc0-8a3e-0d5c1f6f2a11"):
        body = {"network_id": str(network_id), "from": "2026-01-01"}
        answer = await client.post(f"/v1/institutions/{hospital.id}/memberships", json=body, headers=admin)
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/network_id")


async def test_a_specialty_is_added_below_its_parents(client: httpx.AsyncClient, admin: Json) -> None:
    for body in (
        {"code": "sur", "name_en": "Surgery", "name_uk": "Хірургія"},
        {"code": "ped", "name_en": "Paediatrics", "name_uk": "Педіатрія"},
        {"code": "ped.surgery", "parent": "ped", "also_parents": ["sur"], "name_en": "P", "name_uk": "Д"},
    ):
        assert (await client.post("/v1/specialties", json=body, headers=admin)).status_code == 201
    page = (await client.get("/v1/specialties?limit=2", headers=admin)).json()
    assert [item["code"] for item in page["items"]] == ["ped", "ped.surgery"]
    assert page["items"][1]["also_parents"] == ["sur"]
    rest = (await client.get(f"/v1/specialties?limit=2&after={page['next']}", headers=admin)).json()
    assert [item["code"] for item in rest["items"]] == ["sur"]


async def test_a_specialty_below_nothing_or_twice_is_refused(client: httpx.AsyncClient, admin: Json) -> None:
    body = {"code": "x", "parent": "nothing", "name_en": "X", "name_uk": "X"}
    answer = await client.post("/v1/specialties", json=body, headers=admin)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/parent")
    del body["parent"]
    assert (await client.post("/v1/specialties", json=body, headers=admin)).status_code == 201
    assert (await client.post("/v1/specialties", json=body, headers=admin)).status_code == 409


async def test_whoever_makes_a_programme_is_its_first_admin(client: httpx.AsyncClient, admin: Json) -> None:
    body = {"code": "md", "name": "Молдова", "name_en": "Moldova", "country": "MD", "zone": "Europe/Chisinau"}
    made = await client.post("/v1/programmes", json=body, headers=admin)
    assert made.status_code == 201, made.text
    path = made.headers["location"]
    changed = await client.patch(path, json={"policy": {"hold_minutes": 20}}, headers=admin | ANY)
    assert (changed.status_code, changed.json()["policy"]) == (200, {"hold_minutes": 20})


async def test_a_programme_is_changed_by_its_own_admins_only(
    world: World, client: httpx.AsyncClient, admin: Json
) -> None:
    async with world.database.work(actor.TIMER) as w:
        other = await build.programme(w, code="other")
    answer = await client.patch(f"/v1/programmes/{other.id}", json={"name": "Ours"}, headers=admin | ANY)
    assert answer.status_code == 403


@pytest.mark.parametrize("policy", [{"unknown": 1}, {"hold_minutes": "long"}, {"hold_minutes": -1}])
async def test_a_policy_that_cannot_be_used_is_refused(client: httpx.AsyncClient, admin: Json, policy: Json) -> None:
    page = (await client.get("/v1/programmes", headers=admin)).json()
    path = f"/v1/programmes/{page['items'][0]['id']}"
    answer = await client.patch(path, json={"policy": policy}, headers=admin | ANY)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "/policy")
