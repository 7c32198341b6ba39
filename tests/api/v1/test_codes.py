"""Codes are one in large and small letters, whatever an older program has taken."""

import runpy

import httpx
import pytest
import sqlalchemy as sa

import build
from integrations.runtime.world import World
from postoffice import ROOT
from service.kernel import access, actor


@pytest.fixture
async def admin(world: World) -> dict[str, str]:
    async with world.database.work(actor.TIMER) as w:
        person = await build.admin(w, await build.programme(w, code="ua"))
    return await build.bearer(world, person)


async def test_ft_29_a_second_institution_of_this_code_is_refused(
    client: httpx.AsyncClient, admin: dict[str, str]
) -> None:
    for code, status in (("UA-T-1", 201), ("ua-t-1", 409), ("Ua-T-1", 409), ("ua-t-2", 201)):
        answer = await client.post("/v1/institutions", json={"code": code, "kind": "hospital"}, headers=admin)
        assert answer.status_code == status, answer.text


async def test_ft_29_a_second_specialty_and_programme_of_this_code_are_refused(
    client: httpx.AsyncClient, admin: dict[str, str]
) -> None:
    names = {"name": "N", "name_en": "N", "country": "UA", "zone": "Europe/Kyiv"}
    for code, status in (("Two", 201), ("two", 409)):
        specialty = {"code": code, "name_en": "N", "name_uk": "N"}
        answers = [
            await client.post("/v1/specialties", json=specialty, headers=admin),
            await client.post("/v1/programmes", json={"code": code, **names}, headers=admin),
        ]
        assert [answer.status_code for answer in answers] == [status, status], [answer.text for answer in answers]


async def test_ft_29_a_subject_is_found_by_its_code_in_either_case(world: World) -> None:
    async with world.database.work(actor.TIMER) as w:
        place = await build.institution(w, code="UA-Case")
        assert await access.id_of(w, "institution", "ua-case") == place.id


async def test_ft_29_codes_that_differ_in_case_only_are_told_apart_by_the_migration(world: World) -> None:
    """The statement of the migration, on rows as an older program left them."""
    statement = runpy.run_path(str(ROOT / "migrations/versions/2026_11_30_unite_codes.py"))["_RENAME"]
    async with world.database.work(actor.TIMER) as w:
        await w.sql(sa.text("DROP INDEX uq_institution_code_any_case"))
        first, second = [(await build.institution(w, code=code)).id for code in ("ua-t-1", "UA-T-1")]
        await w.sql(sa.text(statement.format(table="institution")))
        codes = {row.id: row.code for row in await w.sql(sa.text("SELECT id, code FROM institution"))}
    assert codes[first] == "ua-t-1"
    assert codes[second] == f"UA-T-1-{second.hex[-12:]}"
