"""A restored database is noticed before anything leaves it, and works again once an operator has said so (OPS-10)."""

import asyncio
import io
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from unittest.mock import AsyncMock

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL

import flow
import postoffice
import world as simulated
from api.cli import anchors
from integrations.runtime import doctor, health, logs, mail_delivery, migrate, presence, restore_watch, worker
from integrations.runtime.settings import Settings
from integrations.runtime.world import World
from receiver import tell
from service import timers
from service.kernel import actor, clock, database_clock, installation, outcomes, partitions
from service.outbox import deliveries, webhooks
from service.registry import memorandum_log, restores
from world import TestClock

ELSEWHERE = {
    "other_system": "system_identifier = system_identifier - 1",
    "other_database": "database_oid = database_oid + 1",
    "other_timeline": "timeline = '000000FF'",
}


class Post:
    """An outbox that keeps how many mails left."""

    def __init__(self) -> None:
        self.taken = 0

    async def send(self, message: bytes, recipient: str) -> outcomes.Outcome:
        self.taken += 1
        return outcomes.Delivered(250) if message and recipient else outcomes.Refused("")

    async def probe(self, _sender: str) -> outcomes.Away | None:
        return None


@pytest.fixture
async def scene(
    world: World, test_clock: TestClock, client: httpx.AsyncClient, the_settings: Settings, tmp_path: Path
) -> flow.Scene:
    world.settings = the_settings.model_copy(update={"data_dir": tmp_path})
    world.outbox = Post()
    made = flow.Scene(world, test_clock, client)
    await made.set_up()
    await made.post("coordinator", "/v1/webhook-endpoints", {"url": "https://hospital.example/in"}, 201)
    return made


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    logs.configure("info", stream)
    yield stream
    logs.configure("error")


async def look(scene: flow.Scene) -> installation.Look:
    """Let a worker look that has just started."""
    return await restore_watch.Watch(scene.world).look()


async def restored(scene: flow.Scene, how: str = "other_system") -> None:
    """Have a database that a worker has seen, and that is another one since."""
    await look(scene)
    await scene.rows(f"UPDATE installation SET {ELSEWHERE[how]} RETURNING 1")


async def release(
    scene: flow.Scene, *, mails: timedelta | None = None, drops_webhooks: bool = False
) -> restores.Released:
    async with scene.world.database.work(actor.TIMER) as w:
        released = await restores.release(w, drop_mails_before=mails, drop_webhooks=drops_webhooks)
    assert released is not None
    return released


async def leave(scene: flow.Scene) -> int:
    """Do what a worker does with what is due; gives how many mails and webhooks were taken to be sent."""
    await timers.once(scene.world.database)
    outbox = scene.world.outbox
    assert isinstance(outbox, Post)
    before = outbox.taken
    for row in await scene.rows("SELECT id FROM delivery WHERE kind = 'mail' AND state = 'pending'"):
        await mail_delivery.deliver(scene.world, row.id)
    async with scene.world.database.work(actor.TIMER) as w:
        lots = [await webhooks.claim(w, row, 100) for row in await webhooks.due(w)]
    return outbox.taken - before + sum(len(lot.parcels) for lot in lots if lot)


@pytest.mark.parametrize("how", ELSEWHERE)
async def test_ops_10_nothing_leaves_a_restored_database_even_before_a_worker_has_looked(
    scene: flow.Scene, how: str
) -> None:
    await scene.request()
    await restored(scene, how)
    assert await leave(scene) == 0
    assert await scene.rows("SELECT 1 FROM event WHERE position IS NOT NULL") == []


