"""Reports on a replica, here the same server by another address: read only there, and never an error of its making."""

import base64
from collections.abc import AsyncIterator

import httpx
import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from pydantic import SecretStr

import build
import secured_postgres
import world as simulated
from api.edge import files
from api.edge.metrics import shown
from caseload import FROM, UNTIL, Caseload
from integrations.runtime import doctor, health, replicas, settings
from integrations.runtime import world as worlds
from integrations.runtime.world import World
from service import vocabulary
from service.kernel import actor, clock, errors, recent_changes
from service.kernel.work import Work

pytestmark = pytest.mark.races
NOBODY = f"postgresql://nobody@127.0.0.1:{secured_postgres.free_port()}/nothing"


def told(world: World, read_url: str) -> settings.Settings:
    key = base64.urlsafe_b64encode(bytes(range(32))).decode().rstrip("=")
    return settings.Settings(
        database_url=SecretStr(world.connector.address.text),
        database_read_url=SecretStr(read_url),
        secret_keys=SecretStr(f"test:{key}"),
        data_dir=world.settings.data_dir,
        pool_timeout_ms=60_000,
    )


@pytest.fixture
async def reading(world: World) -> AsyncIterator[World]:
    """The world of a process that reads its reports through a second address of the same server."""
    async with worlds.opened(told(world, world.connector.address.text)) as opened:
        yield opened


@pytest.fixture
async def scene(world: World) -> Caseload:
    made = Caseload(world)
    await made.set_up(cases=6)
    return made


def fallbacks(world: World) -> dict[str, int]:
    counted = world.database.counted
    return {kind: number for (what, kind), number in counted.items() if what == "replica_fallbacks" and number}


async def asked(
    app: FastAPI, world: World, scene: Caseload, path: str, form: vocabulary.ResponseForm
) -> httpx.Response:
    headers = await build.bearer(world, scene.coordinator) | {"Accept": files.KINDS[form]}
    async with simulated.calling(app, world, headers=headers) as client:
        return await client.get(f"/v1/institutions/{scene.asking.id}/{path}from={FROM}&until={UNTIL}")


@pytest.mark.parametrize("read_url", ["the same server", NOBODY], ids=["the same server", "nobody"])
async def test_reports_and_journal_are_the_same_from_a_replica_and_without_one(
    application: FastAPI, world: World, scene: Caseload, read_url: str
) -> None:
    address = world.connector.address.text if read_url == "the same server" else read_url
    async with worlds.opened(told(world, address)) as reading:
        reading.database.clock = reading.replica.database.clock = world.clock  # type: ignore[union-attr]
        forms: tuple[tuple[str, vocabulary.ResponseForm], ...] = (
            ("report?compare=previous&by=month&", "json"), ("report?", "csv"),
            ("report/rows?of=sessions&", "json"), ("journal?", "json"), ("journal?", "csv"),
        )  # fmt: skip
        for path, form in forms:
            expected = await asked(application, world, scene, path, form)
            found = await asked(application, reading, scene, path, form)
            assert (found.status_code, "as-of" in found.headers) == (200, True), (path, form)
            if form == "json":
                unlike = {"as_of": None}
                assert found.json() | unlike == expected.json() | unlike
            elif form == "csv":
                assert found.content == expected.content
        page = shown(await health.backlog(reading))[0].decode()
        is_there = read_url != NOBODY
        assert fallbacks(reading) == ({} if is_there else {"unreachable": 5})
        assert f"pobratym_replica_lag_seconds {'0.0' if is_there else '+Inf'}" in page
        assert f'pobratym_replica_fallbacks_total{{reason="unreachable"}} {0.0 if is_there else 5.0}' in page
        (finding,) = [found for found in await doctor.examine(reading.settings) if found.subject == "replica"]
        assert (finding.is_well, "0 s late" in finding.detail) == (is_there, is_there)


