"""The embedded database: what a newcomer's machine, a crash and a long path do to it."""

import asyncio
import os
import pwd
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

import pg15
from integrations.runtime import postgres

ROOT = Path(__file__).resolve().parents[3]
HOLDER = """
import sys
from pathlib import Path
from integrations.runtime import logs, postgres
logs.configure()
with postgres.running(Path(sys.argv[1]), fast_unsafe=False) as server:
    print(server.socket_folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def empty() -> Iterator[Path]:
    """A data directory before its first start."""
    with tempfile.TemporaryDirectory(prefix="pob-") as folder:
        yield Path(folder) / "data"


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """A data directory with a row, started and stopped once: to copy, as a first start takes longer than all else."""
    with tempfile.TemporaryDirectory(prefix="pob-") as folder:
        with postgres.running(Path(folder), fast_unsafe=True) as server:
            asyncio.run(ask(server, "CREATE TABLE kept AS SELECT 7 AS n"))
        yield Path(folder)


@pytest.fixture
def data_dir(empty: Path, made: Path) -> Path:
    """A data directory that was in use before."""
    subprocess.run(["cp", "--archive", str(made), str(empty)], check=True)
    return empty


def hold(data_dir: Path) -> subprocess.Popen[str]:
    """Another process that uses the server until its standard input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(data_dir)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip()
    return process


@pytest.fixture(scope="module")
def server() -> Iterator[postgres.Server]:
    with tempfile.TemporaryDirectory(prefix="pob-") as folder, postgres.running(Path(folder), fast_unsafe=True) as one:
        yield one


def leave(process: subprocess.Popen[str]) -> None:
    process.communicate(timeout=60)


def postmaster(data_dir: Path) -> int:
    return int((data_dir / "postgres/data/postmaster.pid").read_text().splitlines()[0])


async def ask(server: postgres.Server, question: str) -> object:
    engine = create_async_engine(server.url())
    try:
        async with engine.begin() as connection:
            result = await connection.execute(text(question))
            return result.scalar() if result.returns_rows else None
    finally:
        await engine.dispose()


async def test_it_serves_its_database_at_an_sqlalchemy_address(server: postgres.Server) -> None:
    assert await ask(server, "SELECT current_database()") == postgres.DATABASE


async def test_it_lowers_ukrainian_letters_and_sorts_by_code_point_on_every_machine(server: postgres.Server) -> None:
    assert await ask(server, "SELECT lower('ЇЖАК ҐАНОК')") == "їжак ґанок"
    assert await ask(server, "SELECT 'Z' < 'a'") is True


async def test_it_can_exclude_overlaps(server: postgres.Server) -> None:
    await ask(server, "CREATE EXTENSION btree_gist")
    assert await ask(server, "SELECT count(*) FROM pg_extension WHERE extname = 'btree_gist'") == 1


def test_it_listens_on_no_network_address(server: postgres.Server) -> None:
    lines = (server.socket_folder / "data/postmaster.pid").read_text().splitlines()
    assert lines[5].strip() == ""


def test_nobody_else_may_enter_the_folder_of_its_socket(server: postgres.Server) -> None:
    assert stat.S_IMODE(server.socket_folder.stat().st_mode) == 0o700


async def test_what_was_written_is_there_at_the_next_start(data_dir: Path) -> None:
    with postgres.running(data_dir) as server:
        await ask(server, "CREATE TABLE written AS SELECT 1 AS n")
    with postgres.running(data_dir) as server:
        assert await ask(server, "SELECT n FROM written") == 1


def test_processes_of_one_data_directory_share_one_server(data_dir: Path) -> None:
    with postgres.running(data_dir, fast_unsafe=True):
        other = hold(data_dir)
        first = postmaster(data_dir)
        leave(other)
        assert postmaster(data_dir) == first


