"""Run tests on Debian's PostgreSQL 15 in place of the embedded server: `python tests/on_pg15.py [pytest arguments]`."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]


def main(arguments: list[str]) -> int:
    """Start the server, run the tests on it; gives pytest's exit code."""
    import pg15  # noqa: PLC0415 - the path is set just above
    from integrations.runtime import postgres  # noqa: PLC0415

    if not pg15.is_there():
        sys.stdout.write("LEFT OUT: Debian's PostgreSQL 15 is not installed; nothing was proved on it\n")
        return 0
    with pg15.running() as server:
        environment = {**os.environ, "TESTS_DATABASE_URL": server.url(postgres.SUPERUSER)}
        command = [sys.executable, "-m", "pytest", *arguments]
        return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
