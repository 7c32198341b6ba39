"""Pages, files and a process's first calls: nothing holds the event loop for 100 ms of its own time (SEC-01)."""

# ruff: noqa: T201 - printed for `make drills`

import base64
import contextlib
import itertools
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import asyncpg
import httpx
import pytest
import sqlalchemy as sa
from fastapi import FastAPI
from fastapi.routing import APIRoute
from sqlmodel import col

import build
import generator
import postoffice
import targets
import world as simulated
from api import pages
from api.edge import files, incoming
from api.exchange import import_work
from drills.looping import COSTLY, MOST_SECONDS, Loop
from flow import Scene
from integrations.runtime.world import World
from service import tables
from service.kernel import actor, clock
from service.kernel.work import Work
from service.people import logins

pytestmark = [pytest.mark.drill, pytest.mark.races]

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
MOST_OF_A_FORM = incoming.MOST_BYTES[FORM["Content-Type"]]
PEOPLE = ("clinician", "coordinator", "mentor", "partner", "admin")
NAME = re.compile(r'name="([a-z_0-9]+)"')
HEAD = b"code,name,kind\n"
FILES = {
    "10 MB of rows": HEAD + b"".join(b"place-%06d,Hospital,hospital\n" % number for number in range(320_000)),
    "10 MB in one cell": HEAD + b'x,"' + b"x" * 10_000_000 + b'",hospital\n',
    "10 MB of line ends": b"\r\n" * 5_000_000,
    "10 MB of ends that are none": b"\r\n--boundar" * 900_000,
    "10 MB of commas": b"," * 10_000_000,
    "10 MB of quotes": HEAD + b'"' * 10_000_000,
    "10 MB of Cyrillic in cp1251": HEAD + "Лікарня ".encode("cp1251") * 1_250_000,
    "10 MB of UTF-16": ("code;name;kind\r\n" + "x;Лікарня;hospital\r\n" * 260_000).encode("utf-16"),
    "10 MB of nothing": bytes(10_000_000),
    "10 MB as a broken workbook": b"PK\x03\x04" + b"\x00" * 9_999_000,
}
FULL = generator.Size()
FORMS = tuple(files.KINDS.values())
FIRST = ("/health/ready", "/health/live", "/", "/sign-in", "/openapi.json", "/docs", "/metrics", "/v1/me", "/nowhere")
BUSIEST = "SELECT {column} FROM session GROUP BY 1 ORDER BY count(*) DESC LIMIT 1"


@contextlib.asynccontextmanager
async def browser(application: FastAPI, scene: Scene, who: str) -> AsyncIterator[httpx.AsyncClient]:
    """A browser of its own, signed in as the person."""
    async with scene.world.database.work(actor.TIMER) as w:
        token = await logins.link_token(w, scene.people[who].email, timedelta(minutes=15))
    async with simulated.calling(application, scene.world) as client:
        answer = await client.post(f"/sign-in/{token}")
        assert answer.status_code == 303, answer.text
        yield client


def routes() -> list[tuple[str, str]]:
    """Name every route of the pages."""
    routers = [part.router for part in vars(pages).values() if isinstance(part, ModuleType) and hasattr(part, "router")]
    found = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]
    return sorted((method, route.path) for route in found for method in (route.methods or set()) & {"GET", "POST"})


async def test_sec_01_no_form_of_a_person_who_is_signed_in_holds_the_loop(
    world: World, test_clock: simulated.TestClock, client: httpx.AsyncClient, application: FastAPI, loop: Loop
) -> None:
    scene = Scene(world, test_clock, client)
    known = {path.removeprefix("/v1"): id_ for path, id_ in (await targets.ids(scene)).items()}
    shown = [path for method, path in routes() if method == "GET" and path != "/live"]  # which does not end
    sent = [path for method, path in routes() if method == "POST" and path != "/sign-out"]
    assert len(sent) > 15
    tried = 0
    for who in PEOPLE:
        async with browser(application, scene, who) as visitor:
            names: set[str] = set()
            for path in shown:
                await visitor.get(_at(known, path))  # what is loaded once, is loaded
                await loop.begin(f"{who} GET {path}")
                names |= set(NAME.findall((await visitor.get(_at(known, path))).text))
            for path, (doing, form) in itertools.product(sent, forms(names)):
                await loop.begin(f"{who} POST {path}: {doing}")
                answer = await visitor.post(_at(known, path), content=form, headers=FORM)
                tried += answer.status_code != 413
    assert tried > 1_000
    assert loop.too_long() == []


def _at(known: dict[str, str], path: str) -> str:
    first = re.sub(r"^(/[a-z-]+/)\{[^}]*\}", lambda found: found[1] + known.get(found[1], str(clock.new_id())), path)
    return re.sub(r"\{[^}]*\}", "x" * 43, first)


