"""The embedded database is killed under a server, which starts it again and says so."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

pytestmark = pytest.mark.drill
PROGRAM = [sys.executable, "-c", "from api.cli.main import main; main()"]


@pytest.mark.parametrize("options", [(), ("--no-worker",)], ids=["with worker", "without"])
def test_ops_05_an_embedded_database_that_is_killed_is_started_again_and_told_of(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"POBRATYM_DATA_DIR": str(tmp_path / "data")}
    server = subprocess.Popen(
        [*PROGRAM, "serve", "--port", str(port), *options],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        until_ready(port, server)
        pid = tmp_path / "data/postgres/data/postmaster.pid"
        os.kill(int(pid.read_text().split()[0]), signal.SIGKILL)
        time.sleep(1.1)  # what was found out before is believed for a second
        seen = {httpx.get(f"http://127.0.0.1:{port}/health/ready").status_code}
        until_ready(port, server)
    finally:
        server.send_signal(signal.SIGTERM)
        _, logged = server.communicate(timeout=60)

    assert seen <= {200, 503}
    lines = [json.loads(line) for line in logged.splitlines()]
    assert "embedded_database_restarted" in [line["event"] for line in lines]
    named = {line["logger"] for line in lines if line.get("loop") in ("beat", "partitions")}
    assert named <= {"pobratym.presence"}


def until_ready(port: int, server: "subprocess.Popen[str]") -> None:
    for _ in range(300):
        try:
            if httpx.get(f"http://127.0.0.1:{port}/health/ready").status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert server.poll() is None, server.communicate()
        time.sleep(0.3)
    raise TimeoutError