@pytest.mark.parametrize("how", ELSEWHERE)
async def test_ops_10_a_restored_database_is_held_and_says_so(scene: flow.Scene, lines: io.StringIO, how: str) -> None:
    scene.world.settings = scene.world.settings.model_copy(update={"on_promotion": "hold"})
    await scene.request()
    await restored(scene, how)
    scene.clock.forward(hours=3)
    found = await look(scene)
    assert (found.held_reason, found.is_newly_held) == (how, True)
    assert await leave(scene) == 0
    assert "restored_held" in [json.loads(line)["event"] for line in lines.getvalue().splitlines()]
    assert (await scene.client.get("/health/ready")).json() == {
        "status": "ready", "reasons": [], "notices": ["restored_held"],
    }  # fmt: skip
    assert "pobratym_restore_held 1.0" in (await scene.client.get("/metrics")).text
    assert "pobratym_oldest_due_seconds 0.0" in (await scene.client.get("/metrics")).text
    (finding,) = [each async for each in doctor.database(scene.world) if each.subject == "restore"]
    assert not finding.is_well
    assert "held since" in finding.detail


async def test_ops_10_whoever_works_in_it_goes_on_and_no_time_runs_out(scene: flow.Scene) -> None:
    await scene.request()
    await scene.sweep()
    await restored(scene)
    await look(scene)
    mine = await scene.offer()
    scene.clock.set(flow.read_instant(mine["answer_by"]) + timedelta(hours=1))
    await scene.sweep()
    assert (await scene.get("mentor", f"/v1/offers/{mine['id']}"))["state"] == "pending"
    await scene.request()
    await release(scene)
    await scene.sweep()
    assert (await scene.get("mentor", f"/v1/offers/{mine['id']}"))["state"] == "late"


async def test_ops_10_a_released_database_begins_an_epoch_whose_first_event_tells_everybody(scene: flow.Scene) -> None:
    await scene.request()
    await scene.rows(
        "INSERT INTO log_head (memorandum_id, position, hash) VALUES (:id, 7, repeat('7', 64)) RETURNING 1",
        id=scene.memorandum.id,
    )
    await look(scene)
    await timers.place_events(scene.world.database)
    (end,) = await scene.rows("SELECT max(position) AS position FROM event")
    await restored(scene)
    await look(scene)
    async with scene.world.database.work(actor.TIMER) as w:
        unplaced = tell(w, scene)
    released = await release(scene)
    await timers.place_events(scene.world.database)
    assert (released.epoch.number, released.epoch.floor, released.epoch.lost_after) == (2, 1_000_000, end.position)
    rows = await scene.rows("SELECT id, type, position FROM event WHERE position > :end ORDER BY position", end=end[0])
    assert [(row.type, row.position) for row in rows] == [
        ("installation.restored", 1_000_000), ("session.logged", 1_000_001),
    ]  # fmt: skip
    assert str(rows[1].id) == unplaced
    for who in ("coordinator", "partner", "admin"):
        page = await scene.get(who, "/v1/events?types=installation.restored")
        assert page["items"][0]["data"] | {"id": "", "links": {}, "resync_from": ""} == {
            "id": "", "version": 1, "state": "restored", "links": {}, "epoch": 2, "lost_after": end.position,
            "resync_from": "",
        }  # fmt: skip
        following = await scene.get(who, page["items"][0]["data"]["links"]["self"])
        assert following["items"][0]["type"] == "installation.restored"
    async with scene.world.database.work(actor.TIMER) as w:
        written = anchors.written(await memorandum_log.anchors(w), w.now, await memorandum_log.restored_ends(w))
    (end,) = json.loads(written)["restores"]
    head = {"memorandum_id": str(scene.memorandum.id), "position": 7, "hash": "7" * 64}
    assert end == head | {"epoch": 2, "made_at": flow.instant(scene.clock.now())}
    assert len(anchors.read(written.encode())) == 1
    assert (await look(scene)).held_reason is None
    assert await leave(scene) > 0


