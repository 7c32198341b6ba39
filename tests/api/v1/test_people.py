"""Who keeps whom: coordinators their own institution's people, admins all, nobody their own roles."""

from typing import Any

import httpx
import pytest
import sqlalchemy as sa

import build
from integrations.runtime.world import World
from service import tables
from service.kernel import actor
from world import MONDAY, TestClock

Json = dict[str, Any]
ANY = {"If-Match": "*"}


class Cast:
    """A coordinator and a clinician of one hospital, somebody of another, an admin."""

    home: tables.Institution
    away: tables.Institution
    programme: tables.Programme
    clinician: tables.Person
    stranger: tables.Person
    coordinator: tables.Person
    as_coordinator: Json
    as_clinician: Json
    as_admin: Json


@pytest.fixture
async def cast(world: World) -> Cast:
    found = Cast()
    async with world.database.work(actor.TIMER) as w:
        found.programme = await build.programme(w)
        found.home, found.away = await build.institution(w), await build.institution(w)
        found.clinician, found.stranger = await build.clinician(w, found.home), await build.clinician(w, found.away)
        found.coordinator, admin = await build.coordinator(w, found.home), await build.admin(w)
    found.as_coordinator = await build.bearer(world, found.coordinator)
    found.as_clinician = await build.bearer(world, found.clinician)
    found.as_admin = await build.bearer(world, admin)
    return found


def newcomer(role: str, institution: tables.Institution, **fields: object) -> Json:
    roles = [{"role": role, "institution_id": str(institution.id)}]
    return {"email": "new@hospital.example", "display_name": "New", "zone": "Europe/Kyiv", "roles": roles} | fields


async def test_a_coordinator_registers_a_colleague(client: httpx.AsyncClient, cast: Cast) -> None:
    made = await client.post("/v1/people", json=newcomer("clinician", cast.home), headers=cast.as_coordinator)
    assert made.status_code == 201, made.text
    read = await client.get(made.headers["location"], headers=cast.as_coordinator)
    assert read.json() == made.json()
    assert (read.json()["locale"], read.json()["state"]) == ("uk", "active")


async def test_ft_21_an_address_in_letters_of_its_country_is_kept_in_ascii_and_signs_in_by_both_forms(
    client: httpx.AsyncClient, cast: Cast, world: World
) -> None:
    typed, kept = "likar@лікарня.укр", "likar@xn--80atcko5gyb.xn--j1amh"
    body = newcomer("clinician", cast.home, email=typed)
    made = await client.post("/v1/people", json=body, headers=cast.as_coordinator)
    assert (made.status_code, made.json()["email"], made.json()["email_shown"]) == (201, kept, typed)
    for address in (typed, kept):
        assert (await client.post("/v1/auth/sign-in-links", json={"email": address})).status_code == 202
    async with world.database.work(actor.TIMER) as w:
        links = await w.sql(sa.text("SELECT person_id FROM link WHERE purpose = 'sign_in'"))
        assert [str(each) for each in links.scalars()] == [made.json()["id"]] * 2


@pytest.mark.parametrize(
    ("email", "why"),
    [
        ("\N{CYRILLIC SMALL LETTER O}.koval@hospital.ua", ("Символ 1", "U+043E, CYRILLIC SMALL LETTER O", "латинська")),
        ("doc\u200b1@klinika.example", ("Символ 4", "U+200B, ZERO WIDTH SPACE")),
        ("koval..x@hospital.ua", ("Символ 7", "крапка")),
        ("x@hospital..ua", ("Символ 12", "крапка")),
        ("лікар@hospital.ua", ("символ 1", "U+043B, CYRILLIC SMALL LETTER EL")),
        ("x@xn--zz.ua", ("символу 3", "xn--")),
        ("", ("@",)),
    ],
)
async def test_ft_20_an_address_that_mail_cannot_carry_is_refused_in_words_at_every_entry(
    client: httpx.AsyncClient, cast: Cast, email: str, why: tuple[str, ...]
) -> None:
    body, language = newcomer("clinician", cast.home, email=email), {"Accept-Language": "uk"}
    made = await client.post("/v1/people", json=body, headers=cast.as_coordinator | language)
    path = f"/v1/people/{cast.clinician.id}"
    changed = await client.patch(path, json={"email": email}, headers=cast.as_coordinator | ANY | language)
    signing_in = await client.post("/v1/auth/sign-in-links", json={"email": email}, headers=language)
    for answer in (made, changed, signing_in):
        (fault,) = answer.json()["errors"]
        assert (answer.status_code, answer.json()["type"]) == (422, "/problems/invalid")
        assert fault["pointer"] == "/email"
        assert [part for part in why if part not in fault["detail"]] == []
    english = await client.post("/v1/people", json=body, headers=cast.as_coordinator)
    assert fault["detail"] not in english.text


async def test_ft_20_letters_of_ones_own_are_taken_where_the_mail_server_carries_them(
    client: httpx.AsyncClient, cast: Cast, world: World
) -> None:
    world.database.carries_utf8 = True
    body = newcomer("clinician", cast.home, email="Лікар@hospital.ua")
    made = await client.post("/v1/people", json=body, headers=cast.as_coordinator)
    assert (made.status_code, made.json()["email"]) == (201, "Лікар@hospital.ua")
    again = await client.post("/v1/people", json=body | {"email": "лікар@hospital.ua"}, headers=cast.as_coordinator)
    assert again.status_code == 409