async def test_a_report_reads_one_snapshot_in_which_nothing_can_be_written(reading: World) -> None:
    seen = []

    async def look(w: Work) -> None:
        names = ("transaction_isolation", "transaction_read_only", "application_name")
        seen.append([(await w.sql(sa.text(f"SHOW {name}"))).scalar_one() for name in names])

    await replicas.read(reading.database, reading.replica, actor.TIMER, look)
    assert seen == [["repeatable read", "on", "pobratym api"]]

    async def write(w: Work) -> str:
        seen.append([(await w.sql(sa.text("SHOW transaction_read_only"))).scalar_one()])
        await w.sql(sa.text("UPDATE installation SET epoch = epoch"))
        return "written"

    assert await replicas.read(reading.database, reading.replica, actor.TIMER, write) == "written"
    assert seen[1:] == [["on"], ["off"]]  # the primary did it
    assert fallbacks(reading) == {"ended": 1}


async def test_a_server_that_does_not_tell_which_cluster_it_is_is_read_all_the_same(world: World) -> None:
    """As a managed one, of which a role may not ask for it: no report may fail for that."""
    role = f"poor_{clock.new_id().hex}"
    statements = (
        "REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC",
        f"CREATE ROLE {role} IN ROLE pg_read_all_data, pg_write_all_data",
        f"ALTER DATABASE {world.connector.address.database} SET role = '{role}'",
    )
    async with world.database.work(actor.TIMER) as w:
        for statement in statements:
            await w.sql(sa.text(statement))

    async def look(w: Work) -> tuple[str, bool]:
        return (await w.sql(sa.text("SELECT current_user"))).scalar_one(), w.as_of is not None

    async with worlds.opened(told(world, world.connector.address.text)) as reading:
        assert await replicas.read(reading.database, reading.replica, actor.TIMER, look) == (role, True)
        assert fallbacks(reading) == {}


async def test_what_the_replica_refuses_the_primary_decides(
    application: FastAPI, reading: World, scene: Caseload
) -> None:
    headers = await build.bearer(reading, scene.coordinator)
    async with simulated.calling(application, reading, headers=headers) as client:
        answer = await client.get(f"/v1/institutions/{scene.coordinator.id}/report")
    assert answer.status_code == 404
    assert fallbacks(reading) == {"refused": 1}


async def test_the_calls_of_reports_are_counted_where_they_can_be(
    application: FastAPI, world: World, scene: Caseload
) -> None:
    few = told(world, world.connector.address.text).model_copy(update={"requests_per_minute": 1})
    async with worlds.opened(few) as reading:
        statuses = [(await asked(application, reading, scene, "report?", "json")).status_code for _ in range(2)]
    assert statuses == [200, 429]


async def test_who_has_just_changed_something_is_known_to_every_process(reading: World, scene: Caseload) -> None:
    known, who = reading.database.clock.now(), actor.Actor("person", scene.coordinator.id)

    async def is_noted() -> bool:
        async with reading.database.apart() as w:
            return await recent_changes.has_any(w, scene.coordinator.id, known)

    async with reading.database.work(who) as w:
        await w.sql(sa.text("SELECT 1 FROM installation"))
    assert not await is_noted()

    async def fail(w: Work) -> None:
        await w.sql(sa.text("UPDATE institution SET name = name"))
        raise errors.NotFound

    with pytest.raises(errors.NotFound):
        await reading.database.run(who, fail)
    assert not await is_noted()
    async with reading.database.work(who) as w:
        await w.sql(sa.text("UPDATE institution SET name = name"))
    assert await is_noted()


def test_a_replica_goes_with_a_primary_and_of_several_hosts_a_standby_is_taken() -> None:
    with pytest.raises(settings.BadSettings, match="POBRATYM_DATABASE_READ_URL goes with POBRATYM_DATABASE_URL"):
        settings.load({"POBRATYM_DATABASE_READ_URL": NOBODY})
    two = settings.Settings(database_read_url=SecretStr("postgresql://a,b/d")).read_address()
    assert two is not None
    assert two.session_attributes == "prefer-standby"
