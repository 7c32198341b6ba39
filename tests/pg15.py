"""Debian's own PostgreSQL, a cluster to throw away: the oldest version that is supported is proved, not believed."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from integrations.runtime import postgres

_PROGRAMS = "/usr/lib/postgresql/{version}/bin"


def is_there(version: int = 15) -> bool:
    """Whether that version is installed where Debian puts it."""
    return Path(_PROGRAMS.format(version=version), "initdb").exists()


@contextmanager
def running(version: int = 15) -> Iterator[postgres.Server]:
    """Have an empty server of that version, gone with everything in it afterwards."""
    installation = postgres.Installation(
        Path(_PROGRAMS.format(version=version)), "postgres" if os.geteuid() == 0 else None
    )
    folder = Path(tempfile.mkdtemp(prefix="pg15-"))
    postgres.give(folder, installation.user)
    try:
        cluster = folder / "data"
        postgres.initialise(installation, cluster, locale=("--locale=C.UTF-8",), fast_unsafe=True)
        unsafe = ["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"]
        options = ["-c", "max_connections=200", "-c", "timezone=UTC", *unsafe]
        postgres.start(installation, cluster, folder, options)
        try:
            yield postgres.Server(folder)
        finally:
            postgres.stop(installation, cluster)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