async def test_a_coordinator_gives_no_role_elsewhere_and_no_admins(client: httpx.AsyncClient, cast: Cast) -> None:
    elsewhere = await client.post("/v1/people", json=newcomer("clinician", cast.away), headers=cast.as_coordinator)
    admins = newcomer(
        "clinician", cast.home, roles=[{"role": "programme_admin", "programme_id": str(cast.programme.id)}]
    )
    assert elsewhere.status_code == 403
    assert (await client.post("/v1/people", json=admins, headers=cast.as_coordinator)).status_code == 403


async def test_a_clinician_registers_nobody(client: httpx.AsyncClient, cast: Cast) -> None:
    answer = await client.post("/v1/people", json=newcomer("clinician", cast.home), headers=cast.as_clinician)
    assert answer.status_code == 403


async def test_an_address_is_registered_once_whatever_its_case(client: httpx.AsyncClient, cast: Cast) -> None:
    body = newcomer("clinician", cast.home, email=cast.clinician.email.upper())
    answer = await client.post("/v1/people", json=body, headers=cast.as_coordinator)
    assert (answer.status_code, answer.json()["type"]) == (409, "/problems/exists")


@pytest.mark.parametrize(
    ("roles", "pointer"),
    [
        ([], "/roles"),
        ([{"role": "clinician"}], "/roles/0"),
        ([{"role": "programme_admin", "institution_id": "HOME"}], "/roles/0"),
        ([{"role": "clinician", "programme_id": "PROGRAMME"}], "/roles/0"),
        ([{"role": "clinician", "institution_id": "HOME", "programme_id": "PROGRAMME"}], "/roles/0"),
        ([{"role": "clinician", "institution_id": "0193f3c4-7b1e-7cc0-8a3e-0d5c1f6f2a11"}], "/roles/0/institution_id"),
        ([{"role": "programme_admin", "programme_id": "0193f3c4-7b1e-7cc0-8a3e-0d5c1f6f2a11"}], None),
    ],
)
async def test_a_role_needs_its_place(
    client: httpx.AsyncClient, cast: Cast, roles: list[Json], pointer: str | None
) -> None:
    ids = {"HOME": str(cast.home.id), "PROGRAMME": str(cast.programme.id)}
    roles = [{name: ids.get(value, value) for name, value in role.items()} for role in roles]
    answer = await client.post("/v1/people", json=newcomer("", cast.home, roles=roles), headers=cast.as_admin)
    if pointer is None:  # a programme that is not the admin's own is not theirs to staff
        assert answer.status_code == 403
    else:
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


async def test_lists_show_who_is_kept(client: httpx.AsyncClient, cast: Cast) -> None:
    async def ids(headers: Json, query: str = "") -> set[str]:
        page = (await client.get(f"/v1/people{query}", headers=headers)).json()
        return {item["id"] for item in page["items"]}

    assert await ids(cast.as_coordinator) == {str(cast.clinician.id), str(cast.coordinator.id)}
    assert await ids(cast.as_clinician) == {str(cast.clinician.id)}
    assert len(await ids(cast.as_admin)) == 4
    assert await ids(cast.as_admin, f"?role=clinician&institution_id={cast.away.id}") == {str(cast.stranger.id)}
    assert await ids(cast.as_coordinator, f"?institution_id={cast.away.id}") == set()


async def test_somebody_elses_colleague_is_missing(client: httpx.AsyncClient, cast: Cast) -> None:
    for method in ("GET", "PATCH"):
        body = {"locale": "en"} if method == "PATCH" else None
        path = f"/v1/people/{cast.stranger.id}"
        answer = await client.request(method, path, headers=cast.as_coordinator | ANY, json=body)
        assert answer.status_code == 404


async def test_people_change_their_own_name_language_and_zone(client: httpx.AsyncClient, cast: Cast) -> None:
    body = {"display_name": "Somebody", "locale": "en", "zone": "Europe/Warsaw"}
    path = f"/v1/people/{cast.clinician.id}"
    answer = await client.patch(path, json=body, headers=cast.as_clinician | ANY)
    assert answer.status_code == 200
    assert {name: answer.json()[name] for name in body} == body


@pytest.mark.parametrize("change", [{"state": "disabled"}, {"email": "x@y.example"}, {"roles": []}])
async def test_nobody_changes_their_own_roles_state_or_address(
    client: httpx.AsyncClient, cast: Cast, change: Json
) -> None:
    path = f"/v1/people/{cast.coordinator.id}"
    assert (await client.patch(path, json=change, headers=cast.as_coordinator | ANY)).status_code == 403


async def test_a_disabled_colleague_is_out_at_once(client: httpx.AsyncClient, cast: Cast) -> None:
    path = f"/v1/people/{cast.clinician.id}"
    answer = await client.patch(path, json={"state": "disabled"}, headers=cast.as_coordinator | ANY)
    assert (answer.status_code, answer.json()["state"]) == (200, "disabled")
    assert (await client.get("/v1/me", headers=cast.as_clinician)).status_code == 401


