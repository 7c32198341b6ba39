"""An upgrade while everybody works: the schema first, then a newer program beside the older one, and back again.

`HELD_SECONDS` says for how long somebody's transaction stands in a migration's way (12).
"""

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

import build
import newer
import postoffice
from drills import load, site
from integrations.runtime import schema_version
from service.kernel import actor, clock
from service.people import logins

pytestmark = pytest.mark.drill

HELD_SECONDS = float(os.environ.get("HELD_SECONDS", "12"))
BETWEEN = 25  # acknowledged changes
HOT = ("consultation", "offer", "appointment", "participant", "seat", "event", "delivery", "person", "role_grant")


@pytest.fixture
def program(tmp_path: Path) -> newer.Program:
    return newer.Program(tmp_path)


@contextlib.asynccontextmanager
async def own_connection(running: site.Site) -> AsyncIterator["asyncpg.Connection[Any]"]:
    """Have a session without any timeout, as an operator's is."""
    connection = await asyncpg.connect(running.world.connector.address.text.replace("+asyncpg", "", 1))
    try:
        yield connection
    finally:
        await connection.close()


@contextlib.asynccontextmanager
async def read_for_long(running: site.Site) -> AsyncIterator[None]:
    """Have somebody read every busy table in one transaction, which lasts so long and as long as the block."""
    async with own_connection(running) as reader, reader.transaction():
        until = clock.monotonic() + HELD_SECONDS
        for table in HOT:
            await reader.execute(f"SELECT count(*) FROM {table}")
        yield
        await asyncio.sleep(until - clock.monotonic())


async def complains(process: asyncio.subprocess.Process, of: str) -> None:
    """Wait until it has said this on stderr."""
    assert process.stderr is not None
    heard = b""
    while of.encode() not in heard:
        line = await process.stderr.readline()
        assert line, heard
        heard += line


async def goes_well(running: site.Site, people: load.Load) -> None:
    """Nothing was refused that another had not taken, nothing was lost, is there twice or half done."""
    await load.settled(running)
    assert await load.faults(running, people) == []
    assert set(people.refused) <= {"POST offers 409 /problems/slot-taken"}


async def test_a_migration_that_a_long_transaction_holds_up_stalls_nobody_and_loses_nothing(
    folder: Path, program: newer.Program
) -> None:
    for table in HOT:
        program.schema.add(f"add_mood_{table[:10]}", f"ALTER TABLE {table} ADD COLUMN mood text")
    last = program.schema.add(
        "check_mood", "ALTER TABLE seat ADD CONSTRAINT ck_seat_mood CHECK (mood <> 'bad') NOT VALID"
    )
    async with site.opened(folder) as running:
        people = load.Load(running)
        async with people.going_on():
            await people.grows(BETWEEN)
            before, people.slowest_seconds = people.slowest_seconds, 0
            async with running.running(program.folder, "migrate") as migration:
                async with read_for_long(running):
                    await complains(migration, '"attempt": 4')
                    await people.grows(BETWEEN)
                    assert migration.returncode is None
                assert await migration.wait() == 0, await complaints(migration)
            await people.grows(BETWEEN)
            slowest = people.slowest_seconds
        print(f"slowest answer {slowest:.2f} s, {before:.2f} s before; sent again: {dict(people.again)}")  # noqa: T201 - for `make drills`
        assert await schema_version.present(running.world.engine) == last
        await goes_well(running, people)
        assert people.again["503"] == 0
        assert slowest < HELD_SECONDS / 2


async def test_a_migration_that_waits_for_a_long_transaction_would_be_noticed(folder: Path) -> None:
    """The control: who waits for the lock as long as it takes has everybody wait behind, and be refused."""
    async with site.opened(folder) as running, own_connection(running) as patient:
        people = load.Load(running)
        async with people.going_on():
            await people.grows(BETWEEN)
            async with read_for_long(running):
                waiting = asyncio.create_task(patient.execute("ALTER TABLE consultation ADD COLUMN mood text"))
                await postoffice.until(lambda: people.again["503"] > 0)
            await waiting
        await goes_well(running, people)


NOVEL = "Something new"


def expanded(program: newer.Program) -> str:
    """Let the newer program's schema have what a next release might add; gives its version."""
    program.learn("triaged", NOVEL)
    for table in (*HOT, "queue.pgqueuer"):
        name = table.replace(".", "_")[-10:].strip("_")
        program.schema.add(f"add_mood_{name}", f"ALTER TABLE {table} ADD COLUMN mood text DEFAULT 'calm'")
    program.schema.add("make_triage", "CREATE TABLE triage (consultation_id uuid PRIMARY KEY REFERENCES consultation)")
    program.schema.add_written(
        "index_specialty",
        "with op.get_context().autocommit_block():\n"
        "    op.execute('SET lock_timeout = 0')\n"
        "    op.execute('CREATE INDEX CONCURRENTLY ix_novel ON consultation (specialty_code)')",
    )
    return program.schema.add(
        "widen_kinds",
        "ALTER TABLE delivery DROP CONSTRAINT ck_delivery_kind_known",
        "ALTER TABLE delivery ADD CONSTRAINT ck_delivery_kind_known"
        " CHECK (kind IN ('mail', 'webhook', 'sms')) NOT VALID",
    )