@pytest.mark.parametrize(
    ("mails", "drops_webhooks", "left"),
    [
        (None, False, {"mail": 4, "webhook": 4}),
        (timedelta(), False, {"mail": 1, "webhook": 4}),
        (timedelta(hours=2), False, {"mail": 3, "webhook": 4}),
        (None, True, {"mail": 4, "webhook": 1}),
    ],
)
async def test_ops_10_what_waited_already_is_sent_or_dropped_as_the_operator_says(
    scene: flow.Scene, mails: timedelta | None, drops_webhooks: bool, left: dict[str, int]
) -> None:
    async def record(count: int) -> None:
        async with scene.world.database.work(actor.TIMER) as w:
            for _ in range(count):
                tell(w, scene)
                values = {"person_id": str(scene.people["admin"].id)}
                await deliveries.mail(w, template="bounced", person=scene.people["admin"], values=values)

    await record(1)
    scene.clock.forward(hours=3)
    await record(2)
    scene.clock.forward(minutes=5)
    await restored(scene)
    await look(scene)
    scene.clock.forward(minutes=5)
    await record(1)
    released = await release(scene, mails=mails, drops_webhooks=drops_webhooks)
    rows = await scene.rows(
        "SELECT kind, state, count(*) AS count FROM delivery d LEFT JOIN event e ON e.id = d.event_id"
        " WHERE e.type IS DISTINCT FROM 'installation.restored' GROUP BY 1, 2"
    )
    assert {row.kind: row.count for row in rows if row.state == "pending"} == left
    dropped = {row.kind: row.count for row in rows if row.state == "dropped"}
    assert (released.mails_dropped, released.webhooks_dropped) == (dropped.get("mail", 0), dropped.get("webhook", 0))
    (act,) = await scene.rows("SELECT action, details FROM audit WHERE subject = 'installation'")
    assert act.action == "released"
    assert act.details["mails_dropped"] == released.mails_dropped


async def test_ops_10_a_promoted_standby_goes_on_in_a_new_epoch(scene: flow.Scene) -> None:
    await scene.request()
    await restored(scene, "other_timeline")
    found = await look(scene)
    assert found.held_reason is None
    assert found.begun is not None
    assert (found.begun.epoch.number, found.begun.epoch.floor) == (2, 1_000_000)
    rows = await scene.rows("SELECT type, position FROM event WHERE position IS NOT NULL")
    assert [tuple(row) for row in rows] == [("installation.restored", 1_000_000)]  # an older program goes on above it
    assert await leave(scene) > 0
    assert [row[0] for row in await scene.rows("SELECT min(position) FROM event")] == [1_000_000]


async def test_ops_10_a_database_whose_last_event_was_seen_and_is_gone_is_held(scene: flow.Scene) -> None:
    """Files that were copied and put back have the identity of the original."""
    async with scene.world.database.work(actor.TIMER) as w:
        first, second = tell(w, scene), tell(w, scene)
    await look(scene)
    await timers.place_events(scene.world.database)
    assert (await look(scene)).held_reason is None
    await scene.rows("DELETE FROM delivery RETURNING 1")
    await scene.rows("DELETE FROM event WHERE position = 2 RETURNING 1")
    assert (await look(scene)).held_reason == "events_missing"
    released = await release(scene)
    assert released.epoch.lost_after == 1
    assert (await look(scene)).held_reason is None
    assert first != second


async def test_ops_10_what_another_worker_says_it_has_seen_counts(scene: flow.Scene) -> None:
    async with scene.world.database.work(actor.TIMER) as w:
        tell(w, scene)
    await timers.place_events(scene.world.database)
    await look(scene)
    scene.world.presence.worked("restore")
    await scene.world.presence.beat(scene.world.database)
    (row,) = await scene.rows("SELECT loops FROM process")
    assert row.loops["restore"]["position"] == 1
    assert (await look(scene)).held_reason is None
    scene.world.presence.said["restore"] = {"position": 2}
    await scene.world.presence.beat(scene.world.database)
    assert (await look(scene)).held_reason == "events_missing"


FILE = '{"system_identifier": 1, "database_oid": 1, "position": 99, "at": "2026-11-15T00:00:00+00:00"}'
"""Of another database, as a worker on this machine has written it."""


async def test_ops_10_a_file_that_says_nothing_or_that_is_beside_a_new_database_holds_nothing(
    scene: flow.Scene,
) -> None:
    path = scene.world.settings.position_path
    await scene.rows("DELETE FROM event RETURNING 1")
    await scene.rows("DELETE FROM delivery RETURNING 1")
    for text in ("", "[]", "{}", '{"system_identifier": null, "database_oid": 1}', FILE):
        path.write_text(text)
        assert (await look(scene)).held_reason is None


