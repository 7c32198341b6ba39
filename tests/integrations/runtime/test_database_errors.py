"""What the database refuses, by each code that it may give: raised in a real server, by requests and by the worker."""

import asyncio
import io
import json

import httpx
import pytest
import sqlalchemy as sa

import flow
import postoffice
from api import app
from integrations.runtime import database_address, database_faults, health, logs, worker
from integrations.runtime.connector import Connector
from integrations.runtime.world import World
from service.kernel import actor, database_errors, errors
from world import TestClock, calling

LATER = {
    "53100": 30, "53400": 30, "58000": 30, "58030": 30, "58P01": 30, "53000": 1, "53200": 1, "53300": 1, "57P01": 1,
    "57P02": 1, "57P03": 1, "57P04": 1, "57P05": 1, "08000": 1, "08003": 1, "08006": 1, "25P03": 1, "25P04": 1,
    "55006": 1, "55P03": 1, "57014": 1, "28000": 30, "28P01": 30, "3D000": 30, "3F000": 30, "42501": 30, "42P01": 30,
    "42703": 30,
}  # fmt: skip
DAMAGED = ["XX001", "XX002"]


async def refuse(world: World, code: str) -> None:
    """Have the server raise an error of this code in a unit of work."""
    async with world.database.work(actor.TIMER) as w:
        await w.sql(sa.text(f"DO $$ BEGIN RAISE EXCEPTION 'as asked' USING ERRCODE = '{code}'; END $$"))


@pytest.mark.parametrize(("code", "seconds"), LATER.items())
async def test_ops_05_what_passes_is_unavailable_and_says_when_to_come_again(
    world: World, code: str, seconds: int
) -> None:
    with pytest.raises(errors.Unavailable) as refused:
        await refuse(world, code)
    assert refused.value.retry_after_seconds == seconds


@pytest.mark.parametrize("code", DAMAGED)
async def test_ops_05_what_is_damaged_is_a_fault_that_nobody_tries_again(world: World, code: str) -> None:
    with pytest.raises(sa.exc.DBAPIError) as refused:
        await refuse(world, code)
    assert database_errors.meaning(refused.value) is database_errors.CORRUPT


@pytest.fixture
async def scene(world: World, test_clock: TestClock, client: httpx.AsyncClient) -> flow.Scene:
    made = flow.Scene(world, test_clock, client)
    await made.set_up()
    return made


@pytest.fixture
async def read_only(scene: flow.Scene) -> flow.Scene:
    """A database that lets read only, as a standby does; its own, since others' tests write."""
    name = scene.world.connector.address.database
    async with scene.world.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        await connection.execute(sa.text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))
    await scene.world.engine.dispose()
    return scene


@pytest.mark.races
async def test_ops_05_a_database_that_only_lets_read_is_503_and_not_ready(read_only: flow.Scene) -> None:
    scene = read_only
    async with calling(app.create(), scene.world) as client:
        answer: httpx.Response = await client.post("/v1/auth/sign-in-links", json={"email": "nobody@hospital.example"})
        ready = await client.get("/health/ready")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert answer.json()["type"] == "/problems/database-read-only"
    assert (ready.status_code, ready.json()["reasons"]) == (503, ["database_read_only"])
    assert await health.faults(scene.world) == ["database_read_only"]


@pytest.mark.races
async def test_ops_05_a_worker_waits_for_a_database_that_only_lets_read(read_only: flow.Scene) -> None:
    lines, stop = io.StringIO(), asyncio.Event()
    logs.configure("warning", lines)
    working = asyncio.create_task(worker.run(read_only.world, stop))
    try:
        await postoffice.until(lambda: len(told(lines)) > 1)  # it was refused, and tried again
        assert not working.done()
    finally:
        stop.set()
        await working
        logs.configure("error")
    # Its first look has to be written down: nothing else begins before it is.
    said = {(entry["event"], entry["loop"], entry["reason"]) for entry in told(lines)}
    assert said == {("worker_interrupted", "restore", "database_read_only")}


def told(lines: io.StringIO) -> list[dict[str, str]]:
    return [json.loads(line) for line in lines.getvalue().splitlines()]


async def test_ops_07_a_worker_that_is_away_makes_mail_late_and_takes_no_api_out(scene: flow.Scene) -> None:
    await scene.booked()
    scene.clock.forward(minutes=16)
    ready = await scene.client.get("/health/ready")
    assert (ready.status_code, ready.json()["reasons"], ready.json()["notices"]) == (200, [], ["deliveries_late"])


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("127.0.0.1:1/d", "127.0.0.1:1: nothing listens there (ConnectionRefusedError)"),
        ("nobody.invalid/d", "nobody.invalid:5432: no host has this name (gaierror)"),
        ("/d?host=/nowhere", "/nowhere: there is no socket (FileNotFoundError)"),
        (
            "127.0.0.1:1,127.0.0.1:2/d",
            "127.0.0.1:1: nothing listens there; 127.0.0.1:2: nothing listens there (ConnectionRefusedError)",
        ),
    ],
)
async def test_a_server_that_is_not_reached_is_named_with_why(address: str, said: str) -> None:
    user = "" if address.startswith("/") else "u:canary@"
    way = Connector(database_address.parse(f"postgresql://{user}{address}"), usual_seconds=60)
    with pytest.raises(OSError) as caught:  # noqa: PT011 - whichever kind
        await way.connect({})
    assert database_faults.told(caught.value) == said