async def write_news(running: site.Site) -> str:
    """Write what only the newer program would: job, event, mail, another kind of delivery; gives the mail's id."""
    mail_id = str(clock.new_id())
    who = running.scene.people["coordinator"]
    payload = {"template": "triaged", "locale": "uk", "dated": "2026-11-16T08:00:00Z", "values": {}, "links": {}}
    async with running.world.database.work(actor.TIMER) as w:
        now = w.now
        await logins.make_signing_key(w, rotate=True)
    async with own_connection(running) as newest:
        await newest.execute(
            "INSERT INTO queue.pgqueuer (priority, status, entrypoint, payload) VALUES (9, 'queued', 'triage', 'x')"
        )
        await newest.execute(
            "INSERT INTO event (id, type, subject_id, subject_version, institution_ids, person_ids, occurred_at, body)"
            " VALUES ($1, 'consultation.triaged', $2, 1, '{}', ARRAY[$3::uuid], $4, $5)",
            clock.new_id(), clock.new_id(), who.id, now,
            json.dumps({"type": "consultation.triaged", "timestamp": "2026-11-16T08:00:00Z", "data": {"mood": "calm"}}),
        )  # fmt: skip
        for row_id, kind in ((mail_id, "mail"), (str(clock.new_id()), "sms")):
            await newest.execute(
                "INSERT INTO delivery (id, kind, person_id, payload, state, attempt, next_attempt_at, created_at)"
                " VALUES ($1, $2, $3, $4, 'pending', 0, $5, $5)",
                row_id, kind, who.id, json.dumps(payload), now,
            )  # fmt: skip
    return mail_id


async def the_older_leaves_the_news(running: site.Site, mail_id: str) -> None:
    """The older program answers with the event as it was written, and touches nothing that it does not know."""

    async def is_left() -> bool:
        return bool(await running.scene.rows("SELECT 1 FROM delivery WHERE error = 'for a newer worker'"))

    await postoffice.until(is_left)
    (letter,) = await running.scene.rows("SELECT state, attempt FROM delivery WHERE id = :id", id=mail_id)
    assert tuple(letter) == ("pending", 0)
    assert (await running.client.get("/health/ready")).json() == {"status": "ready", "reasons": [], "notices": []}
    signed_anew = await build.bearer(running.world, running.scene.people["coordinator"])
    listed = await running.client.get("/v1/events?limit=200", headers=signed_anew)
    page = listed.json()
    events = page["items"]
    while page["next"]:
        page = (await running.client.get(f"/v1/events?limit=200&after={page['next']}", headers=signed_anew)).json()
        events += page["items"]
    assert [event["data"] for event in events if event["type"] == "consultation.triaged"] == [{"mood": "calm"}]


async def nothing_new_was_touched(running: site.Site) -> None:
    """The job and the delivery of unknown kinds are as they were; then the latter goes, as nobody here can send it."""
    jobs = await running.scene.rows("SELECT status, attempts FROM queue.pgqueuer WHERE entrypoint = 'triage'")
    assert [tuple(row) for row in jobs] == [("queued", 0)]
    texts = await running.scene.rows("DELETE FROM delivery WHERE kind = 'sms' RETURNING state, attempt, error")
    assert [tuple(row) for row in texts] == [("pending", 0, None)]
    moods = await running.scene.rows("SELECT DISTINCT mood FROM consultation")
    assert [row.mood for row in moods] == ["calm"]


async def test_an_older_and_a_newer_program_work_side_by_side_and_back_again(
    folder: Path, program: newer.Program
) -> None:
    version = expanded(program)
    async with site.opened(folder) as running:
        people = load.Load(running)
        port = str(site.free_port())
        async with people.going_on():
            await people.grows(BETWEEN)
            async with running.running(program.folder, "migrate") as migration:
                assert await migration.wait() == 0, await complaints(migration)
            assert await schema_version.present(running.world.engine) == version
            mail_id = await write_news(running)
            await people.grows(BETWEEN)
            await the_older_leaves_the_news(running, mail_id)
            for name in ("worker", "api"):  # they are started again on the schema of the newer one
                await running.kill(name)
                await running.revive(name)
            await people.grows(BETWEEN)
            async with (
                running.running(program.folder, "worker"),
                running.running(program.folder, "serve", "--no-worker", "--port", port),
                httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client,
            ):
                await postoffice.until(lambda: site.is_ready(client))
                people.clients.append(client)
                await people.grows(2 * BETWEEN)
                await postoffice.until(lambda: has_left(running, mail_id))
                people.clients.remove(client)
            await people.grows(BETWEEN)  # the newer ones are gone again
        await nothing_new_was_touched(running)
        await goes_well(running, people)


async def has_left(running: site.Site, mail_id: str) -> bool:
    """Tell whether the newer program's letter was delivered."""
    (row,) = await running.scene.rows("SELECT state FROM delivery WHERE id = :id", id=mail_id)
    return bool(row.state == "delivered")


async def complaints(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    return (await process.stderr.read()).decode()