async def test_ops_10_a_database_that_works_already_and_is_not_the_one_of_the_file_is_held_until_its_release(
    scene: flow.Scene,
) -> None:
    """A dump of before an upgrade is as the migration found it: only the machine remembers another one."""
    await scene.request()
    path = scene.world.settings.position_path
    path.write_text(FILE)
    assert (await look(scene)).held_reason == "other_system"
    assert await leave(scene) == 0
    scene.clock.forward(minutes=1)
    await release(scene)
    path.write_text(FILE)  # of a machine that was away meanwhile
    assert (await look(scene)).held_reason is None
    assert json.loads(path.read_text())["at"] == scene.clock.now().isoformat()


@pytest.mark.parametrize("has_worked", [True, False])
async def test_ops_10_a_database_that_works_already_and_that_nobody_knows_is_held(
    scene: flow.Scene, *, has_worked: bool
) -> None:
    if has_worked:
        await scene.request()
    else:
        await scene.rows("DELETE FROM event RETURNING 1")
        await scene.rows("DELETE FROM delivery RETURNING 1")
    await scene.rows("DELETE FROM installation RETURNING 1")
    assert (await look(scene)).held_reason == ("other_database" if has_worked else None)


async def test_ops_10_a_migration_knows_the_database_that_it_has_brought_up_to_date(
    server_url: URL, the_settings: Settings
) -> None:
    async with simulated.database(server_url, f"pobratym_{clock.new_id().hex}") as url:
        engine = simulated.engine(the_settings, url)
        await migrate.upgrade(engine)
        async with engine.connect() as connection:
            known = "SELECT system_identifier, database_oid, timeline FROM installation"
            (row,) = await connection.execute(sa.text(known))
            own = "SELECT (SELECT system_identifier FROM pg_control_system()), oid, present_timeline() FROM pg_database"
            (present,) = await connection.execute(sa.text(f"{own} WHERE datname = current_database()"))
        await engine.dispose()
        assert tuple(row) == tuple(present)


RIGHTS = ("pg_control_system()", "pg_current_wal_lsn()", "pg_walfile_name(pg_lsn)")