async def test_it_stays_while_another_process_uses_it(data_dir: Path) -> None:
    with postgres.running(data_dir, fast_unsafe=True) as server:
        other = hold(data_dir)
    try:
        assert await ask(server, "SELECT 1") == 1
    finally:
        leave(other)


def test_the_last_one_out_stops_it(data_dir: Path) -> None:
    with postgres.running(data_dir, fast_unsafe=True):
        other = hold(data_dir)
    leave(other)
    assert not (data_dir / "postgres/data/postmaster.pid").exists()


def test_two_first_starts_at_once_make_one_server(empty: Path) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(empty)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in range(2)
    ]
    for process in processes:
        process.communicate(timeout=120)
    assert [process.returncode for process in processes] == [0, 0]


async def test_it_outlives_a_starter_that_was_killed(data_dir: Path) -> None:
    starter = hold(data_dir)
    starter.kill()
    starter.communicate(timeout=60)
    before = postmaster(data_dir)
    with postgres.running(data_dir) as server:
        assert await ask(server, "SELECT 1") == 1
        assert postmaster(data_dir) == before


def test_a_killed_starter_does_not_keep_it_running_for_ever(data_dir: Path) -> None:
    starter = hold(data_dir)
    starter.kill()
    starter.communicate(timeout=60)
    with postgres.running(data_dir):
        pass
    assert not (data_dir / "postgres/data/postmaster.pid").exists()


async def test_acknowledged_rows_survive_a_killed_server(data_dir: Path) -> None:
    with postgres.running(data_dir) as server:
        await ask(server, "CREATE TABLE written AS SELECT 7 AS n")
        os.kill(postmaster(data_dir), signal.SIGKILL)
        with postgres.running(data_dir) as again:
            assert await ask(again, "SELECT n FROM written") == 7


async def test_whoever_uses_a_killed_server_starts_it_again_and_never_an_empty_one(data_dir: Path) -> None:
    with postgres.running(data_dir) as server:
        os.kill(postmaster(data_dir), signal.SIGSTOP)
        assert not postgres.revive(data_dir)  # one that hangs may go on
        os.kill(postmaster(data_dir), signal.SIGCONT)
        os.kill(postmaster(data_dir), signal.SIGKILL)
        while not postgres.revive(data_dir):  # it is still ending
            pass
        assert await ask(server, "SELECT n FROM kept") == 7
    (data_dir / "postgres/data").rename(data_dir / "postgres/lost")
    with pytest.raises(postgres.CannotStart, match="is gone"):
        postgres.revive(data_dir)


def test_one_that_its_last_user_has_left_is_not_started_again(data_dir: Path) -> None:
    with postgres.running(data_dir):
        pass
    assert not postgres.revive(data_dir)  # by a thread that outlives its loop: nobody would stop that server
    assert not (data_dir / "postgres/data/postmaster.pid").exists()


async def test_a_process_id_that_somebody_else_has_now_does_not_stop_the_start(data_dir: Path) -> None:
    with postgres.running(data_dir):
        kept = (data_dir / "postgres/data/postmaster.pid").read_text().splitlines()
    kept[0] = str(os.getpid())
    (data_dir / "postgres/data/postmaster.pid").write_text("\n".join(kept) + "\n")
    with postgres.running(data_dir) as server:
        assert await ask(server, "SELECT 1") == 1


def test_a_first_start_that_was_cut_off_is_begun_again(empty: Path) -> None:
    half = empty / "postgres/data.half"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    with postgres.running(empty, fast_unsafe=True):
        assert not half.exists()


@pytest.mark.parametrize("name", ["x" * 120, "a space, a comma", "дані's"])
async def test_any_path_will_do(empty: Path, name: str) -> None:
    with postgres.running(empty / name, fast_unsafe=True) as server:
        assert await ask(server, "SELECT 1") == 1


def test_processes_of_a_long_path_meet_in_one_short_socket_folder_that_goes_with_their_server(empty: Path) -> None:
    deep = empty / ("x" * 120)
    with postgres.running(deep, fast_unsafe=True) as server, postgres.running(deep) as again:
        assert server.socket_folder == again.socket_folder
    assert not server.socket_folder.exists()