async def test_who_works_elsewhere_too_is_not_disabled_by_one_side(
    world: World, client: httpx.AsyncClient, cast: Cast
) -> None:
    async with world.database.work(actor.TIMER) as w:
        await build.grant(w, cast.clinician, "mentor", cast.away)
    path = f"/v1/people/{cast.clinician.id}"
    answer = await client.patch(path, json={"state": "disabled"}, headers=cast.as_coordinator | ANY)
    assert answer.status_code == 403
    assert (await client.patch(path, json={"state": "disabled"}, headers=cast.as_admin | ANY)).status_code == 200


async def test_a_coordinator_changes_roles_at_home_and_leaves_those_elsewhere(
    world: World, client: httpx.AsyncClient, cast: Cast
) -> None:
    async with world.database.work(actor.TIMER) as w:
        await build.grant(w, cast.clinician, "mentor", cast.away)
    path = f"/v1/people/{cast.clinician.id}"
    there = {"role": "mentor", "institution_id": str(cast.away.id)}
    here = {"role": "coordinator", "institution_id": str(cast.home.id), "department": "neonatology"}
    lost = await client.patch(path, json={"roles": [here]}, headers=cast.as_coordinator | ANY)
    assert lost.status_code == 403
    kept = await client.patch(path, json={"roles": [here, there]}, headers=cast.as_coordinator | ANY)
    assert kept.status_code == 200, kept.text
    assert {(role["role"], role["department"]) for role in kept.json()["roles"]} == {
        ("coordinator", "neonatology"),
        ("mentor", None),
    }


async def test_a_new_mentor_has_an_empty_profile_and_is_not_verified(
    world: World, client: httpx.AsyncClient, cast: Cast
) -> None:
    made = await client.post("/v1/people", json=newcomer("mentor", cast.home), headers=cast.as_coordinator)
    async with world.database.work(actor.TIMER) as w:
        row = (await w.sql(sa.select(tables.MentorProfile))).scalar_one()
    assert str(row.person_id) == made.json()["id"]
    assert (row.institution_id, row.verified_until) == (cast.home.id, None)


async def test_a_mentor_who_is_none_any_more_loses_the_verification(
    world: World, client: httpx.AsyncClient, cast: Cast
) -> None:
    async with world.database.work(actor.TIMER) as w:
        mentor = await build.mentor(w, cast.home)
    body = {"roles": [{"role": "clinician", "institution_id": str(cast.home.id)}]}
    answer = await client.patch(f"/v1/people/{mentor.id}", json=body, headers=cast.as_coordinator | ANY)
    assert answer.status_code == 200, answer.text
    async with world.database.work(actor.TIMER) as w:
        assert (await w.read(tables.MentorProfile, mentor.id)).verified_until is None


async def test_a_coordinator_verifies_a_mentor_of_their_own(
    world: World, client: httpx.AsyncClient, cast: Cast
) -> None:
    async with world.database.work(actor.TIMER) as w:
        mentor = await build.mentor(w, cast.home, verified_until=None)
    path = f"/v1/people/{mentor.id}/verification"
    answer = await client.post(path, json={"until": "2027-05-31"}, headers=cast.as_coordinator)
    assert (answer.status_code, answer.json()["verified_until"]) == (200, "2027-05-31T21:00:00Z")
    assert answer.json()["verified_by"] == str(cast.coordinator.id)


async def test_a_verification_takes_an_instant_too_and_a_past_one_takes_it_back(
    world: World, client: httpx.AsyncClient, cast: Cast, test_clock: TestClock
) -> None:
    async with world.database.work(actor.TIMER) as w:
        mentor = await build.mentor(w, cast.home)
    until = test_clock.instant.strftime("%Y-%m-%dT%H:%M:%SZ")
    answer = await client.post(
        f"/v1/people/{mentor.id}/verification", json={"until": until}, headers=cast.as_coordinator
    )
    assert (answer.status_code, answer.json()["verified_until"]) == (200, until)
    assert MONDAY.isoformat().startswith(until[:19])


async def test_nobody_verifies_themself(world: World, client: httpx.AsyncClient, cast: Cast) -> None:
    async with world.database.work(actor.TIMER) as w:
        mentor = await build.mentor(w, cast.home)
        await build.grant(w, mentor, "coordinator", cast.home)
        await build.grant(w, mentor, "programme_admin", cast.programme)
    answer = await client.post(
        f"/v1/people/{mentor.id}/verification",
        json={"until": "2027-05-31"},
        headers=await build.bearer(world, mentor),
    )
    assert answer.status_code == 403


async def test_who_is_no_mentor_is_not_verified(client: httpx.AsyncClient, cast: Cast) -> None:
    path = f"/v1/people/{cast.clinician.id}/verification"
    assert (await client.post(path, json={"until": "2027-05-31"}, headers=cast.as_admin)).status_code == 409
    assert (await client.post(path, json={"until": "2027-05-31"}, headers=cast.as_clinician)).status_code == 403
