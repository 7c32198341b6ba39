"""A recovery to a point in time, as an operator does it: nothing leaves before it is released, no event is missed."""

import contextlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import build
import clusters
import postoffice
import receiver
from drills import site
from service import tables
from service.kernel import clock

pytestmark = [
    pytest.mark.drill,
    pytest.mark.skipif(not clusters.is_there(), reason="skipped: no PostgreSQL 15"),
]
BEFORE, PENDING, LOST, AFTER = 3, 2, 4, 3  # cases filed before the target, just before it, after it, after the restore


def address(cluster: clusters.Cluster) -> str:
    return f"postgresql://pobratym@{cluster.host}/pobratym"


async def filed(running: site.Site, count: int) -> list[str]:
    """File so many requests; gives their ids."""
    made = []
    for number in range(count):
        name = f"clinician{number % site.CLINICIANS}"
        wish = running.scene.wish(priority="routine")
        answer = await running.client.post("/v1/consultations", json=wish, headers=running.bearers[name])
        assert answer.status_code == 201, answer.text
        made.append(str(answer.json()["id"]))
    return made


async def statuses(running: site.Site, ids: list[str]) -> set[int]:
    bearers = [running.bearers[name] for name in running.names("clinician")]
    return {
        min([(await running.client.get(f"/v1/consultations/{id_}", headers=bearer)).status_code for bearer in bearers])
        for id_ in ids
    }


async def asked(running: site.Site, cursor: str | None = None) -> tuple[list[Any], str, Any]:
    """Read every event behind the cursor as the coordinator; gives them, the next cursor, what `restored` said."""
    found: list[Any] = []
    told = None
    while True:
        query = {"limit": "200", **({"after": cursor} if cursor else {})}
        page = (await running.client.get("/v1/events", params=query, headers=running.bearers["coordinator"])).json()
        found += page["items"]
        told = told or page["restored"]
        cursor = page["cursor"]
        if page["next"] is None:
            return found, page["cursor"], told


def command(running: site.Site, *words: str) -> subprocess.CompletedProcess[str]:
    """Type a command of the program."""
    return subprocess.run(
        site.command(*words),
        cwd=postoffice.ROOT,
        env=running.environment(),
        capture_output=True,
        text=True,
        check=False,
    )


async def all_sent(running: site.Site) -> None:
    """Wait until every event has its place, and no mail or webhook waits."""

    async def is_done() -> bool:
        rows = await running.scene.rows(
            "SELECT 1 FROM delivery WHERE state = 'pending' UNION ALL SELECT 1 FROM event WHERE position IS NULL"
        )
        return not rows

    await postoffice.until(is_done, 120)


@contextlib.asynccontextmanager
async def ears() -> AsyncIterator[tuple[postoffice.PostOffice, receiver.Receiver, dict[str, str]]]:
    """Have a mail server and a receiver of webhooks, and the settings that lead there."""
    async with postoffice.opened() as office, receiver.opened() as taken:
        yield office, taken, {"SMTP_URL": office.url, "OUTBOUND_ALLOW": "127.0.0.1"}


def recovered(backup: clusters.Cluster, target: str) -> clusters.Cluster:
    """Have the base backup recover to the instant, and pause there, as the operations page says."""
    (backup.data / "recovery.signal").touch()
    if os.geteuid() == 0:
        shutil.chown(backup.data / "recovery.signal", "postgres")
    backup.start(
        restore_command=f"cp {backup.archive}/%f %p", recovery_target_time=target, recovery_target_action="pause"
    )
    return backup


def forget(folder: Path) -> None:
    """Have no worker of this machine know which event it saw last."""
    for remembered in folder.rglob("event-position"):
        remembered.unlink()


