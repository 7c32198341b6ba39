"""Run tests at another time: `python tests/at_another_time.py 2028-02-29T12:00Z [pytest arguments]`.

The tests, what they start, and the database server all live at that instant (libfaketime, `make setup-clock`), so
that a test which holds on some days only is found on any day.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))


def environment(instant: str) -> dict[str, str]:
    """Give what has a process, and whatever it starts, live at the instant; what counts seconds and files do not."""
    seconds = round(datetime.fromisoformat(instant).timestamp() - time.time())
    return {
        "LD_PRELOAD": str(LIBRARIES[0]),
        "FAKETIME": f"{seconds:+d}",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }


@contextmanager
def running(told: Mapping[str, str]) -> Iterator[str]:
    """Have an embedded server that is told this; gives its address."""
    from integrations.runtime import postgres  # noqa: PLC0415 - the path is set just above

    with tempfile.TemporaryDirectory(prefix="pob-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        with postgres.running(folder, fast_unsafe=True) as server:  # makes it, and its user
            pass
        user = (folder / "postgres/data").owner() if os.geteuid() == 0 else None
        programs = folder / "programs"
        programs.mkdir()
        for program in postgres.programs().iterdir():
            (programs / program.name).symlink_to(program)
        words = " ".join(f"{key}={value}" for key, value in told.items())
        (programs / "pg_ctl").unlink()
        (programs / "pg_ctl").write_text(f'#!/bin/sh\nexec env {words} {postgres.programs()}/pg_ctl "$@"\n')
        (programs / "pg_ctl").chmod(0o755)
        installation = postgres.Installation(programs, user)
        unsafe = ["-c", "fsync=off", "-c", "synchronous_commit=off", "-c", "full_page_writes=off"]
        cluster, sockets = folder / "postgres/data", server.socket_folder
        postgres.start(installation, cluster, sockets, ["-c", "max_connections=200", "-c", "timezone=UTC", *unsafe])
        try:
            yield server.url(postgres.SUPERUSER)
        finally:
            postgres.stop(installation, cluster)


def main(instant: str, *arguments: str) -> int:
    """Run the tests at the instant; gives pytest's exit code."""
    if not LIBRARIES:
        sys.stdout.write("LEFT OUT: no faketime; nothing was proved of other days\n")
        return 0
    told = environment(instant)
    with running(told) as url:
        command = [sys.executable, "-m", "pytest", *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=os.environ | told | {"TESTS_DATABASE_URL": url}, check=False
        ).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
