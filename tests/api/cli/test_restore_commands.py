"""The commands about a restored database, typed as an operator types them."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

import terminal
from integrations.runtime import logs, postgres, settings, world
from service.kernel import actor, installation
from terminal import Run


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Type a command over a running server; gives its status, what it printed, what it complained of."""
    with postgres.running(tmp_path, fast_unsafe=True):
        yield terminal.over(tmp_path, monkeypatch, capfd, "restore")
    logs.configure("critical")


def _restored(data_dir: Path) -> None:
    """Have the database be another one than a worker has seen."""

    async def make() -> None:
        async with world.opened(settings.Settings(data_dir=data_dir)) as opened:
            for statement in ("SELECT 1", "UPDATE installation SET system_identifier = system_identifier + 1"):
                async with opened.database.work(actor.TIMER) as w:
                    await w.sql(sa.text(statement))
                    await installation.look(w, remembered=None, holds_on_promotion=False)

    asyncio.run(make())


def test_ops_10_a_restored_database_is_released_once_it_is_said_what_becomes_of_what_waits(
    run: Run, tmp_path: Path
) -> None:
    assert run("release", "--mails=send", "--webhooks=send") == (
        1, "", "The database is not held: there is nothing to release.\n",
    )  # fmt: skip
    _restored(tmp_path)
    status, said, _ = run("status")
    assert status == 0
    assert "Restored, held since" in said
    assert json.loads(run("status", "--json")[1])["held_reason"] == "other_system"
    assert run("release")[0] == 2
    for wrong in ("yes", "older-than=2", "older-than=0h", "older-than=-1h", "older-than=2 h"):
        assert run("release", f"--mails={wrong}", "--webhooks=send")[0] == 1
    status, said, _ = run("release", "--mails=older-than=2h", "--webhooks=drop")
    assert status == 0
    assert said.endswith("Events go on in epoch 2, from position 1000000.\n")
    assert run("status")[1].startswith("The database is not held.\n")