def test_a_path_that_a_shell_would_read_is_refused(empty: Path) -> None:
    with pytest.raises(postgres.CannotStart, match="path"), postgres.running(empty / "$(touch hacked)"):
        pass


def test_a_relative_emptyectory_means_the_same_after_a_change_of_folder(
    empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty.mkdir()
    monkeypatch.chdir(empty)
    with postgres.running(Path("here"), fast_unsafe=True) as server:
        assert server.socket_folder.is_absolute()


def test_a_emptyectory_that_cannot_be_made_is_named(empty: Path) -> None:
    empty.write_text("a file")
    with pytest.raises(postgres.CannotStart, match="data"), postgres.running(empty):
        pass


def test_a_server_that_does_not_start_says_why(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "_ATTEMPTS", 1)
    with (data_dir / "postgres/data/postgresql.conf").open("a") as file:
        file.write("\nno_such_setting = 1\n")
    with pytest.raises(postgres.CannotStart, match="no_such_setting"), postgres.running(data_dir):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="LEFT OUT: what root's start opens is seen by root only")
def test_root_opens_closed_folders_for_passing_only(empty: Path) -> None:
    empty.mkdir(mode=0o700)
    with postgres.running(empty / "deeper", fast_unsafe=True):
        assert stat.S_IMODE(empty.stat().st_mode) == 0o701


@pytest.mark.skipif(os.geteuid() != 0, reason="LEFT OUT: only root can become another user")
def test_root_runs_an_existing_database_as_its_owner(empty: Path) -> None:
    owner = pwd.getpwnam("nobody")
    empty.parent.chmod(0o755)
    empty.mkdir()
    os.chown(empty, owner.pw_uid, owner.pw_gid)
    installation = postgres.Installation(postgres.programs(), owner.pw_name)
    (empty / "postgres").mkdir()
    os.chown(empty / "postgres", owner.pw_uid, owner.pw_gid)
    postgres.initialise(installation, empty / "postgres/data")
    with postgres.running(empty):
        assert (empty / "postgres/data").owner() == "nobody"


@pytest.mark.skipif(not pg15.is_there(), reason="LEFT OUT: Debian's PostgreSQL 15 is not installed")
async def test_debians_postgresql_15_is_there_for_the_tests_that_prove_it() -> None:
    with pg15.running() as server:
        assert str(await ask(server, "SHOW server_version")).startswith("15.")


async def test_the_address_is_good_for_asyncpg_too(server: postgres.Server) -> None:
    connection = await asyncpg.connect(
        host=str(server.socket_folder), user=postgres.SUPERUSER, database=postgres.DATABASE
    )
    try:
        assert await asyncio.wait_for(connection.fetchval("SELECT 1"), 60) == 1
    finally:
        await connection.close()


AS_COPIED = {
    "a copy by root": ["chown", "-R", "root:root"],
    "open to all": ["chmod", "-R", "777"],
    "read by all": ["chmod", "-R", "go+rX"],
    "without writing": ["chmod", "-R", "a-w"],
    "of a user of another machine": ["chown", "-R", "54321:54321"],
}


@pytest.mark.parametrize("spoil", AS_COPIED.values(), ids=AS_COPIED)
async def test_a_copy_whose_owner_or_rights_were_lost_is_set_right(data_dir: Path, spoil: list[str]) -> None:
    if os.geteuid() != 0 and spoil[0] == "chown":
        pytest.skip("no root")
    await asyncio.to_thread(subprocess.run, [*spoil, str(data_dir)], check=True)

    with postgres.running(data_dir) as server:
        assert await ask(server, "SELECT n FROM kept") == 7

    files = [data_dir / "postgres", *(data_dir / "postgres/data").rglob("*")]
    assert [path for path in files if stat.S_IMODE(path.stat().st_mode) & 0o077] == []