async def refuse(scene: flow.Scene, *functions: str) -> None:
    """Have us be a role that may read and write all there is, and call none of the functions."""
    statements = (
        *(f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC" for function in functions),
        "CREATE ROLE poor IN ROLE pg_read_all_data, pg_write_all_data",
        "GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA public TO poor",
        "SET ROLE poor",
    )
    async with scene.world.database.work(actor.TIMER) as w:
        for statement in statements:
            await w.sql(sa.text(statement))


@pytest.mark.parametrize("refused", [*((each,) for each in RIGHTS), RIGHTS])
async def test_ops_10_where_the_server_refuses_to_tell_which_database_it_is_all_works_and_doctor_names_the_right(
    scene: flow.Scene, refused: tuple[str, ...]
) -> None:
    await scene.request()
    await look(scene)
    async with scene.world.database.work(actor.TIMER) as w:
        await partitions.make_all(w)
    await refuse(scene, *refused)
    assert (await look(scene)).held_reason is None
    assert (await look(scene)).begun is None
    assert await leave(scene) > 0
    assert await health.notices(scene.world) == []
    (finding,) = [each async for each in doctor.database(scene.world) if each.subject == "rights"]
    assert not finding.is_well
    assert f'GRANT EXECUTE ON FUNCTION {", ".join(refused)} TO "poor"' in finding.mend
    await scene.rows("UPDATE installation SET database_oid = database_oid + 1 RETURNING 1")
    assert (await look(scene)).held_reason == "other_database"


async def test_ops_10_what_was_refused_and_is_told_later_is_known_from_then_on(scene: flow.Scene) -> None:
    await scene.request()
    await scene.rows("UPDATE installation SET system_identifier = NULL, timeline = NULL RETURNING 1")
    assert (await look(scene)).held_reason is None
    (row,) = await scene.rows("SELECT system_identifier IS NOT NULL AND timeline IS NOT NULL FROM installation")
    assert row[0]


async def test_ops_10_a_worker_that_cannot_look_is_not_ready_until_it_has_looked(scene: flow.Scene) -> None:
    working = presence.of_this_process("worker", "0.test")
    serving, scene.world.presence = scene.world.presence, working
    await scene.rows("ALTER TABLE installation RENAME TO gone")
    stop = asyncio.Event()
    running = asyncio.create_task(worker.run(scene.world, stop))
    await postoffice.until(lambda: working.is_kept_from("restore"))
    stop.set()
    await running
    assert await health.faults(scene.world) == ["restore_unseen"]
    assert await health.notices(scene.world) == ["notices_unknown"]
    await scene.rows("ALTER TABLE gone RENAME TO installation")
    assert await health.notices(scene.world) == ["restore_unseen"]
    await look(scene)
    assert (await health.faults(scene.world), await health.notices(scene.world)) == ([], [])
    scene.world.presence = serving


async def test_ops_10_a_database_whose_last_month_of_audit_is_over_is_released(
    scene: flow.Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    await restored(scene)
    later = clock.wall() + timedelta(days=400)
    monkeypatch.setattr(clock, "wall", lambda: later)
    monkeypatch.setattr(database_clock, "now", AsyncMock(side_effect=lambda _: clock.wall()))
    await look(scene)
    async with scene.world.database.work(actor.TIMER) as w:
        assert (await partitions.ends(w))["audit"] > later  # people write, too
    still_later = later + timedelta(days=400)
    monkeypatch.setattr(clock, "wall", lambda: still_later)
    await release(scene)
    assert len(await scene.rows("SELECT 1 FROM audit WHERE subject = 'installation'")) == 1


async def test_ops_10_a_reader_from_before_the_restore_is_told_and_has_every_new_event(scene: flow.Scene) -> None:
    async def record(count: int) -> list[str]:
        async with scene.world.database.work(actor.TIMER) as w:
            made = [tell(w, scene) for _ in range(count)]
        await timers.place_events(scene.world.database)
        return made

    await look(scene)
    await record(4)
    at_two = (await scene.get("coordinator", "/v1/events?limit=2"))["cursor"]
    at_four = (await scene.get("coordinator", "/v1/events"))["cursor"]
    await scene.rows("DELETE FROM delivery RETURNING 1")
    await scene.rows("DELETE FROM event WHERE position > 3 RETURNING 1")
    await restored(scene)
    await look(scene)
    assert (await scene.get("coordinator", f"/v1/events?after={at_four}"))["items"] == []
    await release(scene)
    new = await record(2)

    for cursor in (at_four, "4", "1.4", "1.4.0"):
        page = await scene.get("coordinator", f"/v1/events?after={cursor}")
        assert [item["id"] for item in page["items"]][1:] == new
        assert page["items"][0]["type"] == "installation.restored"
        assert page["restored"]["lost_after"] == "1.3.0"
        assert page["restored"]["resync_from"].startswith("2.999999.")
        after = await scene.get("coordinator", f"/v1/events?after={page['cursor']}")
        assert (after["items"], after["restored"], after["cursor"]) == ([], None, page["cursor"])
        again = await scene.get("coordinator", f"/v1/events?after={page['restored']['resync_from']}")
        assert again["items"] == page["items"]
        one = await scene.get("coordinator", f"/v1/events?after={cursor}&limit=1")
        assert [
            item["id"] for item in (await scene.get("coordinator", f"/v1/events?after={one['next']}"))["items"]
        ] == new
    page = await scene.get("coordinator", f"/v1/events?after={at_two}")
    assert (len(page["items"]), page["restored"]) == (4, None)


@pytest.mark.parametrize(
    "cursor",
    ["-1", "1.-1", "9223372036854775808", "1.9223372036854775808", "2.1", "99.1000000", "0.0", "1.", "x", "1.2.3.4"],
)
async def test_ops_10_a_cursor_that_means_nothing_here_is_refused_in_words(scene: flow.Scene, cursor: str) -> None:
    answer = await scene.call("coordinator", "GET", f"/v1/events?after={cursor}", status=422)
    assert answer.json()["errors"][0]["pointer"] == "/query/after"