def forms(names: set[str]) -> list[tuple[str, bytes]]:
    """Give full forms: each costly text in every field at once, and as long as it may be in one of a text's fields."""
    made = []
    for doing, text in COSTLY.items():
        share = MOST_OF_A_FORM // (6 * (len(names) + 1))
        made.append((f"{doing} everywhere", urlencode(dict.fromkeys(sorted(names), text[:share])).encode()))
        long = text
        while len(urlencode({"question": long})) > MOST_OF_A_FORM - 2_000:
            long = long[: len(long) * 9 // 10]
        made += [(f"{doing} in {name}", urlencode({name: long}).encode()) for name in ("question", "text", "note")]
    made.append(("one name again and again", "&".join(["tags=a"] * 9_000).encode()))
    made.append(("many names", "&".join(f"a{number}=" for number in range(7_000)).encode()))
    made.append(("per cents", b"question=" + b"%" * 65_000))
    return made


async def test_sec_01_no_file_that_is_sent_holds_the_loop(
    world: World, test_clock: simulated.TestClock, client: httpx.AsyncClient, loop: Loop
) -> None:
    scene = Scene(world, test_clock, client)
    await scene.set_up()
    bearer = await build.bearer(world, scene.people["admin"])
    states = set()
    for doing, content in FILES.items():
        for kind, mapping in (("institutions", None), ("people", "x" * 60_000)):
            form = {"kind": kind} | ({"map": mapping} if mapping else {})
            await loop.begin(f"POST /v1/imports: {doing}, {kind}")
            answer = await client.post("/v1/imports", data=form, files={"file": ("x.csv", content)}, headers=bearer)
            loop.doing = f"the worker on {doing}, {kind}"
            if answer.status_code == 202:
                await import_work.once(world)
                await loop.begin(f"GET /v1/imports: {doing}, {kind}")
                states.add((await client.get(answer.headers["Location"], headers=bearer)).json()["state"])
    assert states
    assert loop.too_long() == []


async def test_sec_01_no_report_of_full_size_holds_the_loop(
    world: World, client: httpx.AsyncClient, loop: Loop
) -> None:
    connection = await asyncpg.connect(world.connector.address.text)
    await generator.load(connection, generator.generate(simulated.MONDAY, FULL))
    await connection.execute("ANALYZE")
    columns = {
        "programmes": "programme_id", "institutions": "requesting_institution_id", "memoranda": "memorandum_id",
    }  # fmt: skip
    ids = {kind: await connection.fetchval(BUSIEST.format(column=column)) for kind, column in columns.items()}
    await connection.close()
    async with world.database.work(actor.TIMER) as w:
        admin = await build.admin(w, await _row(w, tables.Programme, ids["programmes"]))
        keeper = await build.coordinator(w, await _row(w, tables.Institution, ids["institutions"]))
    for kind, id_ in ids.items():
        bearer = await build.bearer(world, keeper if kind == "institutions" else admin)
        paths = [f"/v1/{kind}/{id_}/report?compare=previous&by=month"]
        paths += [f"/v1/{kind}/{id_}/journal"] if kind == "institutions" else []
        for path, form in itertools.product(paths, FORMS):
            doing = f"GET {path.replace(str(id_), '{id}')} as {form[-20:]}"
            await loop.begin(doing)
            answer = await client.get(path, headers=bearer | {"Accept": form})
            print(f"{answer.status_code} {len(answer.content):9} octets  {doing}")
    assert loop.too_long() == []


async def _row(w: Work, table: type[tables.Programme | tables.Institution], id_: UUID) -> Any:  # noqa: ANN401 - either
    return (await w.sql(sa.select(table).where(col(table.id) == id_))).scalar_one()


MEASURED = f"""
import asyncio, json, sys, time
from asyncio import events
run = events.Handle._run
held = open(sys.argv.pop(1), "w", buffering=1)
def timed(handle):
    began = time.thread_time()
    run(handle)
    took = time.thread_time() - began
    if took > {MOST_SECONDS}:
        held.write(json.dumps([time.monotonic(), took, repr(handle)[:200]]) + "\\n")
events.Handle._run = timed
from api.cli.main import main
main()
"""


@pytest.mark.parametrize("more", [(), ("--no-worker",)])
def test_sec_01_the_first_calls_of_a_process_hold_its_loop_no_longer_than_later_ones(
    folder: Path, more: tuple[str, ...]
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    held, base = folder / "held", f"http://127.0.0.1:{port}"
    key = base64.urlsafe_b64encode(bytes(range(32))).decode().rstrip("=")
    environment = os.environ | {
        "PYTHONPATH": str(postoffice.ROOT),
        "POBRATYM_DATA_DIR": str(folder),
        "POBRATYM_SECRET_KEYS": f"test:{key}",
        "POBRATYM_LOG_LEVEL": "error",
    }
    command = [sys.executable, "-c", MEASURED, str(held), "serve", "--port", str(port), *more]
    with subprocess.Popen(command, env=environment) as server:
        try:
            _listens(port, server)
            served_at = time.monotonic()
            with httpx.Client(base_url=base, timeout=60) as client:
                for path in FIRST:
                    client.get(path)
                client.post("/sign-in", data={"email": "somebody@hospital.example"})
                client.post("/v1/auth/sign-in-links", json={"email": "somebody@hospital.example"})
        finally:
            server.terminate()
            server.wait(60)
    steps = [json.loads(line) for line in held.read_text().splitlines()]
    print([(round(at - served_at, 1), round(took, 3), what) for at, took, what in steps])
    assert [(took, what) for at, took, what in steps if at > served_at] == []


def _listens(port: int, server: "subprocess.Popen[bytes]") -> None:
    while server.poll() is None:
        with contextlib.suppress(ConnectionError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.1)
    pytest.fail("the server ended")