@pytest.mark.parametrize("promotion", ["hold", "go"])
async def test_ops_10_drill_restore_to_a_point_in_time(folder: Path, promotion: str) -> None:
    """With `go` no machine remembers the database, so only the server's recovery target tells that it was restored."""
    with clusters.primary() as primary:
        async with ears() as (office, taken, settings):
            async with site.over(address(primary), folder, is_new=True, **settings) as running:
                made = {"url": taken.url, "institution_id": str(running.scene.asking.id)}
                answer = await running.client.post(
                    "/v1/webhook-endpoints", json=made, headers=running.bearers["coordinator"]
                )
                assert answer.status_code == 201, answer.text
                before = await filed(running, BEFORE)
                await all_sent(running)
                backup = primary.back_up("restored")
                running.processes["worker"].terminate()
                running.processes["worker"].wait()
                before += await filed(running, PENDING)  # their mails and webhooks wait at the target
                target = primary.sql("SELECT clock_timestamp()")
                assert int(primary.sql("SELECT count(*) FROM delivery WHERE state = 'pending'")) > 0
                lost = await filed(running, LOST)
                await running.start("worker")
                await all_sent(running)
                read, cursor, _ = await asked(running)
                last = primary.sql("SELECT pg_walfile_name(pg_current_wal_lsn())")
                primary.sql("SELECT pg_switch_wal()")
                await postoffice.until((primary.archive / last).exists)
                people = running.scene.people
            primary.stop()
            if promotion == "go":
                forget(folder)
            settings["ON_PROMOTION"] = promotion
            began = clock.monotonic()
            restored = recovered(backup, target)
            await _goes_on(
                restored, folder, settings, before=before, lost=lost, cursor=cursor, read=read,
                people=people, office=office, taken=taken, began=began,
            )  # fmt: skip


async def _goes_on(
    restored: clusters.Cluster,
    folder: Path,
    settings: dict[str, str],
    *,
    before: list[str],
    lost: list[str],
    cursor: str,
    read: list[Any],
    people: dict[str, tables.Person],
    office: postoffice.PostOffice,
    taken: receiver.Receiver,
    began: float,
) -> None:
    left = (len(office.taken), len(taken.arrivals))
    async with site.over(address(restored), folder, is_new=False, **settings) as running:
        doctor = command(running, "doctor")
        assert doctor.returncode == 1
        assert "the server takes no changes" in doctor.stdout
        assert "the last position is " in command(running, "restore", "status").stdout
        restored.sql("SELECT pg_promote()")
        recovered_seconds = clock.monotonic() - began
        running.bearers = {name: await build.bearer(running.world, person) for name, person in people.items()}
        await running.start("api", "worker")
        await postoffice.until(lambda: _notices(running, "restored_held"))
        held_seconds = clock.monotonic() - began
        assert await statuses(running, before) == {200}
        assert await statuses(running, lost) == {404}
        new = await filed(running, AFTER)
        assert "Restored, held since" in command(running, "restore", "status").stdout
        assert (await asked(running, cursor))[0] == []
        assert (len(office.taken), len(taken.arrivals)) == left

        released = command(running, "restore", "release", "--mails=drop", "--webhooks=send")
        assert released.returncode == 0, released.stderr
        await all_sent(running)
        found, following, told = await asked(running, cursor)
        assert told["lost_after"].startswith("1.")
        rows = await running.scene.rows("SELECT id FROM event WHERE position >= 1000000 ORDER BY position")
        seen = {str(row.id) for row in rows}
        assert {item["id"] for item in found} == seen
        assert found[0]["type"] == "installation.restored"
        assert {item["data"].get("consultation_id") for item in found} >= set(new)
        assert await asked(running, following) == ([], following, None)
        assert len(set(office.taken)) == len(office.taken)  # no mail twice
        assert len(office.taken) > left[0]
        sent_again = len(taken.ids) - len(set(taken.ids))
        print(  # noqa: T201 - the drill's figures
            f"recovered after {recovered_seconds:.1f} s, held after {held_seconds:.1f} s; {len(read)} events had been"
            f" read, {len(found)} new ones were, none missed; {sent_again} webhooks came twice under their ids, no mail"
        )


async def _notices(running: site.Site, notice: str) -> bool:
    answer = (await running.client.get("/health/ready")).json()
    return notice in answer["notices"]
