"""The programs that run until they are told to stop, each as a process of its own."""

import asyncio
import base64
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa

from integrations.runtime import postgres, settings, world
from integrations.webhooks import sending
from service.kernel import actor, clock

PROGRAM = [sys.executable, "-c", "from api.cli.main import main; main()"]
pytestmark = [pytest.mark.slow, pytest.mark.load(50), pytest.mark.xdist_group("running")]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data directory with a running server."""
    data_dir = tmp_path_factory.mktemp("running")
    with postgres.running(data_dir, fast_unsafe=True):
        yield data_dir


def test_the_server_serves_until_it_is_told_to_stop(tmp_path_factory: pytest.TempPathFactory) -> None:
    data_dir, port = tmp_path_factory.mktemp("alone"), _free_port()
    environment = os.environ | {"POBRATYM_DATA_DIR": str(data_dir)}
    server = subprocess.Popen(
        [*PROGRAM, "serve", "--port", str(port)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        ready = _when_ready(f"http://127.0.0.1:{port}/health/ready", server)
    finally:
        server.send_signal(signal.SIGTERM)
        _, logged = server.communicate(timeout=60)

    assert ready.json() == {"status": "ready", "reasons": [], "notices": []}
    assert "Application shutdown complete" in logged
    assert not (data_dir / "postgres/data/postmaster.pid").exists()
    assert all(json.loads(line) for line in logged.splitlines())


def test_a_server_told_to_stop_while_it_starts_ends_and_leaves_no_database(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    data_dir = tmp_path_factory.mktemp("hasty")
    running = data_dir / "postgres/data/postmaster.pid"
    environment = os.environ | {"POBRATYM_DATA_DIR": str(data_dir)}
    server = subprocess.Popen(
        [*PROGRAM, "serve", "--port", str(_free_port())], env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        _until(running.exists, server)
        server.send_signal(signal.SIGTERM)
        _, logged = server.communicate(timeout=60)
    finally:
        server.kill()

    assert server.returncode == 0, logged
    assert "Uvicorn running" not in logged
    assert not running.exists()


def test_a_token_made_in_another_terminal_opens_a_server_on_any_port(installed: Path) -> None:
    port = _free_port()
    environment = os.environ | {"POBRATYM_DATA_DIR": str(installed), "POBRATYM_LOG_LEVEL": "error"}
    subprocess.run([*PROGRAM, "demo", "--data-only"], env=environment, check=True)
    with subprocess.Popen([*PROGRAM, "serve", "--port", str(port)], env=environment, text=True) as server:
        try:
            _when_ready(f"http://127.0.0.1:{port}/health/ready", server)
            asked = [*PROGRAM, "token", "mentor@lille.example"]
            bearer = subprocess.run(asked, env=environment, check=True, capture_output=True, text=True).stdout.strip()
            answer = httpx.get(f"http://127.0.0.1:{port}/v1/me", headers={"Authorization": f"Bearer {bearer}"})
        finally:
            server.terminate()

    assert answer.status_code == 200, answer.text


def test_the_receiver_takes_what_is_signed_until_it_is_told_to_stop(tmp_path: Path) -> None:
    port, key = _free_port(), base64.b64encode(bytes(32)).decode()
    url = f"http://127.0.0.1:{port}/"
    listener = subprocess.Popen(
        [*PROGRAM, "listen", "--port", str(port), "--secret", f"whsec_{key}"],
        cwd=tmp_path,
        env=os.environ | {"COLUMNS": "60", "PYTHONPATH": str(Path.cwd())},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        _when_ready(url, listener, 405)
        body = b'{"type":"offer.sent","timestamp":"2026-11-20T10:35:00Z","data":{"id":"1"}}'
        signed = sending.headers_of("event-1", body, clock.wall(), "v1", [key])
        answers = [httpx.post(url, content=content, headers=signed).status_code for content in (body, body + b" ")]
    finally:
        listener.send_signal(signal.SIGINT)
        said, complaint = listener.communicate(timeout=60)

    assert answers == [204, 400]
    assert json.loads((tmp_path / "webhooks.jsonl").read_text())["how"] == "verified"
    assert '-H "Content-Type: application/json" \\\n' in said  # whole, however narrow the terminal: it is to be copied
    assert complaint == ""


def test_a_worker_works_until_it_is_told_to_stop(installed: Path) -> None:
    environment = os.environ | {"POBRATYM_DATA_DIR": str(installed)}
    worker = subprocess.Popen([*PROGRAM, "worker"], env=environment, stderr=subprocess.PIPE, text=True)
    try:
        _until(lambda: _listeners(installed) > 0, worker)
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.communicate(timeout=60)

    assert worker.returncode == 0


def _listeners(data_dir: Path) -> int:
    async def count() -> int:
        async with (
            world.opened(settings.Settings(data_dir=data_dir)) as opened,
            opened.database.work(actor.TIMER) as w,
        ):
            workers = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pobratym worker'"
            return int((await w.sql(sa.text(workers))).scalar_one())

    return asyncio.run(count())


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _when_ready(url: str, server: subprocess.Popen[str], status: int = 200) -> httpx.Response:
    answers: list[httpx.Response] = []

    def is_ready() -> bool:
        try:
            answers.append(httpx.get(url))
        except httpx.TransportError:
            return False
        return answers[-1].status_code == status

    _until(is_ready, server)
    return answers[-1]


def _until(holds: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    for _ in range(600):
        if holds():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.2)
    raise TimeoutError
