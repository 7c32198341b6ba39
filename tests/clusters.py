"""Debian's PostgreSQL 15 as operators run it: by TCP, with an archive, a standby, a recovery; each thrown away."""

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pg15
from integrations.runtime import postgres
from secured_postgres import free_port

_PROGRAMS = Path("/usr/lib/postgresql/15/bin")
_USUAL = {"listen_addresses": "127.0.0.1", "timezone": "UTC", "max_connections": "100", "wal_level": "replica"}


@dataclass(frozen=True, slots=True)
class Cluster:
    """One server and its files; `port` is where it listens while it runs."""

    folder: Path
    name: str
    port: int
    installation: postgres.Installation

    @property
    def data(self) -> Path:
        """Where its files are."""
        return self.folder / self.name

    @property
    def archive(self) -> Path:
        """Where finished files of its write-ahead log are copied."""
        return self.folder / "archive"

    @property
    def host(self) -> str:
        """Host and port, as an address has them."""
        return f"127.0.0.1:{self.port}"

    def run(self, program: str, *arguments: str) -> str:
        """Run one of PostgreSQL's programs; gives what it said, and fails when it did."""
        done = self.installation.run(program, *arguments)
        assert done.returncode == 0, done.stdout
        return done.stdout.strip()

    def sql(self, statement: str) -> str:
        """Ask the server as its superuser, unaligned; several rows are lines."""
        return self.run(
            "psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-AtX", "-c", statement, "pobratym"
        )

    def start(self, **settings: str) -> None:
        """Start the server with these settings beside the usual ones; it may still recover."""
        told = _USUAL | {"port": str(self.port), "unix_socket_directories": str(self.folder)} | settings
        lines = [f"{name} = '{value}'\n" for name, value in told.items()]
        own = self.data / "conf.d"
        own.mkdir(exist_ok=True)
        (own / "drill.conf").write_text("".join(lines))
        own.chmod(0o755)
        with (self.data / "postgresql.conf").open("a") as file:
            file.write("include_dir = 'conf.d'\n")
        log = str(self.folder / f"{self.name}.log")
        self.run("pg_ctl", "-D", str(self.data), "-l", log, "-w", "-t", "60", "start")

    def stop(self) -> None:
        """Stop it in good order, if it runs."""
        self.installation.run("pg_ctl", "-D", str(self.data), "-m", "fast", "-w", "stop")

    def signal(self, number: signal.Signals) -> None:
        """Send the signal to the server's every process, if it runs."""
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            postmaster = int((self.data / "postmaster.pid").read_text().split()[0])
            children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
            for process in (postmaster, *map(int, children)):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, number)

    def archiving(self) -> dict[str, str]:
        """Give the settings of the archive, as the operations page has them."""
        there = f"{self.archive}/%f"
        return {
            "archive_mode": "on",
            "archive_command": f"test ! -f {there} && cp %p {there}.part && mv {there}.part {there}",
            "archive_timeout": "60",
        }

    def back_up(self, name: str, *options: str) -> "Cluster":
        """Give another cluster, made of a base backup of this one; it does not run."""
        other = Cluster(self.folder, name, free_port(), self.installation)
        place = f"host=127.0.0.1 port={self.port} user=postgres"
        self.run("pg_basebackup", "-d", place, "-D", str(other.data), "-c", "fast", "-X", "stream", *options)
        return other


def is_there() -> bool:
    return pg15.is_there()


@contextmanager
def primary(**settings: str) -> Iterator[Cluster]:
    """Have a server with an empty database `pobratym` of the role of this name; all made of it is gone at the end."""
    installation = postgres.Installation(_PROGRAMS, "postgres" if os.geteuid() == 0 else None)
    folder = Path(tempfile.mkdtemp(prefix="cluster-"))
    folder.chmod(0o755)
    cluster = Cluster(folder, "primary", free_port(), installation)
    cluster.archive.mkdir()
    for path in (folder, cluster.archive):
        postgres.give(path, installation.user)
    try:
        postgres.initialise(installation, cluster.data, locale=("--locale=C.UTF-8",))
        (cluster.data / "pg_hba.conf").write_text("local all all trust\nhost all,replication all 127.0.0.1/32 trust\n")
        with (cluster.data / "pg_hba.conf").open("a") as file:
            file.write("host replication all 127.0.0.1/32 trust\n")
        cluster.start(**cluster.archiving() | settings)
        for statement in ("CREATE ROLE pobratym LOGIN", "CREATE DATABASE pobratym OWNER pobratym"):
            cluster.run(
                "psql", "-h", "127.0.0.1", "-p", str(cluster.port), "-U", "postgres", "-c", statement, "postgres"
            )
        yield cluster
    finally:
        for pid in folder.glob("*/postmaster.pid"):
            made = Cluster(folder, pid.parent.name, 0, installation)
            made.signal(signal.SIGCONT)
            installation.run("pg_ctl", "-D", str(made.data), "-m", "immediate", "-w", "stop")
        shutil.rmtree(folder, ignore_errors=True)
