"""Run tests through PgBouncer in transaction mode: `python tests/behind_pooler.py older|newer [pytest arguments]`.

`older` is Debian's, without our statement caches; `newer` is what `make setup-pgbouncer` builds, with them.
"""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from integrations.runtime.database_address import DatabaseAddress

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
PREPARED = 200
TIMEOUTS = {"lock_timeout": 60_000, "statement_timeout": 60_000, "idle_in_transaction_session_timeout": 300_000}
"""Those of the tests' settings, in milliseconds: a pooler refuses them from a session, so they stand at the role."""


def main(which: str, *arguments: str) -> int:
    """Start server and pooler, run the tests through it; gives pytest's exit code."""
    import pg15  # noqa: PLC0415 - the path is set just above
    import pooler  # noqa: PLC0415
    from integrations.runtime import database_address, postgres  # noqa: PLC0415

    program = pooler.NEWER if which == "newer" else pooler.PROGRAM
    if program is None or not Path(program).exists() or not pg15.is_there():
        sys.stdout.write("LEFT OUT: no such PgBouncer, or no PostgreSQL 15; nothing was proved through a pooler\n")
        return 0
    with pg15.running() as server:
        url = server.url(postgres.SUPERUSER)
        address = database_address.parse(url)
        role = postgres.SUPERUSER
        _say(address, [f"ALTER ROLE {role} SET {name} = {value}" for name, value in TIMEOUTS.items()])
        prepared = PREPARED if which == "newer" else 0
        before = pooler.before(address, prepared=prepared, program=program, is_any=True)
        with before as through:
            environment = os.environ | {
                "TESTS_DATABASE_URL": url,
                "TESTS_POOLER_URL": through,
                "TESTS_STATEMENT_CACHE": "on" if prepared else "off",
            }
            command = [sys.executable, "-m", "pytest", *arguments]
            return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def _say(address: "DatabaseAddress", statements: Iterable[str]) -> None:
    """Have the server of the address do this."""
    from integrations.runtime import connector  # noqa: PLC0415

    async def say() -> None:
        connection = await connector.Connector(address, usual_seconds=5).connect({})
        for statement in statements:
            await connection.execute(statement)
        await connection.close()

    asyncio.run(say())


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
