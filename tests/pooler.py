"""PgBouncer in transaction mode before a database of the tests."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from integrations.runtime.database_address import DatabaseAddress
from secured_postgres import free_port

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
NEWER = Path(__file__).resolve().parent.parent / ".cache" / "pgbouncer" / "pgbouncer"
"""What `make setup-pgbouncer` builds: it keeps prepared statements."""


def is_there() -> bool:
    return PROGRAM is not None


@contextmanager
def before(
    address: DatabaseAddress, *, prepared: int = 0, program: Path | str | None = PROGRAM, is_any: bool = False
) -> Iterator[str]:
    """Have a pooler with six connections before the database; gives the address by it.

    `prepared` is how many statements a newer PgBouncer keeps for each connection; an older one knows no such number.
    With `is_any` it stands before every database of the server.
    """
    assert program is not None
    host, port = address.hosts[0], free_port()
    folder = Path(tempfile.mkdtemp(prefix="pooler-"))
    settings = {
        "listen_addr": "127.0.0.1", "listen_port": port, "auth_type": "any", "pool_mode": "transaction",
        "default_pool_size": 6, "max_client_conn": 900, "unix_socket_dir": "", "logfile": folder / "log",
        "pidfile": folder / "pid", **({"max_prepared_statements": prepared} if prepared else {}),
    }  # fmt: skip
    lines = [f"{name} = {value}" for name, value in settings.items()]
    target = f"host={host.name} port={host.port} user={address.user}"
    database = f"* = {target}" if is_any else f"pooled = {target} dbname={address.database}"
    configuration = folder / "pgbouncer.ini"
    configuration.write_text("\n".join(["[databases]", database, "[pgbouncer]", *lines]))
    folder.chmod(0o755)
    account = Path(host.name).owner() if os.geteuid() == 0 else None  # PgBouncer refuses to run as root
    if account:
        shutil.chown(folder, account)
    process = subprocess.Popen(
        [str(program), str(configuration)],
        user=account,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"postgresql://{address.user}@127.0.0.1:{port}/pooled?sslmode=disable"
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)
